//! SAs for people.

use super::super::status::{age, bytes, moments};
use super::super::table;
use crate::api::{
    SaDirection, SaEncapsulation, SaIke, SaLimits, SaMode, SaOrigin, SaPair, SaState, SaSuiteClass,
};

/// Per tunnel a heading, its selectors, and a line for each direction; the lines of all tunnels in one table.
pub(super) fn page(pairs: &[SaPair]) -> String {
    if pairs.is_empty() {
        return "No SAs: none were added since the tunnels came up, or the tunnels are down.\n".to_owned();
    }
    let rows: Vec<Vec<String>> =
        pairs.iter().flat_map(|pair| [row("in", &pair.inbound), row("out", &pair.outbound)]).collect();
    let directions = table(&rows);
    let mut directions = directions.lines();
    let mut text = String::new();
    for (index, pair) in pairs.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let mut lines = vec![heading(pair)];
        lines.extend(pair.problem.as_ref().map(|problem| format!("  problem: {problem}")));
        lines.extend(pair.ike.as_ref().map(|ike| format!("  {}", ike_line(ike))));
        lines.push(format!("  {} === {}", pair.local_ts.join(", "), pair.remote_ts.join(", ")));
        lines.extend(directions.by_ref().take(2).map(str::to_owned));
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

fn heading(pair: &SaPair) -> String {
    let state = match pair.state {
        SaState::Active => "active",
        SaState::Expiring => "EXPIRING",
        SaState::Expired => "EXPIRED",
    };
    let mode = match pair.mode {
        SaMode::Tunnel => "tunnel",
        SaMode::Transport => "transport",
    };
    let class = match pair.suite_class {
        SaSuiteClass::Default => "",
        SaSuiteClass::Legacy => " (LEGACY)",
        SaSuiteClass::TestOnly => " (NO ENCRYPTION)",
    };
    let esn = if pair.esn { " with ESN" } else { "" };
    let local = pair.local.map(|local| format!("{local} → ")).unwrap_or_default();
    let outside = match pair.encapsulation {
        SaEncapsulation::Udp => format!("UDP {local}{}", pair.remote),
        SaEncapsulation::Raw => format!("IP protocol 50 {local}{}", pair.remote.ip()),
    };
    let follows = if pair.follow_remote { " (follows)" } else { "" };
    let partial = if pair.partial_checksums { ", partial checksums" } else { "" };
    let keyed = match pair.origin {
        SaOrigin::Manual => "keyed by hand",
        SaOrigin::Ike => "keyed by IKE",
    };
    format!(
        "{}: {state} for {}, {mode} mode, {}{class}{esn}, {outside}{follows}, MTU {}{partial}, {keyed}",
        pair.name,
        age(pair.age_s),
        pair.suite,
        pair.mtu,
    )
}

/// Whose the tunnel is, and what IKE will do with it.
fn ike_line(ike: &SaIke) -> String {
    let ends = match (&ike.local_id, &ike.remote_id) {
        (Some(local), Some(remote)) => format!("{local} … {remote}"),
        (None, _) | (_, None) => "its IKE SA is being set up anew".to_owned(),
    };
    [Some(ends), moments(ike.rekey_in_s, ike.expires_in_s)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

fn row(name: &str, sa: &SaDirection) -> Vec<String> {
    let window = sa.replay_window.map(|window| format!("window {window}")).unwrap_or_default();
    let packets = if sa.packets == 1 { "1 packet".to_owned() } else { format!("{} packets", sa.packets) };
    let drops: Vec<String> = sa.drops.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let dropped = if drops.is_empty() { String::new() } else { format!("dropped: {}", drops.join(", ")) };
    vec![
        format!("  {name}"),
        sa.spi.clone(),
        packets,
        bytes(sa.bytes),
        format!("sequence {}", sa.sequence),
        window,
        lifetime(sa),
        dropped,
    ]
}

fn lifetime(sa: &SaDirection) -> String {
    match (limits(&sa.soft), limits(&sa.hard)) {
        (None, None) => "no limits".to_owned(),
        (Some(soft), None) => format!("soft {soft}"),
        (None, Some(hard)) => format!("hard {hard}"),
        (Some(soft), Some(hard)) => format!("soft {soft}, hard {hard}"),
    }
}

fn limits(limits: &SaLimits) -> Option<String> {
    let all = [
        limits.seconds.map(age),
        limits.bytes.map(bytes),
        limits.packets.map(|packets| format!("{packets} packets")),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join(" / "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented shape; fields that are missing here would break somebody's script.
    fn pair() -> SaPair {
        serde_json::from_value(serde_json::json!({
            "name": "to-beta", "origin": "manual", "state": "active", "problem": null, "mode": "tunnel",
            "encapsulation": "udp", "suite": "aes128gcm16", "suite_class": "default", "esn": true, "local": null,
            "remote": "198.51.100.2:4500", "follow_remote": false, "local_ts": ["10.1.0.0/16"],
            "remote_ts": ["10.2.0.0/16", "10.3.0.0/16[tcp/443]"], "routes": ["10.2.0.0/15"], "mtu": 1438, "age_s": 130, "ike": null,
            "inbound": {
                "spi": "c0000001", "state": "active", "packets": 12, "bytes": 3482, "sequence": 13,
                "replay_window": 4096, "soft": { "bytes": null, "packets": null, "seconds": 3300 },
                "hard": { "bytes": 1_073_741_824_u64, "packets": 1000, "seconds": 3600 }, "drops": { "esp-replayed": 3 }
            },
            "outbound": {
                "spi": "d0000001", "state": "active", "packets": 1, "bytes": 84, "sequence": 1, "replay_window": null,
                "soft": { "bytes": null, "packets": null, "seconds": null },
                "hard": { "bytes": null, "packets": null, "seconds": null }, "drops": {}
            }
        }))
        .unwrap()
    }

    #[test]
    fn a_tunnel_is_a_heading_its_selectors_and_two_aligned_lines() {
        assert_eq!(
            page(&[pair()]),
            "\
to-beta: active for 2 min, tunnel mode, aes128gcm16 with ESN, UDP 198.51.100.2:4500, MTU 1438, keyed by hand
  10.1.0.0/16 === 10.2.0.0/16, 10.3.0.0/16[tcp/443]
  in   c0000001  12 packets  3.4 KiB  sequence 13  window 4096  soft 55 min, hard 60 min / 1.0 GiB / 1000 packets  \
dropped: 3 esp-replayed
  out  d0000001  1 packet    84 B     sequence 1                no limits
"
        );
    }

    #[test]
    fn a_child_of_a_site_has_identities_and_its_next_keys() {
        let mut pair = pair();
        pair.origin = SaOrigin::Ike;
        pair.encapsulation = SaEncapsulation::Raw;
        pair.ike = Some(SaIke {
            local_id: Some("gw.example.net".to_owned()),
            remote_id: Some("branch".to_owned()),
            rekey_in_s: Some(3_000),
            expires_in_s: Some(3_360),
        });
        let text = page(&[pair.clone()]);
        let heading = "IP protocol 50 198.51.100.2, MTU 1438, keyed by IKE";
        assert!(text.lines().next().unwrap().ends_with(heading), "{text}");
        assert!(
            text.contains("\n  gw.example.net … branch, new keys in 50 min, else it ends in 56 min\n"),
            "{text}"
        );
        pair.ike = Some(SaIke { local_id: None, remote_id: None, rekey_in_s: None, expires_in_s: None });
        assert!(page(&[pair]).contains("\n  its IKE SA is being set up anew\n"));
    }

    #[test]
    fn what_should_worry_is_seen() {
        let mut pair = pair();
        pair.state = SaState::Expired;
        pair.suite_class = SaSuiteClass::Legacy;
        pair.problem = Some("stopped".to_owned());
        let page = page(&[pair.clone(), pair]);
        for part in ["EXPIRED", "(LEGACY)", "problem: stopped", "\n\nto-beta"] {
            assert!(page.contains(part), "no {part:?} in\n{page}");
        }
    }

    #[test]
    fn without_sas_it_says_so() {
        assert!(page(&[]).starts_with("No SAs"));
    }

    #[test]
    fn the_json_form_keeps_its_names() {
        let json = serde_json::to_value(pair()).unwrap();
        assert_eq!(json["encapsulation"], "udp");
        assert_eq!(json["suite_class"], "default");
        assert_eq!(json["inbound"]["hard"]["packets"], 1000);
        assert_eq!(json["outbound"]["replay_window"], serde_json::Value::Null);
    }
}
