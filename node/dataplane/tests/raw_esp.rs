//! ESP without UDP between two data planes, in namespaces joined by a veth pair. Needs root.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed step of a test is a panic; support is a module"
)]
#![expect(dead_code, reason = "support serves other tests too")]

mod support;

use std::io::Read as _;
use std::net::IpAddr;
use std::process::{Child, Stdio};

use support::{Node, TUN, endpoint, pair, until};
use twinmesh_dataplane::esp::{KeyMaterial, Lifetime, Mode, OuterPolicy, SaParameters, Selectors, Spi};
use twinmesh_dataplane::{Encapsulation, EspConfig, EspPath};

const OUTSIDE: [[&str; 2]; 2] = [["192.0.2.1", "192.0.2.2"], ["2001:db8::1", "2001:db8::2"]];

/// Node 1 has 10.1.0.1 inside and node 2 10.2.0.1, each with a route to the other.
fn sites() -> [Node; 2] {
    let (a, b) = pair();
    for (node, own, other) in [(&a, 1, 2), (&b, 2, 1)] {
        node.namespace.must(&format!(
            "ip addr add 10.{own}.0.1/32 dev lo && ip route add 10.{other}.0.0/16 dev {TUN} src 10.{own}.0.1"
        ));
    }
    [a, b]
}

/// One end, 0 or 1, of a tunnel between addresses outside.
fn tunnel(me: u8, outside: [&str; 2], encapsulation: Encapsulation) -> EspConfig {
    let (own, other) = (me + 1, 2 - me);
    let address = |number: u8| outside[usize::from(number - 1)].parse::<IpAddr>().unwrap();
    let prefix = |number: u8| [format!("10.{number}.0.0/16").parse().unwrap()];
    let parameters = |spi: u8| SaParameters {
        spi: Spi::new(0xc000_0000 + u32::from(spi)).unwrap(),
        suite: "aes128gcm16".parse().unwrap(),
        mode: Mode::Tunnel,
        esn: false,
        selectors: Selectors::from_prefixes(prefix(own), prefix(other)),
        lifetime: Lifetime::default(),
        replay_window: 64,
        tfc_multiple: 0,
        tfc_limit: 0,
        align_8: address(own).is_ipv6(),
    };
    let key = |owner: u8| KeyMaterial::new(vec![owner; 20]);
    let remote = match address(other) {
        IpAddr::V4(address) => endpoint(&format!("{address}:4500")),
        IpAddr::V6(address) => endpoint(&format!("[{address}]:4500")),
    };
    EspConfig {
        name: "raw".to_owned(),
        inbound: parameters(own),
        inbound_key: key(own),
        outbound: parameters(other),
        outbound_key: key(other),
        path: EspPath { local: Some(address(own)), remote, encapsulation },
        follow_remote: true,
        original: None,
        follows: None,
        guard: None,
        peer: None,
        outer: OuterPolicy::default(),
        path_mtu: 1500,
        partial_checksums: false,
    }
}

fn add(nodes: &[Node; 2], outside: [&str; 2], encapsulations: [Encapsulation; 2]) {
    for ((me, node), encapsulation) in (0..).zip(nodes).zip(encapsulations) {
        add_one(node, tunnel(me, outside, encapsulation));
    }
}

/// Raw sockets belong to the network namespace of whoever adds the tunnel.
fn add_one(node: &Node, config: EspConfig) {
    node.namespace.run(|| node.dataplane.add_esp(config)).unwrap();
}

fn received(node: &Node, kind: &str) -> u64 {
    node.dataplane.status().datagrams.iter().find(|(name, _)| *name == kind).unwrap().1
}

/// Raw sockets of this family that are open in a namespace; IPv6 needs one for ESP and one for ICMPv6.
fn raw_sockets(node: &Node, family: &str) -> usize {
    node.namespace.must(&format!("tail -n +2 /proc/net/{family}")).lines().count()
}

/// Ends when so many packets that fit have crossed the wire.
fn watch(node: &Node, count: u32, filter: &str) -> Child {
    let line = format!("exec tcpdump -nqi veth0 --immediate-mode -c {count} '{filter}'");
    let mut command = node.namespace.command(&line);
    let mut tcpdump = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // It says "listening" once it does.
    let mut said = [0; 1];
    tcpdump.stderr.as_mut().unwrap().read_exact(&mut said).unwrap();
    tcpdump
}

#[test]
fn both_families_outside_carry_esp_without_udp_and_the_sockets_go_with_the_last_tunnel() {
    use Encapsulation::Raw;
    let nodes = sites();
    let [a, b] = &nodes;
    for (outside, family, protocol) in
        [(OUTSIDE[0], "raw", "ip proto 50"), (OUTSIDE[1], "raw6", "ip6 proto 50")]
    {
        add(&nodes, outside, [Raw, Raw]);
        assert_eq!(
            (raw_sockets(a, "raw"), raw_sockets(a, "raw6")),
            if family == "raw" { (1, 0) } else { (0, 2) }
        );
        let before = received(a, "esp-raw");
        let mut wire = watch(a, 10, protocol);
        a.namespace.must("ping -c 5 -i 0.1 -W 2 10.2.0.1");
        b.namespace.must("ping -c 5 -i 0.1 -W 2 10.1.0.1");
        assert!(wire.wait().unwrap().success());
        assert_eq!((received(a, "esp-raw") - before, received(a, "esp")), (10, 0));
        let status = a.dataplane.esp_status().remove(0);
        assert_eq!(status.inbound.counters.packets, 10);
        assert_eq!(status.path, tunnel(0, outside, Raw).path, "a packet without a port moves nobody");
        for node in &nodes {
            assert!(node.dataplane.remove_esp("raw"));
            until("the end of the raw socket", || raw_sockets(node, family) == 0);
        }
    }
}

#[test]
fn what_comes_in_is_taken_either_way() {
    let nodes = sites();
    add(&nodes, OUTSIDE[0], [Encapsulation::Raw, Encapsulation::Raw]);
    let udp = tunnel(1, OUTSIDE[0], Encapsulation::Udp).path;
    assert_eq!(nodes[1].dataplane.move_esp("raw", udp), Ok(true));
    // Its answers go in UDP now, and nothing but a raw socket would hear the requests.
    assert!(!nodes[0].pings("10.2.0.1"), "node 2 has no raw socket any more");
    let mut second = tunnel(1, OUTSIDE[0], Encapsulation::Raw);
    second.name.push('2');
    second.inbound.spi = Spi::new(0xc000_0009).unwrap();
    add_one(&nodes[1], second);
    assert!(nodes[0].pings("10.2.0.1"));
    let [a, b] = &nodes;
    assert_eq!((received(a, "esp"), received(a, "esp-raw")), (1, 0));
    assert_eq!((received(b, "esp"), received(b, "esp-raw")), (0, 1));
    assert_eq!(a.dataplane.esp_status()[0].path.encapsulation, Encapsulation::Raw);
}

#[test]
fn packets_leave_from_the_address_given_marked_as_those_inside_and_in_one_piece() {
    let nodes = sites();
    let [a, b] = &nodes;
    for address in ["192.0.2.11/24", "2001:db8::11/64"] {
        a.namespace.must(&format!("ip addr add {address} dev veth0 nodad"));
    }
    let from = ["192.0.2.11", "2001:db8::11"];
    // DSCP EF and ECT(0); the kernel's socket for ping sets ECN where it may.
    for (outside, filter) in [
        ([from[0], "192.0.2.2"], "ip proto 50 and src 192.0.2.11 and ip[1] = 0xb8 and ip[6] = 0x40"),
        ([from[1], "2001:db8::2"], "ip6 proto 50 and src 2001:db8::11 and ip6[0:2] & 0xff0 = 0xb80"),
    ] {
        add(&nodes, outside, [Encapsulation::Raw; 2]);
        let mut wire = watch(a, 3, filter);
        a.namespace.must("ping -Q 0xb8 -c 3 -i 0.1 -W 2 10.2.0.1");
        assert!(wire.wait().unwrap().success());
        for node in [a, b] {
            assert!(node.dataplane.remove_esp("raw"));
        }
    }
}

#[test]
fn the_mtu_counts_no_udp_header_and_follows_the_path() {
    let nodes = sites();
    // 8 bytes of header, 8 of IV, 16 of ICV, 2 of trailer; and of IPv6 only multiples of 8.
    for (outside, wide, narrow) in [(OUTSIDE[0], 1446, 1346), (OUTSIDE[1], 1422, 1326)] {
        add(&nodes, outside, [Encapsulation::Raw; 2]);
        let mtus = || [&nodes[0], &nodes[1]].map(|node| node.dataplane.esp_status()[0].mtu);
        assert_eq!(mtus(), [wide; 2]);
        for node in &nodes {
            node.namespace.must("ip link set veth0 mtu 1400");
        }
        until("the new MTU", || mtus() == [narrow; 2]);
        let whole = narrow - 28;
        nodes[0].namespace.must(&format!("ping -M do -s {whole} -c 2 -i 0.1 -W 2 10.2.0.1"));
        nodes[0].namespace.must("ping -M dont -s 3000 -c 2 -i 0.1 -W 2 10.2.0.1");
        let output = nodes[0].namespace.sh(&format!("ping -M do -s {} -c 1 -W 2 10.2.0.1", whole + 1));
        assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("mtu = {narrow}")), "{output:?}");
        for node in &nodes {
            node.namespace.must("ip link set veth0 mtu 1500");
            assert!(node.dataplane.remove_esp("raw"));
        }
    }
}

#[test]
fn ipv6_of_1280_bytes_passes_in_fragments_where_the_link_is_no_longer() {
    let nodes = sites();
    for node in &nodes {
        node.namespace.must("ip link set veth0 mtu 1280");
    }
    for (number, node) in (1..).zip(&nodes) {
        node.namespace.must(&format!("ip addr add fd00:{number}::1/128 dev {TUN} nodad"));
        let other = 3 - number;
        node.namespace.must(&format!("ip route add fd00:{other}::1/128 dev {TUN}"));
    }
    for (outside, made) in [(OUTSIDE[0], "FragCreates"), (OUTSIDE[1], "Ip6FragCreates")] {
        for (me, node) in (0..).zip(&nodes) {
            let (own, other) = (me + 1, 2 - me);
            let mut config = tunnel(me, outside, Encapsulation::Raw);
            let selectors = |own: u8, other: u8| Selectors {
                local: vec![format!("fd00:{own}::1/128").parse().unwrap()],
                remote: vec![format!("fd00:{other}::1/128").parse().unwrap()],
            };
            config.inbound.selectors = selectors(own, other);
            config.outbound.selectors = selectors(own, other);
            add_one(node, config);
        }
        let before = nodes[0].adjusted("outer-fragmented");
        let fragments = || {
            let line = format!("nstat -asz | awk '$1 ~ /{made}$/ {{ sum += $2 }} END {{ print sum }}'");
            nodes[0].namespace.must(&line).trim().parse::<u32>().unwrap()
        };
        let fragments_before = fragments();
        nodes[0].namespace.must("ping -s 1232 -c 2 -i 0.1 -W 2 fd00:2::1");
        assert_eq!(nodes[0].adjusted("outer-fragmented") - before, 2);
        assert!(fragments() >= fragments_before + 4, "{made}");
        for node in &nodes {
            assert!(node.dataplane.remove_esp("raw"));
        }
    }
}

/// Sends ESP with this SPI and nothing valid behind it.
fn forge(node: &Node, spi: &str, to: &str) {
    node.namespace.must(&format!(
        "python3 -c \"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 50); \
         s.sendto(bytes.fromhex('{spi}') + b'x' * 60, ('{to}', 0))\""
    ));
}

#[test]
fn packets_of_other_peoples_sas_are_left_alone_and_forged_ones_counted() {
    let nodes = sites();
    add(&nodes, OUTSIDE[0], [Encapsulation::Raw; 2]);
    let [a, b] = &nodes;
    let drops = || {
        let drops = a.dataplane.status().drops;
        drops.iter().filter(|(reason, _)| *reason != "multicast").map(|(_, count)| count).sum::<u64>()
    };
    let before = drops();
    // Of the kernel's own, of nobody's, and too short for an SPI.
    for spi in ["00001234", "c00000ff"] {
        forge(b, spi, "192.0.2.1");
    }
    b.namespace.must(
        "python3 -c \"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 50); \
         s.sendto(b'ab', ('192.0.2.1', 0))\"",
    );
    forge(b, "c0000001", "192.0.2.1");
    until("the forged packet", || a.drops("esp-forged") == 1);
    assert_eq!(drops(), before + 1);
    assert_eq!(received(a, "esp-raw"), 1);
    assert!(a.pings("10.2.0.1"));
}
