//! Files of every kind, and what becomes of damaged ones.

use std::time::Duration;

use ipnet::IpNet;
use proptest::prelude::*;
use twinmesh_ike::config::Lifetime;

use super::{SITE, here, read};

/// A file, and what it should be read as.
fn files() -> impl Strategy<Value = (String, Vec<String>, u64)> {
    let prefix = (0u8..=255, 8u8..=32).prop_map(|(third, length)| {
        IpNet::new([10, 77, third, 0].into(), length).unwrap().trunc().to_string()
    });
    let prefixes = proptest::collection::btree_set(prefix, 1..6);
    (prefixes, 1u64..10_000, "[a-z0-9][a-z0-9._-]{0,19}").prop_map(|(prefixes, rekey, name)| {
        let prefixes: Vec<String> = prefixes.into_iter().collect();
        let text = SITE.replace("branch-7", &name).replace("\"2h\"", &rekey.to_string()).replace(
            "\"10.2.0.0/16\", \"10.3.0.0/16[tcp/443]\"",
            &format!("{prefixes:?}")[1..].replace(']', ""),
        );
        (text, prefixes, rekey)
    })
}

proptest! {
    #[test]
    fn what_is_written_is_what_is_configured((text, prefixes, rekey) in files()) {
        let site = read(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let (connection, _) = site.connection(here());
        prop_assert_eq!(connection.lifetime, Lifetime::of(Duration::from_secs(rekey)));
        let remote = &connection.child("lan").unwrap().selectors.remote;
        prop_assert_eq!(remote.iter().map(ToString::to_string).collect::<Vec<_>>(), prefixes);
    }

    /// Whatever is done to a file: it is read or refused, with a line that it has, and the secret is never repeated.
    #[test]
    fn a_damaged_file_is_refused_with_the_place_and_without_the_secret(
        place in any::<prop::sample::Index>(),
        length in 0usize..30,
        instead in "\\PC{0,10}",
    ) {
        let start = place.index(SITE.len());
        let damaged = format!("{}{instead}{}", &SITE[..start], SITE.get(start + length..).unwrap_or(""));
        if let Err(error) = read(&damaged) {
            prop_assert!((1..=damaged.lines().count() + 1).contains(&error.line), "{error}\n{damaged}");
            prop_assert!(!error.to_string().contains("battery staple"), "{error}");
        }
    }
}
