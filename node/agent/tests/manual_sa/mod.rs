//! SAs keyed by hand: what the kernel and the user see of them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use serde_json::{Value, json};

use super::support::{Hub, Lan, Node, refusal, until};

/// One end of a pair of SAs between nodes 1 and 2; `settings` are those that differ from test to test.
fn table(own: u8, name: &str, number: u8, settings: &str) -> String {
    let peer = 3 - own;
    let spi = |receiver: u8| format!("c00000{number}{receiver}");
    let key = |receiver: u8| format!("{number:02x}{receiver:02x}").repeat(10);
    format!(
        "[[sa]]\nname = \"{name}\"\nsuite = \"aes128gcm16\"\nremote = \"192.0.2.{peer}:4500\"\n{settings}\n\
         inbound = {{ spi = \"{}\", key = \"{}\" }}\noutbound = {{ spi = \"{}\", key = \"{}\" }}\n",
        spi(own),
        key(own),
        spi(peer),
        key(peer)
    )
}

fn transport(own: u8) -> String {
    let ipv4 = table(own, "hosts", 1, &format!("mode = \"transport\"\nlocal = \"192.0.2.{own}\""));
    let ipv6 = table(own, "hosts6", 4, &format!("mode = \"transport\"\nlocal = \"2001:db8::{own}\""));
    let peer = 3 - own;
    ipv4 + &ipv6.replace(&format!("192.0.2.{peer}:4500"), &format!("[2001:db8::{peer}]:4500"))
}

fn tunnel(own: u8, more: &str) -> String {
    let peer = 3 - own;
    let settings = format!(
        "mode = \"tunnel\"\nlocal_ts = [\"10.{own}.0.0/16\"]\nremote_ts = [\"10.{peer}.0.0/16\"]\n{more}"
    );
    table(own, "subnets", 2, &settings)
}

fn add(node: &Node, text: &str) -> Output {
    let path = node.folder.path().join("sa.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    node.twinmesh(&["sa", "add", path.to_str().unwrap()])
}

fn must_add(node: &Node, text: &str) -> String {
    let output = add(node, text);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn sas(node: &Node) -> Vec<Value> {
    let output = node.twinmesh(&["sa", "--json"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Rules and routes, without the device's own link-local address, which is another each time.
fn kernel(node: &Node) -> String {
    node.namespace.must(
        "ip rule; ip -6 rule; (ip route show table all dev mesh0; ip -6 route show table all dev mesh0) | grep -v fe80",
    )
}

fn pair(lan: &Lan, hub: &Hub) -> [Node; 2] {
    [1, 2].map(|number| {
        let node = Node::with_arguments(lan, number, &["--allow-manual-sa"]);
        let output = node.up(hub, number);
        assert!(output.status.success(), "{output:?}");
        node.namespace.must(&format!("ip addr add 10.{number}.0.1/32 dev eth0"));
        node
    })
}

#[test]
fn keys_by_hand_are_refused_unless_the_daemon_was_told_to_take_them_and_is_up() {
    let lan = Lan::new();
    let careful = Node::new(&lan, 1);
    assert!(refusal(&add(&careful, &transport(1))).contains("--allow-manual-sa"));
    let down = Node::with_arguments(&lan, 2, &["--allow-manual-sa"]);
    assert!(refusal(&add(&down, &transport(2))).contains("`twinmesh up` first"));
    assert!(refusal(&add(&down, "[[sa]]\nnome = 1")).contains("sa.toml:2: unknown field `nome`"));
    assert_eq!(sas(&down), Vec::<Value>::new());
}

#[test]
fn without_udp_the_same_traffic_goes_as_protocol_50_over_both_families() {
    let lan = Lan::new();
    let hub = Hub::start(&lan);
    let [a, b] = pair(&lan, &hub);
    for (own, node) in [(1, &a), (2, &b)] {
        let peer = 3 - own;
        let raw = transport(own)
            .replace(
                &format!("\"192.0.2.{peer}:4500\""),
                &format!("\"192.0.2.{peer}\"\nencapsulation = \"raw\""),
            )
            .replace(
                &format!("\"[2001:db8::{peer}]:4500\""),
                &format!("\"2001:db8::{peer}\"\nencapsulation = \"raw\""),
            );
        node.namespace.must("for each in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $each; done");
        must_add(node, &raw);
    }
    until("an answer through ESP", || a.pings("192.0.2.2").then_some(()));
    until("an answer through ESP over IPv6", || a.pings("2001:db8::2").then_some(()));
    for sa in sas(&b) {
        assert_eq!(sa["encapsulation"], json!("raw"));
        assert!(sa["inbound"]["packets"].as_u64() > Some(0), "{sa}");
    }
    let datagrams = b.status()["datagrams"].clone();
    assert!(datagrams["esp-raw"].as_u64() >= Some(2) && datagrams["esp"] == json!(0), "{datagrams}");
}

#[test]
fn transport_mode_protects_the_outer_addresses_and_leaves_no_rule_behind() {
    let lan = Lan::new();
    let hub = Hub::start(&lan);
    let [mut a, b] = pair(&lan, &hub);
    let before = kernel(&a);
    a.namespace.must(
        "echo 1 > /proc/sys/net/ipv4/conf/eth0/rp_filter; echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter",
    );
    let told = must_add(&a, &transport(1));
    assert!(told.contains("`sysctl -w net.ipv4.conf.eth0.rp_filter=2`"), "{told}");
    a.namespace.must("echo 2 > /proc/sys/net/ipv4/conf/eth0/rp_filter");
    must_add(&b, &transport(2));
    let with = kernel(&a);
    assert!(with.contains("not from all fwmark 0x746d lookup 29805"), "{with}");
    assert!(with.contains("192.0.2.2 table 29805") && with.contains("src 192.0.2.1"), "{with}");
    assert!(with.contains("2001:db8::2 table 29805") && with.contains("src 2001:db8::1"), "{with}");
    until("an answer through ESP", || a.pings("192.0.2.2").then_some(()));
    until("an answer through ESP over IPv6", || a.pings("2001:db8::2").then_some(()));
    for node in [&a, &b] {
        let sas = sas(node);
        assert!(sas.iter().all(|sa| sa["inbound"]["packets"].as_u64() > Some(0)), "{sas:?}");
        let sa = &sas[0];
        assert_eq!(
            (&sa["name"], &sa["mode"], &sa["state"]),
            (&json!("hosts"), &json!("transport"), &json!("active"))
        );
    }
    let again = refusal(&add(&a, &transport(1).replace("hosts", "others")));
    assert!(again.contains("was in use before"), "{again}");

    a.crash();
    assert!(kernel_rules(&a).contains("29805"));
    a.start();
    assert!(!kernel_rules(&a).contains("29805"));
    a.until_status("the tunnels", |status| status["state"] == "running");
    assert_eq!(sas(&a), Vec::<Value>::new());

    must_add(&a, &transport(1));
    for name in ["hosts", "hosts6"] {
        let removed = a.twinmesh(&["sa", "remove", name]);
        assert!(removed.status.success(), "{removed:?}");
    }
    assert_eq!(kernel(&a), before);
    assert!(b.twinmesh(&["down"]).status.success());
    assert!(!kernel_rules(&b).contains("29805"));
}

fn kernel_rules(node: &Node) -> String {
    node.namespace.must("ip rule; ip -6 rule")
}

#[test]
fn tunnel_mode_routes_the_subnets_and_a_batch_is_added_whole_or_not_at_all() {
    let lan = Lan::new();
    let hub = Hub::start(&lan);
    let [mut a, b] = pair(&lan, &hub);
    let before = kernel(&a);
    let clash = table(
        1,
        "clash",
        3,
        "mode = \"tunnel\"\nlocal_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"192.0.2.0/25\"]",
    );
    a.namespace.must("ip route add 192.168.7.0/24 dev eth0");
    let taken = clash.replace("192.0.2.0/25", "192.168.7.0/24");
    let refused = refusal(&add(&a, &format!("{}{taken}", tunnel(1, ""))));
    assert!(refused.contains("192.168.7.0/24") && refused.contains("nothing of"), "{refused}");
    assert_eq!((sas(&a), kernel(&a)), (Vec::new(), before));

    must_add(&a, &tunnel(1, "lifetime.soft.packets = 2\nlifetime.hard.packets = 5"));
    must_add(&b, &tunnel(2, ""));
    // The daemon hears of the machine's addresses from the kernel, maybe a moment after the SA was added.
    until("the route with the address of this side's subnet", || {
        kernel(&a).contains("10.2.0.0/16 proto static src 10.1.0.1").then_some(())
    });
    a.namespace.must("ip addr del 10.1.0.1/32 dev eth0");
    until("a route that does not need the address", || (!kernel(&a).contains("src 10.1.0.1")).then_some(()));
    a.namespace.must("ip addr add 10.1.0.1/32 dev eth0");
    until("the address at the route again", || {
        kernel(&a).contains("10.2.0.0/16 proto static src 10.1.0.1").then_some(())
    });
    until("an answer from the other subnet", || a.pings("10.2.0.1").then_some(()));
    until("the end of a lifetime", || {
        a.pings("10.2.0.1");
        sas(&a).iter().any(|sa| sa["state"] == "expired").then_some(())
    });
    let log = || fs::read_to_string(a.log()).unwrap();
    until("word of it", || log().contains("hard limit").then_some(()));
    let page = String::from_utf8(a.twinmesh(&["sa"]).stdout).unwrap();
    assert!(page.contains("subnets: EXPIRED") && page.contains("10.1.0.0/16 === 10.2.0.0/16"), "{page}");
    assert!(a.stop().success());
    assert!(!kernel_rules(&a).contains("29805"));
}
