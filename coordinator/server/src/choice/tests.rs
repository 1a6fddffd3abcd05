mod ages;
mod documented;
mod facts;
mod flapping;
mod properties;

use self::facts::{Case, case};
use super::*;

/// One line of the table: two ends, the policy, the protocol, the reasons' codes.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// What no policy touches.
const WISHES: &[Row] = &[
    ("agent", "agent", "-", "wireguard", "default"),
    ("agent, no ESP", "agent", "-", "wireguard", "default"),
    ("agent, prefers esp", "agent", "-", "esp", "prefers-esp"),
    ("agent, prefers esp", "agent, prefers esp", "-", "esp", "prefers-esp, prefers-esp"),
    ("agent, prefers esp", "agent, prefers wireguard", "-", "wireguard", "prefers-wireguard"),
    ("agent", "agent, prefers wireguard", "-", "wireguard", "prefers-wireguard"),
    ("agent, prefers esp", "agent, no ESP", "-", "wireguard", "no-esp"),
    ("agent, prefers esp, no ESP", "agent", "-", "wireguard", "no-esp"),
    ("agent, prefers esp", "device", "-", "wireguard", "unmanaged-peer"),
    ("agent, prefers quic", "agent", "-", "wireguard", "default"),
];

/// A protocol that the policy names.
const DEMANDS: &[Row] = &[
    ("agent", "agent", "network: esp", "esp", "policy"),
    ("agent", "agent, prefers wireguard", "network: esp", "esp", "policy"),
    ("agent, prefers esp", "agent", "network: wireguard", "wireguard", "policy"),
    ("agent", "agent, no ESP", "network: esp", "wireguard", "no-esp"),
    ("agent", "device", "network: esp", "wireguard", "unmanaged-peer"),
    ("agent, tag web", "agent", "tag web: esp", "esp", "policy"),
    ("agent", "agent", "tag web: esp", "wireguard", "default"),
    ("agent, tag web", "agent", "network: wireguard; tag web: esp", "esp", "policy"),
    ("agent, tag web", "agent, tag db", "tag web: esp; tag db: esp", "esp", "policy, policy"),
    ("agent, tag web", "agent, tag db", "tag web: esp; tag db: wireguard", "wireguard", "policy"),
    ("agent, tag web", "agent, tag db", "tag web: esp; tag db: auto", "esp", "policy"),
    ("agent, tag web", "agent", "tag web: wireguard; pair: esp", "esp", "policy"),
    ("agent, tag web", "agent", "tag web: esp; pair: auto", "wireguard", "default"),
    ("agent, prefers esp", "agent", "network: wireguard; pair: auto", "esp", "prefers-esp"),
];

/// Throughput, where the protocol is left open.
const THROUGHPUT: &[Row] = &[
    ("agent", "agent", "network: throughput", "esp", "throughput"),
    ("agent", "agent, no AES", "network: throughput", "wireguard", "no-aes"),
    ("agent", "agent, no ESP", "network: throughput", "wireguard", "no-esp"),
    ("agent", "agent, prefers wireguard", "network: throughput", "wireguard", "prefers-wireguard"),
    ("agent", "device", "network: throughput", "wireguard", "unmanaged-peer"),
    ("agent", "agent", "network: wireguard throughput", "wireguard", "policy"),
    ("agent", "agent", "network: throughput; pair: no-throughput", "wireguard", "default"),
    ("agent, tag web", "agent, tag db", "tag web: throughput; tag db: no-throughput", "esp", "throughput"),
];

/// Compliance: ESP with AES-GCM, or nothing.
const COMPLIANCE: &[Row] = &[
    ("agent", "agent", "network: compliance", "esp", "compliance"),
    ("agent, no AES", "agent", "network: compliance", "esp", "compliance"),
    ("agent", "agent, prefers wireguard", "network: compliance", "esp", "compliance"),
    ("agent", "device", "network: compliance", "none", "compliance, unmanaged-peer"),
    ("agent", "agent, no ESP", "network: compliance", "none", "compliance, no-esp"),
    ("agent", "agent, no compliance", "network: compliance", "none", "compliance, no-compliance"),
    ("agent, tag pci", "agent", "tag pci: compliance", "esp", "compliance"),
    ("agent", "agent", "tag pci: compliance", "wireguard", "default"),
    ("agent, tag pci", "agent", "tag pci: compliance; pair: auto", "esp", "compliance"),
    ("agent, tag pci", "agent", "tag pci: compliance; pair: wireguard", "esp", "compliance"),
    (
        "agent, tag pci",
        "device",
        "tag pci: compliance; pair: wireguard",
        "none",
        "compliance, unmanaged-peer",
    ),
    ("agent, tag pci", "agent", "network: compliance; tag pci: compliance", "esp", "compliance, compliance"),
];

/// What has failed lately; it is avoided by what only prefers it.
const FAILURES: &[Row] = &[
    ("agent", "agent", "failed: wireguard", "esp", "failed"),
    ("agent", "agent", "failed: esp", "wireguard", "default"),
    ("agent", "agent", "failed: wireguard esp", "wireguard", "default, failed-kept"),
    ("agent", "agent, no ESP", "failed: wireguard", "wireguard", "default, failed-kept"),
    ("agent, prefers esp", "agent", "failed: esp", "wireguard", "prefers-esp, failed"),
    ("agent, prefers esp", "agent", "failed: wireguard", "esp", "prefers-esp"),
    ("agent, prefers esp", "agent", "failed: wireguard esp", "esp", "prefers-esp, failed-kept"),
    ("agent", "agent, prefers wireguard", "failed: wireguard", "wireguard", "prefers-wireguard, failed-kept"),
    ("agent", "agent", "network: throughput; failed: esp", "wireguard", "throughput, failed"),
    ("agent", "agent, no AES", "network: throughput; failed: wireguard", "esp", "no-aes, failed"),
    ("agent", "agent", "network: esp; failed: esp", "esp", "policy, failed-kept"),
    ("agent", "agent", "pair: wireguard; failed: wireguard", "wireguard", "policy, failed-kept"),
    ("agent", "agent", "network: compliance; failed: esp", "esp", "compliance, failed-kept"),
    ("agent", "device", "failed: wireguard", "wireguard", "unmanaged-peer, failed-kept"),
    ("agent", "device", "network: compliance; failed: wireguard", "none", "compliance, unmanaged-peer"),
];

fn chosen(case: &Case) -> Choice {
    let facts = case.facts();
    let choice = choose(&facts, &case.policy);
    let [one, other] = facts.ends;
    let turned = PairFacts { ends: [other, one], ..facts };
    assert_eq!(choice, choose(&turned, &case.policy), "the two ends are told different things");
    choice
}

#[test]
fn the_decision_table() {
    for row in [WISHES, DEMANDS, THROUGHPUT, COMPLIANCE, FAILURES].concat() {
        let (one, other, policy, protocol, reasons) = row;
        let choice = chosen(&case(one, other, policy));
        let codes: Vec<_> = choice.reasons.iter().map(|reason| reason.code.as_str()).collect();
        assert_eq!((choice.protocol.as_str(), codes.join(", ").as_str()), (protocol, reasons), "{row:?}");
        assert_eq!(choice.compliance, reasons.starts_with("compliance"), "{row:?}");
    }
}

#[test]
fn a_reason_says_who_or_which_rule() {
    for (one, other, policy, text) in [
        ("agent", "agent", "pair: esp", "the policy of this pair asks for ESP"),
        ("agent, tag web", "agent", "tag web: wireguard", "the policy of the tag `web` asks for WireGuard"),
        ("agent", "agent", "network: throughput", "the policy of the network asks for throughput"),
        ("agent", "device", "network: compliance", "the policy of the network allows only approved"),
        ("agent", "device", "network: compliance", "beta is a plain WireGuard device"),
        ("agent, no AES", "agent", "network: throughput", "alpha has no AES instructions"),
        ("agent", "agent, prefers esp", "-", "beta asks for ESP (`up --prefer esp`)"),
        (
            "agent",
            "agent",
            "failed: wireguard",
            "WireGuard failed between the two (alpha: no answer to the handshake): ESP until 2026-01-01T01:10:00Z",
        ),
        ("agent", "agent", "failed: wireguard esp", "but ESP failed as well"),
        ("agent", "agent", "pair: esp; failed: esp", "but nothing else may be used"),
        ("agent, no compliance", "agent", "pair: compliance", "alpha runs a version of twinmesh that cannot"),
    ] {
        let reasons = chosen(&case(one, other, policy)).reasons;
        assert!(reasons.iter().any(|reason| reason.text.contains(text)), "{text}: {reasons:?}");
    }
}
