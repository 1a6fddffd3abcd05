//! `twinmesh explain`: what carries a peer's traffic, which way, and why.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use twinmesh_control::{NatBehaviour, NatReport, PeerKind};

use super::status::{age, bytes};
use super::{CommandError, ask, print, print_json, table};
use crate::api::{
    Candidate, CheckState, CheckStatus, Explanation, Happening, PathStatus, PeerActivity, PeerStatus, Request,
};

pub(super) fn run(socket: &Path, peer: String, json: bool) -> Result<(), CommandError> {
    let explanation: Explanation = ask(socket, &Request::Explain { peer })?;
    if json {
        return print_json(&explanation);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    print(&page(&explanation, u64::try_from(now.as_millis()).unwrap_or(u64::MAX)))
}

/// `now`: in milliseconds since the Unix epoch.
fn page(explanation: &Explanation, now: u64) -> String {
    let peer = &explanation.peer;
    let mut text = format!("{}, {}\n\n", peer.name, what(explanation));
    for sentence in &explanation.meaning {
        text.push_str(sentence);
        text.push('\n');
    }
    text.push('\n');
    let addresses: Vec<String> = peer.addresses.iter().map(ToString::to_string).collect();
    let mut facts = vec![row("Addresses", addresses.join(", ")), row("Protocol", peer.protocol.clone())];
    if explanation.compliance {
        facts.push(row("Compliance", "only approved algorithms".to_owned()));
    }
    facts.push(row("Tunnel", tunnel(peer)));
    if let Some(path) = &peer.path {
        facts.push(row("Path", way(path)));
    }
    facts.push(row("NAT here", nat(&explanation.nat)));
    if peer.kind == PeerKind::Agent {
        facts.push(row("NAT there", nat(&explanation.peer_nat)));
    }
    text.push_str(&table(&facts));
    text.push_str(&candidates(&explanation.candidates));
    text.push_str(&history(&explanation.history, now));
    text
}

fn row(name: &str, value: String) -> Vec<String> {
    vec![name.to_owned(), value]
}

fn what(explanation: &Explanation) -> String {
    let kind = match &explanation.peer.kind {
        PeerKind::Agent => "a node with an agent".to_owned(),
        PeerKind::Unmanaged => "a plain WireGuard device".to_owned(),
        kind @ PeerKind::Other(_) => format!("a node of the kind {kind}"),
    };
    match explanation.tags.as_slice() {
        [] => kind,
        [tag] => format!("{kind}, tag {tag}"),
        tags => format!("{kind}, tags {}", tags.join(", ")),
    }
}

fn tunnel(peer: &PeerStatus) -> String {
    let state = match peer.state {
        PeerActivity::Active => "active",
        PeerActivity::Connecting => "connecting",
        PeerActivity::Idle => "idle",
    };
    let handshake = peer
        .last_handshake_age_s
        .map(|seconds| format!(", last handshake {} ago", age(seconds)))
        .unwrap_or_default();
    format!("{state}{handshake}, {} received, {} sent", bytes(peer.rx_bytes), bytes(peer.tx_bytes))
}

fn way(path: &PathStatus) -> String {
    let how = if path.relayed { "relayed" } else { "direct" };
    let rtt = path.rtt_us.map(|rtt| format!(", round trip {}", milliseconds(rtt)));
    let mtu = path.mtu.map(|mtu| format!(", MTU {mtu}"));
    let since = path.since_s.map(|since| format!(", for {}", age(since)));
    let proven = if path.proven { "" } else { ", not proven by checks" };
    let facts = [rtt, mtu, since].into_iter().flatten().collect::<String>();
    format!("{how}, to {}{facts}{proven}", path.remote)
}

/// From microseconds.
fn milliseconds(time: u64) -> String {
    format!("{}.{:01} ms", time / 1_000, time % 1_000 / 100)
}

fn nat(nat: &NatReport) -> String {
    let measured = |version: &str, behaviour: &Option<NatBehaviour>| {
        let behaviour = behaviour.as_ref()?;
        let filtering = behaviour.filtering.as_ref().map(|filtering| format!(", filtering {filtering}"));
        Some(format!("{version}: {}{}", behaviour.class, filtering.unwrap_or_default()))
    };
    let known = [measured("IPv4", &nat.ipv4), measured("IPv6", &nat.ipv6)];
    let known: Vec<String> = known.into_iter().flatten().collect();
    if known.is_empty() { "not known".to_owned() } else { known.join("; ") }
}

fn candidates(candidates: &[Candidate]) -> String {
    if candidates.is_empty() {
        return "\nNo place is known where it may be.\n".to_owned();
    }
    let mut rows = vec![["CANDIDATE", "KIND", "STATE"].map(str::to_owned).to_vec()];
    rows.extend(candidates.iter().map(|candidate| {
        let kind = candidate.kind.as_ref().map_or_else(|| "heard".to_owned(), ToString::to_string);
        let state = match &candidate.problem {
            Some(problem) if !candidate.used => format!("never tried: {problem}"),
            _ => [candidate.used.then(|| "in use".to_owned()), candidate.check.and_then(checked)]
                .into_iter()
                .flatten()
                .reduce(|used, checked| format!("{used}, {checked}"))
                .unwrap_or_else(|| "known".to_owned()),
        };
        vec![candidate.address.to_string(), kind, state]
    }));
    format!("\n{}", table(&rows))
}

fn checked(check: CheckStatus) -> Option<String> {
    match (check.state, check.rtt_us) {
        (CheckState::Never, _) => None,
        (CheckState::Waiting, _) => Some("being checked".to_owned()),
        (CheckState::Answered, rtt) => Some(format!(
            "answers{}",
            rtt.map(|rtt| format!(" in {}", milliseconds(rtt))).unwrap_or_default()
        )),
        (CheckState::Silent, _) => Some("does not answer".to_owned()),
    }
}

fn history(history: &[Happening], now: u64) -> String {
    if history.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = history
        .iter()
        .map(|happening| {
            row(
                &format!("{} ago", age(now.saturating_sub(happening.time_ms) / 1_000)),
                happening.text.clone(),
            )
        })
        .collect();
    format!("\nWhat happened:\n{}", table(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented shape; fields that are missing here would break somebody's script.
    fn explanation() -> Explanation {
        serde_json::from_value(serde_json::json!({
            "address": "100.64.0.2",
            "peer": {
                "id": 2, "name": "beta", "kind": "agent", "addresses": ["100.64.0.2", "fd00:64::2"],
                "allowed_ips": ["100.64.0.2/32"], "protocol": "esp", "endpoint": "198.51.100.2:4500",
                "path": {
                    "relayed": false, "remote": "198.51.100.2:4500", "kind": "host", "proven": true, "rtt_us": 1250,
                    "mtu": 1500, "since_s": 60, "why_relayed": []
                },
                "state": "active", "last_handshake_age_s": 30, "rx_bytes": 2048, "tx_bytes": 12,
                "rx_packets": 2, "tx_packets": 1, "problem": null,
                "reasons": [{ "code": "prefers-esp", "text": "beta asks for ESP" }]
            },
            "tags": ["web", "pci"],
            "compliance": false,
            "nat": { "ipv4": { "class": "endpoint-independent", "filtering": "address-dependent" } },
            "peer_nat": { "ipv4": { "class": "none" } },
            "generation": 3,
            "candidates": [
                { "address": "198.51.100.2:4500", "kind": "host", "used": true, "problem": null,
                  "check": { "state": "answered", "rtt_us": 1250 } },
                { "address": "203.0.113.7:61000", "kind": "reflexive", "used": false, "problem": null,
                  "check": { "state": "silent", "rtt_us": null } },
                { "address": "100.64.0.9:4500", "kind": "host", "used": false, "problem": "it lies in the mesh itself" }
            ],
            "history": [{ "time_ms": 1_000_000, "text": "ESP: an IKE SA stands, with 198.51.100.2:4500" }],
            "meaning": ["ESP carries the traffic: beta asks for ESP."]
        }))
        .unwrap()
    }

    #[test]
    fn the_page_begins_with_what_it_means_and_goes_on_to_the_details() {
        assert_eq!(
            page(&explanation(), 1_090_000),
            "\
beta, a node with an agent, tags web, pci

ESP carries the traffic: beta asks for ESP.

Addresses  100.64.0.2, fd00:64::2
Protocol   esp
Tunnel     active, last handshake 30 s ago, 2.0 KiB received, 12 B sent
Path       direct, to 198.51.100.2:4500, round trip 1.2 ms, MTU 1500, for 60 s
NAT here   IPv4: endpoint-independent, filtering address-dependent
NAT there  IPv4: none

CANDIDATE          KIND       STATE
198.51.100.2:4500  host       in use, answers in 1.2 ms
203.0.113.7:61000  reflexive  does not answer
100.64.0.9:4500    host       never tried: it lies in the mesh itself

What happened:
90 s ago  ESP: an IKE SA stands, with 198.51.100.2:4500
"
        );
    }

    #[test]
    fn the_json_form_keeps_its_names() {
        let json = serde_json::to_value(explanation()).unwrap();
        assert_eq!(json["peer"]["reasons"][0]["code"], "prefers-esp");
        assert_eq!(json["candidates"][0]["used"], true);
        assert_eq!(json["history"][0]["time_ms"], 1_000_000);
        assert_eq!(
            (&json["nat"]["ipv4"]["class"], &json["peer_nat"]["ipv4"]["class"]),
            (&"endpoint-independent".into(), &"none".into())
        );
        assert_eq!(json["generation"], 3);
        let path = &json["peer"]["path"];
        assert_eq!(
            (&path["relayed"], &path["kind"], &path["rtt_us"]),
            (&false.into(), &"host".into(), &1250.into())
        );
    }
}
