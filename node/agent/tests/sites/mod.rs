//! Sites: two daemons that speak IKEv2 with each other, without a coordinator.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Output};

use serde_json::{Value, json};

use super::support::{Lan, Node, refusal, until};

mod postquantum;
mod standing;

/// One end of a connection between nodes 1 and 2; `site` and `child` are settings that differ from test to test.
fn site(own: u8, site: &str, child: &str) -> String {
    let peer = 3 - own;
    format!(
        "name = \"peer\"\nremote = \"192.0.2.{peer}\"\n{site}\n[auth]\npsk = \"a secret of many letters, for a test\"\n\
         local_id = \"@node-{own}.example\"\nremote_id = \"@node-{peer}.example\"\n[[child]]\nname = \"lan\"\n\
         local_ts = [\"10.{own}.0.0/16\"]\nremote_ts = [\"10.{peer}.0.0/16\"]\n{child}\n"
    )
}

fn add(node: &Node, text: &str) -> Output {
    let path = node.folder.path().join("site.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    node.twinmesh(&["up", "--site", path.to_str().unwrap()])
}

fn must_add(node: &Node, text: &str) {
    let output = add(node, text);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

fn shown(node: &Node) -> Vec<Value> {
    let output = node.twinmesh(&["site", "list", "--json"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn sas(node: &Node) -> Vec<Value> {
    serde_json::from_slice(&node.twinmesh(&["sa", "--json"]).stdout).unwrap()
}

fn pair(lan: &Lan) -> [Node; 2] {
    [1, 2].map(|number| {
        let node = Node::new(lan, number);
        node.namespace.must(&format!("ip addr add 10.{number}.0.1/32 dev lo"));
        node
    })
}

fn until_installed(node: &Node) -> Value {
    until("a child SA", || {
        let site = shown(node).into_iter().next()?;
        (site["state"] == "established" && site["children"][0]["state"] == "installed").then_some(site)
    })
}

#[test]
fn a_site_comes_up_without_a_coordinator_and_leaves_nothing_behind() {
    let lan = Lan::new();
    let [a, b] = pair(&lan);
    must_add(&b, &site(2, "start = \"none\"", ""));
    must_add(&a, &site(1, "", ""));
    let seen = until_installed(&a);
    assert_eq!(seen["ike_sa"]["initiator"], json!(true));
    assert_eq!(seen["last_error"], Value::Null, "{seen}");
    assert_eq!(until_installed(&b)["ike_sa"]["initiator"], json!(false));
    until("an answer through ESP", || a.pings("10.2.0.1").then_some(()));
    let sa = sas(&a).remove(0);
    assert_eq!((&sa["origin"], &sa["remote_ts"]), (&json!("ike"), &json!(["10.2.0.0/16"])));
    let removed = a.twinmesh(&["sa", "remove", sa["name"].as_str().unwrap()]);
    assert!(refusal(&removed).contains("site remove"));
    assert!(refusal(&add(&a, &site(1, "", ""))).contains("already"));
    let page = String::from_utf8(a.twinmesh(&["site", "list"]).stdout).unwrap();
    assert!(page.contains("peer: established") && page.contains("10.1.0.0/16 === 10.2.0.0/16"), "{page}");

    assert!(a.twinmesh(&["site", "remove", "peer"]).status.success());
    until("the end at the other node", || {
        (shown(&b)[0]["state"] == "waiting" && sas(&b).is_empty()).then_some(())
    });
    assert!(!a.namespace.must("ip link").contains("mesh0"));
    assert!(!a.namespace.must("ss -uln").contains(":500 "));
    assert!(b.twinmesh(&["down"]).status.success());
    assert_eq!(shown(&b)[0]["state"], "down");
    assert!(!b.has_tun());
    assert!(b.twinmesh(&["site", "remove", "peer"]).status.success());
    assert!(!b.has_tun() && !b.state().join("sites").exists());
}

/// Certificates of an authority and of both nodes, by openssl, in each node's folder.
fn certify(nodes: &[Node; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().display();
    let openssl = |line: &str| nodes[0].namespace.must(&format!("cd {here} && openssl {line} 2>&1"));
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca",
    );
    for (number, node) in (1..).zip(nodes) {
        openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout node.key -out node.pem -days 2 \
             -CA ca.pem -CAkey ca.key -subj /CN=n{number} -addext subjectAltName=DNS:node-{number}.example \
             -addext basicConstraints=critical,CA:FALSE -addext keyUsage=digitalSignature"
        ));
        for file in ["ca.pem", "node.pem", "node.key"] {
            fs::copy(folder.path().join(file), node.folder.path().join(file)).unwrap();
        }
    }
    for (node, peer) in [(0, 1), (1, 0)] {
        let [from, to] = [peer, node].map(|node: usize| nodes[node].folder.path());
        fs::copy(from.join("node.pem"), to.join("peer.pem")).unwrap();
    }
}

#[test]
fn ends_prove_themselves_by_certificates_or_by_known_keys() {
    const SECRET: &str = "psk = \"a secret of many letters, for a test\"";
    let lan = Lan::new();
    let nodes = pair(&lan);
    certify(&nodes);
    let [a, b] = &nodes;
    let missing = site(1, "", "").replace(SECRET, "certificate = \"node.pem\"\nkey = \"no.key\"");
    assert!(refusal(&add(a, &missing)).contains("site.toml:6: no.key"));
    for proof in [
        "certificate = \"node.pem\"\nkey = \"node.key\"\nca = [\"ca.pem\"]",
        "key = \"node.key\"\nremote_public_key = \"peer.pem\"",
    ] {
        must_add(b, &site(2, "start = \"none\"", "").replace(SECRET, proof));
        must_add(a, &site(1, "", "").replace(SECRET, proof));
        until_installed(a);
        until("an answer through ESP", || a.pings("10.2.0.1").then_some(()));
        for node in [a, b] {
            assert!(node.twinmesh(&["site", "remove", "peer"]).status.success());
        }
    }
}

#[test]
fn a_wrong_secret_is_told_apart_from_everything_else() {
    let lan = Lan::new();
    let [a, b] = pair(&lan);
    must_add(&b, &site(2, "start = \"none\"", ""));
    must_add(&a, &site(1, "", "").replace("many letters", "some letters"));
    let said = |node: &Node, words: &str| {
        until(words, || {
            shown(node)[0]["last_error"].as_str().is_some_and(|error| error.contains(words)).then_some(())
        });
    };
    said(&b, "another pre-shared key");
    said(&a, "AUTHENTICATION_FAILED");
    assert!(sas(&a).is_empty() && sas(&b).is_empty());
}

#[test]
fn new_keys_come_while_packets_flow_and_none_is_lost() {
    let lan = Lan::new();
    let [a, b] = pair(&lan);
    must_add(&b, &site(2, "start = \"none\"", ""));
    must_add(&a, &site(1, "rekey_time = \"7s\"", "rekey_time = \"3s\""));
    until_installed(&a);
    until("an answer through ESP", || a.pings("10.2.0.1").then_some(()));
    // With a deadline of its own, ping would end without the last answer.
    let report = a.namespace.must("ping -q -i 0.02 -c 600 -W 5 10.2.0.1");
    let rekeyed = shown(&a)[0]["children"][0]["rekeyed"].as_u64().unwrap();
    assert!(rekeyed >= 3, "{rekeyed}");
    assert!(report.contains(" 0% packet loss"), "{report}");
    until("the end of the old SAs", || (sas(&a).len() <= 2).then_some(()));
}

#[test]
fn what_does_not_fit_is_told_in_words_and_tried_again() {
    let lan = Lan::new();
    let [a, b] = pair(&lan);
    must_add(&b, &site(2, "start = \"none\"\nproposals = [\"aes128gcm16-prfsha256-x25519\"]", ""));
    must_add(&a, &site(1, "proposals = [\"aes256-sha512-modp2048\"]", ""));
    let error = |node: &Node| shown(node)[0]["last_error"].as_str().map(str::to_owned);
    let told = until("the reason at the initiator", || error(&a));
    assert!(told.contains("aes256-sha512-modp2048"), "{told}");
    let told = until("the reason at the responder", || {
        let log = fs::read_to_string(b.log()).unwrap();
        log.lines().find(|line| line.contains("peer proposed")).map(str::to_owned)
    });
    assert!(told.contains("aes256-sha512-modp2048 ") || told.contains("add"), "{told}");
    assert!(refusal(&add(&a, "name = 7")).contains("site.toml:1"));
}

#[test]
fn a_node_with_two_addresses_answers_from_the_one_that_its_peer_uses() {
    let lan = Lan::new();
    let [a, b] = pair(&lan);
    b.namespace.must("ip addr add 192.0.2.102/24 dev eth0");
    // Its first address would be taken, were the route to decide.
    a.namespace.must(
        "nft 'table inet strict { chain in { type filter hook input priority 0; ip saddr 192.0.2.2 udp sport { 500, \
         4500 } counter drop; }; }'",
    );
    for port in ["", ":500"] {
        must_add(&b, &site(2, "start = \"none\"", ""));
        let remote = format!("remote = \"192.0.2.102{port}\"");
        must_add(&a, &site(1, "", "").replace("remote = \"192.0.2.2\"", &remote));
        until_installed(&a);
        until("an answer through ESP", || a.pings("10.2.0.1").then_some(()));
        for node in [&a, &b] {
            assert!(node.twinmesh(&["site", "remove", "peer"]).status.success());
        }
    }
    let dropped = a.namespace.must("nft list table inet strict");
    assert!(dropped.contains("counter packets 0 "), "{dropped}");
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn without_the_right_to_raw_sockets_a_site_goes_in_udp_or_says_why_not() {
    let lan = Lan::new();
    let mut node = Node::new(&lan, 1);
    assert!(node.stop().success());
    let line =
        format!("exec setpriv --bounding-set -net_raw {}", node.agent_line("state", "socket", "mesh0"));
    let _agent = Running(node.namespace.command("sh").args(["-c", &line]).spawn().unwrap());
    until("the local socket", || node.twinmesh(&["status"]).status.success().then_some(()));

    let refused = refusal(&add(&node, &site(1, "encapsulation = \"raw\"", "")));
    assert!(refused.contains("raw socket") && refused.contains("CAP_NET_RAW"), "{refused}");
    let output = add(&node, &site(1, "encapsulation = \"auto\"", ""));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("ESP goes in UDP in any case"), "{said}");
}
