//! The conformance table names tests; each of them exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A test's name reads as a sentence; code spans of other kinds have fewer words.
const LEAST_UNDERSCORES: usize = 2;

#[test]
fn every_test_that_the_conformance_table_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/ikev2.md")).expect("the page is committed");
    let spans = page.split('`').skip(1).step_by(2);
    let named: BTreeSet<&str> = spans.filter(|span| is_test(span)).collect();
    assert!(named.len() > 50, "the page names {} tests", named.len());

    let mut known = BTreeSet::new();
    for folder in ["node/agent", "node/ike", "node/esp", "node/dataplane", "tests/interop/tests/strongswan"] {
        tests_below(&root.join(folder), &mut known);
    }
    let missing: Vec<_> = named.iter().filter(|name| !known.contains(**name)).collect();
    assert!(missing.is_empty(), "docs/ikev2.md names tests that are gone: {missing:#?}");
}

/// The traps of IPSEC.md.
const TRAPS: usize = 32;

#[test]
fn every_trap_has_a_test_of_its_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/ikev2.md")).expect("the page is committed");
    let table = page.split("\n### Traps\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let table = table.expect("the page has a section for them");
    for trap in 1..=TRAPS {
        let row = table.lines().find(|line| line.starts_with(&format!("| {trap} |")));
        let row = row.unwrap_or_else(|| panic!("no row for trap {trap}"));
        assert!(row.contains(&format!("`trap_{trap}_")), "trap {trap} has no test of its own");
    }
}

fn is_test(span: &str) -> bool {
    span.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
        && span.matches('_').count() >= LEAST_UNDERSCORES
}

/// The functions behind `#[test]`.
fn tests_below(folder: &Path, known: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            tests_below(&path, known);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("sources are text");
            for after in source.split("#[test]").skip(1) {
                let name = after.split("fn ").nth(1).and_then(|rest| rest.split('(').next());
                known.extend(name.map(str::to_owned));
            }
        }
    }
}
