//! Any text is a scenario or an error with a line.

use proptest::prelude::*;
use twinmesh_lab::Scenario;

/// Parts of scenarios, good and bad, that combine into texts near the border between the two.
fn lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("[network.a]".to_owned()),
        Just("[network.b]".to_owned()),
        Just("[host.h]".to_owned()),
        Just("[host.h.interface.eth0]".to_owned()),
        Just("[host.h.interface.eth1]".to_owned()),
        Just("[[host.h.run]]".to_owned()),
        Just("[router.r]".to_owned()),
        Just("[router.r.interface.lan0]".to_owned()),
        Just("nat = \"endpoint-independent\"".to_owned()),
        Just("wan = \"a\"".to_owned()),
        Just("lan = [\"b\"]".to_owned()),
        Just("network = \"a\"".to_owned()),
        Just("capture = [\"eth0\"]".to_owned()),
        Just("command = \"${x}\"".to_owned()),
        Just("ready = { tcp = 1 }".to_owned()),
        "subnets = \\[\"(192\\.0\\.2\\.[0-9]{1,3}|2001:db8:[0-9a-f]{0,4}::|198\\.18\\.0\\.0)/[0-9]{1,3}\"\\]",
        "addresses = \\[\"(192\\.0\\.2\\.[0-9]{1,2}|2001:db8::[0-9]?)\"\\]",
        "(mtu|seed) = -?[0-9]{1,20}",
        "(rate|delay|jitter|loss|reorder|duplicate|udp_timeout) = \"-?[0-9.]{1,8}(ms|s|m|%|mbit|gbit|é)?\"",
        "name = \"[a-zé-]{0,3}\"",
        "block = \\[\"(udp|tcp|icmp-too-big)(/[0-9]{1,6})?\"\\]",
        "[ -~]{0,20}",
    ];
    prop::collection::vec(line, 0..25).prop_map(|lines| format!("name = \"x\"\n{}", lines.join("\n")))
}

fn holds(text: &str) -> Result<(), TestCaseError> {
    if let Err(error) = Scenario::parse(text, None) {
        let last = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
        prop_assert!((1..=last).contains(&error.line), "line {} of {last}: {error}", error.line);
        let place = format!("scenario:{}: ", error.line);
        prop_assert!(error.to_string().starts_with(&place));
        prop_assert!(error.to_string().len() > place.len(), "no words");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_scenario_or_an_error_with_a_line(text in "\\PC{0,200}") {
        holds(&text)?;
    }

    #[test]
    fn any_combination_of_lines_is_a_scenario_or_an_error_with_a_line(text in lines()) {
        holds(&text)?;
    }
}

#[test]
fn every_scenario_of_the_repository_is_sound() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let mut files = vec![std::path::PathBuf::from(folder)];
    let mut seen = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|it| it == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            Scenario::parse(&text, Some(&path)).unwrap_or_else(|error| panic!("{error}"));
            seen += 1;
        }
    }
    assert!(seen > 0);
}
