//! Sites for people.

use super::super::status::{age, bytes, moments};
use super::super::table;
use crate::api::{IkeSaStatus, SiteChildStatus, SiteState, SiteStatus};

/// Per site a heading, what is wrong, its IKE SA, and a line for each child.
pub(super) fn page(sites: &[SiteStatus]) -> String {
    if sites.is_empty() {
        return "No sites: `twinmesh site add FILE` adds one.\n".to_owned();
    }
    sites.iter().map(site).collect::<Vec<_>>().join("\n")
}

fn site(site: &SiteStatus) -> String {
    let state = match site.state {
        SiteState::Established => "established",
        SiteState::Connecting => "connecting",
        SiteState::Failed => "FAILED",
        SiteState::Waiting => "waiting for the peer",
        SiteState::Trapped => "waiting for traffic",
        SiteState::Down => "DOWN",
    };
    let remote = site.remote.as_deref().unwrap_or("anywhere");
    let mut text = format!("{}: {state}, peer at {remote}\n", site.name);
    if let Some(error) = &site.last_error {
        text.push_str(&format!("  problem: {error}\n"));
    }
    if let Some(sa) = &site.ike_sa {
        text.push_str(&ike_sa(sa, remote));
    }
    let rows: Vec<Vec<String>> = site.children.iter().map(child).collect();
    text.push_str(&table(&rows));
    text
}

/// Who, where, and with which keys.
fn ike_sa(sa: &IkeSaStatus, remote: &str) -> String {
    let role = if sa.initiator { "begun here" } else { "begun by the peer" };
    let behind = |nat: bool| if nat { ", behind a NAT" } else { "" };
    // Whoever wants ESP in UDP in any case claims a NAT.
    let claims = |nat: bool| if nat { ", behind a NAT or says so" } else { "" };
    let rekeyed = match sa.rekeyed {
        0 => String::new(),
        1 => ", new keys once".to_owned(),
        count => format!(", new keys {count} times"),
    };
    let next = moments(sa.rekey_in_s, sa.expires_in_s).map(|next| format!(", {next}")).unwrap_or_default();
    let reauth = sa.reauth_in_s.map(|wait| format!(", from scratch in {}", age(wait))).unwrap_or_default();
    let ppk = if sa.ppk { " with a PPK" } else { "" };
    format!(
        "  {} ({}{}) … {} ({remote}{})\n  {}{ppk}, {role} {} ago{rekeyed}{next}{reauth}, SPIs {} {}\n",
        sa.local_id,
        sa.local,
        behind(sa.local_nat),
        sa.remote_id,
        claims(sa.remote_nat),
        sa.proposal,
        age(sa.established_s),
        sa.initiator_spi,
        sa.responder_spi
    )
}

fn child(child: &SiteChildStatus) -> Vec<String> {
    let name = format!("  {}", child.name);
    let selectors = format!("{} === {}", child.local_ts.join(", "), child.remote_ts.join(", "));
    let (Some(suite), Some(spi_in), Some(spi_out)) = (&child.suite, &child.spi_in, &child.spi_out) else {
        return vec![name, selectors, "no SAs".to_owned(), held_back(child)];
    };
    let counted = |count: u64, size: u64| format!("{} ({count})", bytes(size));
    let age = Some(format!("for {}", age(child.age_s.unwrap_or(0))));
    let next = moments(child.rekey_in_s, child.expires_in_s);
    vec![
        name,
        selectors,
        suite.clone(),
        format!("in {spi_in} {}", counted(child.packets_in, child.bytes_in)),
        format!("out {spi_out} {}", counted(child.packets_out, child.bytes_out)),
        [age, next].into_iter().flatten().collect::<Vec<_>>().join(", "),
        held_back(child),
    ]
}

/// Packets that did not leave because there were no SAs.
fn held_back(child: &SiteChildStatus) -> String {
    let words = |count: u64, what: &str| match count {
        0 => None,
        1 => Some(format!("1 packet {what}")),
        count => Some(format!("{count} packets {what}")),
    };
    [words(child.waiting, "waiting"), words(child.blocked, "blocked")]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites() -> Vec<SiteStatus> {
        serde_json::from_value(serde_json::json!([{
            "name": "branch-7", "state": "established", "last_error": null, "remote": "198.51.100.2:4500",
            "ike_sa": {
                "initiator": true, "local": "192.0.2.1:4500", "local_id": "gw.example.net", "remote_id": "branch",
                "initiator_spi": "0011223344556677", "responder_spi": "8899aabbccddeeff",
                "proposal": "aes128gcm16-prfsha256-x25519", "local_nat": true, "remote_nat": false, "age_s": 130,
                "established_s": 15_000, "rekeyed": 1, "rekey_in_s": 12_000, "expires_in_s": 13_500,
                "reauth_in_s": 14_500, "ppk": true
            },
            "children": [{
                "name": "lan", "state": "installed", "start": "start", "blocked": 1, "waiting": 0, "sa": "branch-7/lan#1", "spi_in": "c0000001",
                "spi_out": "d0000001", "suite": "aes128gcm16", "local_ts": ["10.1.0.0/16"],
                "remote_ts": ["10.2.0.0/16"], "age_s": 65, "rekey_in_s": 3_000, "expires_in_s": 3_360, "packets_in": 3, "packets_out": 4, "bytes_in": 3482,
                "bytes_out": 84, "rekeyed": 0
            }, {
                "name": "voice", "state": "none", "start": "trap", "blocked": 12, "waiting": 3, "sa": null, "spi_in": null, "spi_out": null, "suite": null,
                "local_ts": ["10.1.0.0/16"], "remote_ts": ["10.4.0.0/16"], "age_s": null, "rekey_in_s": null, "expires_in_s": null, "packets_in": 0, "packets_out": 0, "bytes_in": 0,
                "bytes_out": 0, "rekeyed": 0
            }]
        }]))
        .unwrap()
    }

    #[test]
    fn a_site_is_a_heading_its_ike_sa_and_a_line_for_each_child() {
        assert_eq!(
            page(&sites()),
            "\
branch-7: established, peer at 198.51.100.2:4500
  gw.example.net (192.0.2.1:4500, behind a NAT) … branch (198.51.100.2:4500)
  aes128gcm16-prfsha256-x25519 with a PPK, begun here 4 h ago, new keys once, new keys in 3 h, else it ends in 3 h, \
from scratch in 4 h, SPIs 0011223344556677 8899aabbccddeeff
  lan    10.1.0.0/16 === 10.2.0.0/16  aes128gcm16  in c0000001 3.4 KiB (3)                out d0000001 84 B (4)  \
for 65 s, new keys in 50 min, else it ends in 56 min  1 packet blocked
  voice  10.1.0.0/16 === 10.4.0.0/16  no SAs       3 packets waiting, 12 packets blocked
"
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let mut sites = sites();
        sites[0].state = SiteState::Failed;
        sites[0].last_error = Some("no common proposal".to_owned());
        let page = page(&sites);
        assert!(page.contains("FAILED") && page.contains("problem: no common proposal"), "{page}");
    }

    #[test]
    fn without_sites_it_says_how_to_add_one() {
        assert!(page(&[]).contains("site add"));
    }
}
