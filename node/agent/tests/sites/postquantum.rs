//! ML-KEM-768 behind a classic key exchange, between two daemons.

use serde_json::{Value, json};

use super::{must_add, pair, site, until_installed};
use crate::support::{Lan, Node, until};

const IKE: &str = "aes256gcm16-prfsha384-x25519-ke1_mlkem768";
const ESP: &str = "aes256gcm16-x25519-ke1_mlkem768";

/// How many requests of that exchange a node has sent.
fn requests(node: &Node, exchange: &str) -> usize {
    let output = node.twinmesh(&["debug", "ike", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let entries = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
    let asks = |entry: &Value| {
        entry["kind"] == "sent"
            && entry["message"]["exchange"] == exchange
            && entry["message"]["response"] == json!(false)
    };
    entries.filter(|entry| asks(entry.as_ref().unwrap())).count()
}

#[test]
fn ml_kem_768_is_in_every_rekey_of_either_end_and_no_packet_is_lost() {
    for rekeying in [1, 2] {
        let lan = Lan::new();
        let nodes = pair(&lan);
        let settings = |own: u8| {
            let start = if own == 1 { "start" } else { "none" };
            let [ike, esp] = ["7s", "3s"]
                .map(|time| if own == rekeying { format!("rekey_time = \"{time}\"") } else { String::new() });
            let ike = format!("start = \"{start}\"\nproposals = [\"{IKE}\"]\n{ike}");
            site(own, &ike, &format!("proposals = [\"{ESP}\"]\n{esp}"))
        };
        let [a, b] = &nodes;
        must_add(b, &settings(2));
        must_add(a, &settings(1));
        until_installed(a);
        assert_eq!((requests(a, "IKE_INTERMEDIATE"), requests(b, "IKE_INTERMEDIATE")), (1, 0));
        until("an answer through ESP", || a.pings("10.2.0.1").then_some(()));
        let report = a.namespace.must("ping -q -i 0.02 -c 500 -W 5 10.2.0.1");
        assert!(report.contains(" 0% packet loss"), "{report}");

        let seen = until_installed(a);
        assert_eq!(
            (&seen["ike_sa"]["proposal"], &seen["ike_sa"]["initiator"]),
            (&json!(IKE), &json!(rekeying == 1))
        );
        let [ike, child] = [&seen["ike_sa"], &seen["children"][0]].map(|sa| sa["rekeyed"].as_u64().unwrap());
        assert!(ike >= 1 && child >= 2, "{seen}");
        let follow_ups = nodes.each_ref().map(|node| requests(node, "IKE_FOLLOWUP_KE"));
        // Each rekey with one more key exchange, and all of them by one end.
        let expected = usize::try_from(ike + child).unwrap();
        let [by_this, by_other] = if rekeying == 1 { follow_ups } else { [follow_ups[1], follow_ups[0]] };
        assert!(by_this >= expected && by_other == 0, "{follow_ups:?} of {expected}");
    }
}
