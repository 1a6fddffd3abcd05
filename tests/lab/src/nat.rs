//! The nftables rules of a router: translation, filtering, firewall.
//!
//! Linux keeps a source port where it can, and gives every flow a mapping of its own where it cannot;
//! neither is any of the kinds of RFC 4787 on purpose. So the outer port is computed: a hash of the
//! inner endpoint (endpoint-independent), or of the inner endpoint and the remote address
//! (address-dependent), with a seed of the router's own; only the address-and-port-dependent kind
//! leaves the choice to conntrack, which then draws a random port for each flow.
//!
//! Conntrack by itself filters by address and port. For the wider kinds of filtering each outgoing
//! packet notes its mapping (outer port → inner endpoint) and whom it went to, and an incoming packet
//! that passes the filter is sent to the inner endpoint of that note.
//!
//! The router forgets all mappings by getting new seeds and a new conntrack zone, in which none of the
//! old entries counts.

use std::fmt::Write as _;

use crate::scenario::{Block, Filtering, Firewall, IpVersion, Nat, NatKind, Node, Router, Side};

/// The whole ruleset of a router, replacing an earlier one in one transaction. `generation` counts how
/// often the router was made to forget its mappings.
pub(crate) fn ruleset(node: &Node, router: &Router, generation: u16) -> String {
    let mut rules = String::from("flush ruleset\n");
    for version in IpVersion::BOTH {
        let nat = router.nat_of(version);
        if nat.translates() {
            translation(&mut rules, node, nat, router.udp_timeout.as_secs().max(1), version, generation);
        }
    }
    forwarding(&mut rules, router);
    rules
}

/// nft's words for one IP version: table family, address type.
fn words(version: IpVersion) -> (&'static str, &'static str) {
    match version {
        IpVersion::V4 => ("ip", "ipv4_addr"),
        IpVersion::V6 => ("ip6", "ipv6_addr"),
    }
}

/// Where an outgoing UDP packet's source port comes from: the part after the address in `snat to`.
fn outer_port(kind: NatKind, ip: &str, seed: u32) -> String {
    // 65535 values from 1 on: whatever the byte order, never port 0.
    let hash = |key: &str| format!(":jhash {ip} saddr . udp sport{key} mod 65535 seed {seed:#x} offset 1");
    match kind {
        NatKind::EndpointIndependent => hash(""),
        NatKind::AddressDependent => hash(&format!(" . {ip} daddr")),
        NatKind::AddressAndPortDependent | NatKind::None | NatKind::UdpBlocked => {
            ":1024-65535 fully-random".to_owned()
        }
    }
}

fn translation(rules: &mut String, node: &Node, nat: Nat, timeout: u64, version: IpVersion, generation: u16) {
    let (ip, address_type) = words(version);
    // Different for each router and after each loss of memory, and the same from run to run.
    let seed = node.name.bytes().fold(u32::from(generation) + 1, |seed, byte| {
        seed.wrapping_mul(0x0100_0193).wrapping_add(u32::from(byte))
    });
    let port = outer_port(nat.kind, ip, seed);
    // Flows of TCP and ICMP keep their ports except behind the "symmetric" kind.
    let others = if nat.kind == NatKind::AddressAndPortDependent { " fully-random" } else { "" };
    let wan = node.interfaces.iter().find(|interface| interface.side == Side::Wan);
    let hairpin = wan.and_then(|wan| wan.address(version)).filter(|_| nat.hairpin);
    let (mut pre, mut post, mut note) = (String::new(), String::new(), String::new());
    // Two maps, since nft 1.0.6 cannot compile an update of one whose value is an IPv6 address with a port.
    let dnat = format!("dnat {ip} to udp dport map @inner_address : udp dport map @inner_port");
    match nat.filtering {
        Filtering::EndpointIndependent => {
            pre.push_str(&format!("iifname wan meta l4proto udp {dnat}\n"));
        }
        Filtering::AddressDependent => {
            pre.push_str(&format!("iifname wan udp dport . {ip} saddr @contacted {dnat}\n"));
        }
        Filtering::AddressAndPortDependent => {}
    }
    let mapping = format!(
        "meta l4proto udp update @inner_address {{ udp sport : ct original {ip} saddr }} \
         update @inner_port {{ udp sport : ct original proto-src }}\n"
    );
    if let Some(outer) = hairpin {
        pre.push_str(&format!("iifname != wan {ip} daddr {outer} meta l4proto udp {dnat}\n"));
        post.push_str(&format!(
            "iifname != wan oifname != wan ct status dnat meta l4proto udp snat to {}{port}\n",
            bracketed(outer)
        ));
        note.push_str(&format!("iifname != wan oifname != wan ct status dnat {mapping}"));
    }
    post.push_str(&format!(
        "oifname wan meta l4proto udp masquerade to {port}\noifname wan masquerade{others}\n"
    ));
    note.push_str(&format!(
        "oifname wan {mapping}oifname wan meta l4proto udp update @contacted {{ udp sport . {ip} daddr }}\n"
    ));
    // Writing to a String cannot fail.
    let _ = write!(
        rules,
        "table {ip} nat {{
  map inner_address {{ type inet_service : {address_type}; flags dynamic,timeout; timeout {timeout}s; size 65535; }}
  map inner_port {{ type inet_service : inet_service; flags dynamic,timeout; timeout {timeout}s; size 65535; }}
  set contacted {{ type inet_service . {address_type}; flags dynamic,timeout; timeout {timeout}s; size 65535; }}
  chain zone_in {{ type filter hook prerouting priority raw; ct zone set {zone}; }}
  chain zone_out {{ type filter hook output priority raw; ct zone set {zone}; }}
  chain pre {{ type nat hook prerouting priority dstnat;
{pre}  }}
  chain post {{ type nat hook postrouting priority srcnat;
{post}  }}
  chain note {{ type filter hook postrouting priority srcnat + 10;
{note}  }}
  chain input {{ type filter hook input priority filter;
    ct state established,related accept
    iifname wan meta l4proto {{ tcp, udp }} drop
  }}
  chain forward {{ type filter hook forward priority filter;
    ct state established,related accept
    ct status dnat accept
    iifname wan drop
  }}
}}
",
        zone = u32::from(generation) + 1,
    );
}

fn bracketed(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// What holds for translated and plain traffic alike.
fn forwarding(rules: &mut String, router: &Router) {
    let mut chain = String::new();
    for block in &router.block {
        match block {
            Block::Udp(None) => chain.push_str("meta l4proto udp drop\n"),
            Block::Udp(Some(port)) => chain.push_str(&format!("udp dport {port} drop\n")),
            Block::Tcp(None) => chain.push_str("meta l4proto tcp drop\n"),
            Block::Tcp(Some(port)) => chain.push_str(&format!("tcp dport {port} drop\n")),
            Block::IcmpTooBig => chain.push_str(
                "icmp type destination-unreachable icmp code frag-needed drop\nicmpv6 type packet-too-big drop\n",
            ),
        }
    }
    if router.nat.kind == NatKind::UdpBlocked || router.nat6.kind == NatKind::UdpBlocked {
        // Nobody who blocks UDP by one IP version lets it pass by the other.
        chain.push_str("meta l4proto udp drop\n");
    }
    if router.firewall == Firewall::Stateful {
        chain.push_str("ct state established,related accept\nct status dnat accept\niifname wan drop\n");
    }
    if !chain.is_empty() {
        let _ = write!(
            rules,
            "table inet firewall {{\nchain forward {{ type filter hook forward priority filter - 5;\n{chain}}}\n}}\n"
        );
    }
    // The router itself makes ICMP errors; what it must not send on, it must not send either.
    if router.block.contains(&Block::IcmpTooBig) {
        rules.push_str("table inet silent {\nchain output { type filter hook output priority filter;\nicmp type destination-unreachable icmp code frag-needed drop\nicmpv6 type packet-too-big drop\n}\n}\n");
    }
}
