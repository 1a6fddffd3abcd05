//! Suite, SPIs and keys.

use std::collections::BTreeSet;

use toml::Spanned;
use twinmesh_dataplane::esp::{KeyMaterial, Spi, Suite, SuiteClass};

use super::KeyDigest;
use super::check::{Checked, at};
use super::error::Problem;
use super::file::{Number, SaTable};
use super::key::Key;

pub(super) fn suite(table: &SaTable) -> Checked<Suite> {
    let name = table.suite.as_ref();
    let suite: Suite = name.parse().map_err(|error| at(&table.suite, Problem::Suite(name.clone(), error)))?;
    if !suite.is_confidential() && !table.allow_null {
        return Err(at(&table.suite, Problem::Null(suite)));
    }
    let weak_integrity = suite.integrity().is_some_and(|integrity| integrity.class() == SuiteClass::Legacy);
    if (suite.class() == SuiteClass::Legacy || weak_integrity) && !table.allow_legacy {
        return Err(at(&table.suite, Problem::Legacy(suite)));
    }
    Ok(suite)
}

/// As a number, or as hexadecimal digits, which is how SPIs are shown everywhere.
pub(super) fn spi(written: &Spanned<Number>) -> Checked<Spi> {
    let number = match written.as_ref() {
        Number::Integer(number) => u32::try_from(*number).ok(),
        Number::Text(text) => {
            let digits = text.trim_ascii();
            let digits = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).unwrap_or(digits);
            let all_digits = digits.bytes().all(|letter| letter.is_ascii_hexdigit());
            u32::from_str_radix(digits, 16).ok().filter(|_| all_digits)
        }
    };
    number.and_then(Spi::new).ok_or_else(|| at(written, Problem::Spi(written.as_ref().to_string())))
}

pub(super) fn inbound_spi(written: &Spanned<Number>, taken: &mut BTreeSet<Spi>) -> Checked<Spi> {
    let spi = spi(written)?;
    if !spi.is_ours() {
        return Err(at(written, Problem::SpiNotOurs(spi)));
    }
    if !taken.insert(spi) {
        return Err(at(written, Problem::SpiTwice(spi)));
    }
    Ok(spi)
}

/// The key in the form that the engine takes, and its digest, which no other key of the file may have.
pub(super) fn key(
    mut written: Spanned<Key>,
    suite: Suite,
    taken: &mut BTreeSet<KeyDigest>,
) -> Checked<(KeyMaterial, KeyDigest)> {
    let bytes = std::mem::take(&mut *written.as_mut().0);
    let (needed, given) = (suite.key_len(), bytes.len());
    let digest = KeyDigest::of(&bytes);
    // From here on the bytes are zeroized when they go.
    let material = KeyMaterial::new(bytes);
    if needed != given {
        return Err(at(&written, Problem::KeyLength { suite, needed, given }));
    }
    // An engine without keys is none but that of benchmarks.
    if !taken.insert(digest) && needed > 0 {
        return Err(at(&written, Problem::KeyTwice(needed)));
    }
    Ok((material, digest))
}
