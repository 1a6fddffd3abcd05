//! After opening: the inner packet against this SA's own selectors (RFC 4301 §5.2 step 4).

use twinmesh_esp::{DropReason, Mode, SaParameters, Selectors};

use crate::support::{addresses, gcm, inbound, open, outbound, packet, seal};

pub(crate) fn selectors(local: &[&str], remote: &[&str]) -> Selectors {
    let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Selectors { local: parse(local), remote: parse(remote) }
}

const PORTS: [u8; 8] = [0x13, 0x88, 0x01, 0xbb, 0, 8, 0, 0];

#[test]
fn a_source_or_destination_outside_is_dropped_though_authentic() {
    let out = outbound(&gcm());
    let into = inbound(&SaParameters {
        selectors: selectors(
            &["198.51.100.0/24", "2001:db8:1::/48"],
            &["192.0.2.0/24[udp]", "2001:db8:2::/48"],
        ),
        ..gcm()
    });
    for (source, destination, protocol, passes) in [
        ("192.0.2.1", "198.51.100.1", 17, true),
        ("192.0.3.1", "198.51.100.1", 17, false),
        ("192.0.2.1", "198.51.101.1", 17, false),
        ("198.51.100.1", "192.0.2.1", 17, false),
        ("192.0.2.1", "198.51.100.1", 6, false),
        ("2001:db8:2::1", "2001:db8:1::1", 6, true),
        ("2001:db8:3::1", "2001:db8:1::1", 6, false),
    ] {
        let sealed = seal(&out, &packet(source, destination, protocol, &PORTS));
        let expected = (!passes).then_some(DropReason::OutsideSelectors);
        assert_eq!(open(&into, &sealed).err(), expected, "{source} to {destination}, {protocol}");
        assert_eq!(open(&into, &sealed), Err(DropReason::Replayed), "authentic, so seen");
    }
    assert_eq!(into.counters().dropped(DropReason::OutsideSelectors), 5);
    assert_eq!(into.counters().packets(), 2);
}

#[test]
fn ports_are_compared() {
    let out = outbound(&gcm());
    for (remote, passes) in [("0.0.0.0/0[udp/5000]", true), ("0.0.0.0/0[udp/5001]", false)] {
        let into =
            inbound(&SaParameters { selectors: selectors(&["0.0.0.0/0[udp/443]"], &[remote]), ..gcm() });
        let sealed = seal(&out, &packet("192.0.2.1", "198.51.100.1", 17, &PORTS));
        assert_eq!(open(&into, &sealed).is_ok(), passes, "{remote}");
    }
}

#[test]
fn transport_mode_compares_the_addresses_outside_and_the_ports_inside() {
    let transport = SaParameters { mode: Mode::Transport, ..gcm() };
    let out = outbound(&transport);
    let selectors = selectors(&["203.0.113.2"], &["203.0.113.1[udp/5000]"]);
    let into = inbound(&SaParameters { selectors, ..transport });
    let sealed = || seal(&out, &packet("203.0.113.1", "203.0.113.2", 17, &PORTS));
    let opened = |source, protocol_of: Vec<u8>| {
        let mut sealed = protocol_of;
        into.open(&mut sealed, addresses(source, "203.0.113.2"), into.made()).err()
    };
    assert_eq!(opened("203.0.113.1", sealed()), None);
    assert_eq!(opened("203.0.113.3", sealed()), Some(DropReason::OutsideSelectors));
    let tcp = seal(&out, &packet("203.0.113.1", "203.0.113.2", 6, &PORTS));
    assert_eq!(opened("203.0.113.1", tcp), Some(DropReason::OutsideSelectors));
}
