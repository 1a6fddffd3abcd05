//! What stands from `site add` to `site remove`, whatever happens to the daemon and the peer.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{must_add, pair, sas, shown, site, until_installed};
use crate::support::{Lan, Node, refusal, until};

/// Counts what leaves a node's outer interface for inner addresses.
struct Wire<'n>(&'n Node);

impl<'n> Wire<'n> {
    /// There is a default route, as where sites are.
    fn watch(node: &'n Node) -> Self {
        node.namespace.must("ip route add default via 192.0.2.254");
        node.namespace.must(
            "nft 'table inet watch { chain out { type filter hook postrouting priority 0; \
             oifname eth0 ip daddr 10.0.0.0/8 counter; }; }'",
        );
        Self(node)
    }

    fn leaked(&self) -> u64 {
        let shown = self.0.namespace.must("nft list table inet watch");
        let (_, after) = shown.split_once("counter packets ").unwrap();
        after.split(' ').next().unwrap().parse().unwrap()
    }
}

fn blocked(node: &Node) -> u64 {
    shown(node)[0]["children"][0]["blocked"].as_u64().unwrap()
}

#[test]
fn sites_come_back_after_the_daemons_end_and_after_its_crash_with_traffic() {
    let lan = Lan::new();
    let [mut a, mut b] = pair(&lan);
    must_add(&b, &site(2, "start = \"none\"", ""));
    must_add(&a, &site(1, "", ""));
    until_installed(&a);
    let file = a.state().join("sites");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::remove_file(a.folder.path().join("site.toml")).unwrap();
    a.restart();
    until_installed(&a);
    until("an answer through ESP", || a.pings("10.2.0.1").then_some(()));
    b.crash();
    b.start();
    // The other side does not know of the crash: INITIAL_CONTACT tells it.
    let up = b.twinmesh(&["site", "up", "peer"]);
    assert!(up.status.success(), "{up:?}");
    until("an answer after the peer's crash", || a.pings("10.2.0.1").then_some(()));
    a.crash();
    a.start();
    until_installed(&a);
    until("an answer after a crash", || a.pings("10.2.0.1").then_some(()));
    assert!(a.twinmesh(&["site", "remove", "peer"]).status.success());
    a.restart();
    assert_eq!((shown(&a), a.has_tun(), file.exists()), (Vec::new(), false, false));
}

#[test]
fn traffic_of_a_site_whose_peer_is_down_is_seen_on_no_wire() {
    let lan = Lan::new();
    let [a, mut b] = pair(&lan);
    let wire = Wire::watch(&a);
    let tries = || a.namespace.sh("ping -c 3 -i 0.1 -W 1 -I 10.1.0.1 10.2.0.1");
    assert!(!tries().status.success());
    assert_eq!(wire.leaked(), 3, "without a site it leaves in the clear");

    assert!(b.stop().success());
    must_add(&a, &site(1, "start = \"none\"", ""));
    let refused = String::from_utf8(tries().stdout).unwrap();
    assert_eq!((wire.leaked(), blocked(&a)), (3, 3));
    assert!(refused.contains("Packet filtered"), "programs fail at once: {refused}");
    b.start();
    must_add(&b, &site(2, "start = \"none\"", ""));
    let up = a.twinmesh(&["site", "up", "peer"]);
    assert!(up.status.success(), "{up:?}");
    assert!(tries().status.success());
    assert!(a.twinmesh(&["site", "down", "peer"]).status.success());
    until("the end at the peer", || sas(&b).is_empty().then_some(()));
    assert!(!tries().status.success());
    assert_eq!((wire.leaked(), blocked(&a)), (3, 6));
    assert_eq!(shown(&a)[0]["state"], json!("down"));

    assert!(a.twinmesh(&["site", "remove", "peer"]).status.success());
    assert!(!tries().status.success());
    assert_eq!(wire.leaked(), 6, "removed, it goes as it would without");
}

#[test]
fn a_site_that_was_taken_down_stays_down_until_it_is_brought_up() {
    let lan = Lan::new();
    let [mut a, b] = pair(&lan);
    must_add(&b, &site(2, "start = \"none\"", ""));
    must_add(&a, &site(1, "", ""));
    until_installed(&a);
    assert!(a.twinmesh(&["site", "down", "peer"]).status.success());
    a.restart();
    assert_eq!(shown(&a)[0]["state"], json!("down"));
    assert!(refusal(&b.twinmesh(&["site", "up", "peer"])).contains("did not come up"));
    assert!(!a.pings("10.2.0.1"));
    let up = a.twinmesh(&["site", "up", "peer"]);
    assert!(up.status.success(), "{up:?}");
    until("an answer through ESP", || a.pings("10.2.0.1").then_some(()));
    assert!(refusal(&a.twinmesh(&["site", "down", "other"])).contains("site list"));

    assert!(a.twinmesh(&["down"]).status.success());
    a.restart();
    assert_eq!((shown(&a)[0]["state"].clone(), a.has_tun()), (json!("down"), false));
    assert!(a.twinmesh(&["site", "up", "peer"]).status.success());
    until("an answer after all", || a.pings("10.2.0.1").then_some(()));
}

#[test]
fn the_first_packet_brings_a_site_up_and_is_not_lost() {
    let lan = Lan::new();
    let [a, b] = pair(&lan);
    let wire = Wire::watch(&a);
    must_add(&b, &site(2, "start = \"none\"", ""));
    must_add(&a, &site(1, "start = \"trap\"", ""));
    assert_eq!(shown(&a)[0]["state"], json!("trapped"));
    let first = a.namespace.sh("ping -c 1 -W 10 -I 10.1.0.1 10.2.0.1");
    assert!(first.status.success(), "{first:?}");
    let seen = shown(&a).remove(0);
    assert_eq!((&seen["state"], &seen["children"][0]["blocked"]), (&json!("established"), &json!(0)));

    // The peer ends it: the next packet brings it up again.
    assert!(b.twinmesh(&["site", "down", "peer"]).status.success());
    until("the end", || (shown(&a)[0]["state"] == "trapped").then_some(()));
    assert!(!a.pings("10.2.0.1"));
    until("the refusal", || (shown(&a)[0]["state"] == "failed").then_some(()));
    let refused = a.namespace.sh("ping -c 1 -W 5 -I 10.1.0.1 10.2.0.1");
    assert!(String::from_utf8_lossy(&refused.stdout).contains("Packet filtered"), "{refused:?}");
    b.twinmesh(&["site", "up", "peer", "--no-wait"]);
    until("an answer once the peer is back", || a.pings("10.2.0.1").then_some(()));
    assert_eq!(wire.leaked(), 0);
}

#[test]
fn a_check_changes_nothing_and_knows_the_sites_of_the_daemon() {
    let lan = Lan::new();
    let [a, _b] = pair(&lan);
    let check = |text: &str| {
        let path = a.folder.path().join("check.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        a.twinmesh(&["site", "check", path.to_str().unwrap()])
    };
    let said = |text: &str| String::from_utf8(check(text).stdout).unwrap();
    assert!(said(&site(1, "", "")).ends_with("nothing to warn of\n"));
    assert!(shown(&a).is_empty() && !a.has_tun());
    must_add(&a, &site(1, "start = \"none\"", ""));
    let other = said(&site(1, "", "").replace("\"peer\"", "\"other\""));
    assert!(other.contains("child `lan` overlaps with the child `lan` of the site `peer`"), "{other}");
    assert!(refusal(&check("name = 7")).contains("check.toml:1"));
}

/// Quick to notice that the peer is dead.
const IMPATIENT: &str = "dpd_delay = \"1s\"\nretransmission = { first = \"1s\", factor = 1.0, tries = 1 }\n";

#[test]
fn after_the_peers_death_a_site_begins_again_or_waits_for_traffic_as_it_is_told() {
    for action in ["restart", "trap", "clear"] {
        let lan = Lan::new();
        let [a, mut b] = pair(&lan);
        must_add(&b, &site(2, "start = \"none\"", ""));
        must_add(&a, &site(1, &format!("{IMPATIENT}dpd_action = \"{action}\""), ""));
        until_installed(&a);
        b.crash();
        until("the notice of the peer's death", || {
            (shown(&a)[0]["last_error"] == "the peer answers no longer").then_some(())
        });
        b.start();
        let comes_back = || shown(&a)[0]["state"] == "established" || sas(&b).len() == 1;
        match action {
            "restart" => until("a new beginning", || comes_back().then_some(())),
            "trap" => {
                a.namespace.must("sleep 2.5");
                assert!(!comes_back(), "without traffic");
                until("an answer to traffic", || a.pings("10.2.0.1").then_some(()));
            }
            _ => {
                assert!(!a.pings("10.2.0.1"));
                a.namespace.must("sleep 2.5");
                assert!(!comes_back());
                let up = b.twinmesh(&["site", "up", "peer"]);
                assert!(up.status.success(), "{up:?}");
                until("an answer once the peer began", || a.pings("10.2.0.1").then_some(()));
            }
        }
    }
}

#[test]
fn each_pair_of_subnets_has_sas_of_its_own_where_the_peer_knows_no_more() {
    let lan = Lan::new();
    let [a, b] = pair(&lan);
    let pairs = |own: u8, site: &str| {
        let child = format!("local_ts = [\"10.{own}.0.0/16\", \"10.1{own}.0.0/16\"]");
        super::site(own, site, "").replace(&format!("local_ts = [\"10.{own}.0.0/16\"]"), &child)
    };
    for (number, node) in [(1, &a), (2, &b)] {
        node.namespace.must(&format!("ip addr add 10.1{number}.0.1/32 dev lo"));
    }
    must_add(
        &b,
        &site(2, "start = \"none\"\nsingle_pair = true", "")
            .replace("[\"10.1.0.0/16\"]", "[\"10.1.0.0/16\", \"10.11.0.0/16\"]"),
    );
    must_add(&a, &pairs(1, "start = \"trap\"\nsingle_pair = true"));
    for source in ["10.1.0.1", "10.11.0.1"] {
        let ping = a.namespace.sh(&format!("ping -c 1 -W 10 -I {source} 10.2.0.1"));
        assert!(ping.status.success(), "{source}: {ping:?}");
    }
    let selectors: Vec<_> = sas(&a).iter().map(|sa| sa["local_ts"].clone()).collect();
    assert_eq!(selectors, [json!(["10.1.0.0/16"]), json!(["10.11.0.0/16"])]);
    let children = shown(&a)[0]["children"].as_array().unwrap().len();
    assert_eq!(children, 2, "each is shown");
}

#[test]
fn a_certificate_that_is_gone_is_used_as_it_was_and_a_renewed_one_as_it_is() {
    const SECRET: &str = "psk = \"a secret of many letters, for a test\"";

    let lan = Lan::new();
    let nodes = pair(&lan);
    super::certify(&nodes);
    let [mut a, b] = nodes;
    let proof = "certificate = \"node.pem\"\nkey = \"node.key\"\nca = [\"ca.pem\"]";
    must_add(&b, &site(2, "start = \"none\"", "").replace(SECRET, proof));
    must_add(&a, &site(1, "", "").replace(SECRET, proof));
    until_installed(&a);
    let key = a.folder.path().join("node.key");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    a.restart();
    until_installed(&a);
    assert!(fs::read_to_string(a.log()).unwrap().contains("are used as they were"));
    fs::write(&key, kept).unwrap();
    a.restart();
    until_installed(&a);
}
