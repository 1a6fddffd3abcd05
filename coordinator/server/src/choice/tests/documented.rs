//! `docs/choice.md` has the decision table that the code is tested by, line by line.

use std::fs;
use std::path::Path;

use super::{COMPLIANCE, DEMANDS, FAILURES, Row, THROUGHPUT, WISHES};

fn line((one, other, policy, protocol, reasons): &Row) -> String {
    let reasons: Vec<String> = reasons.split(", ").map(|code| format!("`{code}`")).collect();
    format!("| {one} | {other} | {policy} | {protocol} | {} |", reasons.join(", "))
}

#[test]
fn the_page_has_the_lines_of_the_decision_table_and_no_others() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/choice.md")).expect("the page is committed");
    for (heading, rows) in [
        ("### Without a policy", WISHES),
        ("### A protocol by policy", DEMANDS),
        ("### Throughput", THROUGHPUT),
        ("### Compliance", COMPLIANCE),
        ("### Failures", FAILURES),
    ] {
        let (_, section) = page.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
        let section = section.split("\n#").next().unwrap_or_default();
        let written: Vec<_> = section.lines().filter(|line| line.starts_with('|')).skip(2).collect();
        let tested: Vec<_> = rows.iter().map(line).collect();
        assert_eq!(written, tested, "{heading}");
    }
}

#[test]
fn the_page_explains_every_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/choice.md")).expect("the page is committed");
    let (_, section) = page.split_once("## Reasons\n").expect("the page has the section");
    for (.., reasons) in [WISHES, DEMANDS, THROUGHPUT, COMPLIANCE, FAILURES].concat() {
        for code in reasons.split(", ") {
            assert!(section.contains(&format!("| `{code}` |")), "{code}");
        }
    }
}
