use std::time::Instant;

use twinmesh_esp::{Addresses, Content, KeyMaterial, Mode, OutboundSa, SaParameters};
use twinmesh_interop::{ESP, Encapsulation, Family, Scapy, payload};

use crate::support::{Case, LENGTHS};

fn for_all_cases(mut check: impl FnMut(&Case, Family, usize)) {
    for outer in Family::BOTH {
        for encapsulation in Encapsulation::BOTH {
            for inner in Family::BOTH {
                let cases = Case::all(Mode::Tunnel, outer, encapsulation);
                for (case, len) in cases.zip(LENGTHS.into_iter().cycle()) {
                    check(&case, inner, len);
                }
            }
        }
    }
}

#[test]
fn scapy_opens_the_esp_tunnel_packets_that_we_seal() {
    let mut scapy = Scapy::start();
    for_all_cases(|case, inner, len| {
        let packet = inner.udp(len);
        let mut sealed = vec![0; packet.len() + 200];
        let sealed_len = case.outbound().seal(&packet, &mut sealed, Instant::now()).unwrap();
        let wrapped = case.encapsulation.wrap(case.outer, &sealed[..sealed_len]);
        let outside = case.outer.ip(case.encapsulation.protocol(), &wrapped);
        let opened = scapy.ask(&case.request("open", outside));
        assert_eq!(opened.as_ref(), Ok(&packet), "{case}, {inner:?} inside, {len} bytes");
    });
}

#[test]
fn we_open_the_esp_tunnel_packets_that_scapy_seals() {
    let mut scapy = Scapy::start();
    for_all_cases(|case, inner, len| {
        let packet = inner.udp(len);
        let outside = scapy.ask(&case.request("seal", packet.clone())).unwrap();
        let mut esp = case.encapsulation.unwrap(payload(&outside));
        let [source, destination] = case.outer.addresses();
        let opened = case.inbound().open(&mut esp, Addresses { source, destination }, Instant::now());
        let range = match opened.map(|opened| opened.content) {
            Ok(Content::Packet(range)) => range,
            other => panic!("{case}, {inner:?} inside, {len} bytes: {other:?}"),
        };
        assert_eq!(esp[range], packet, "{case}, {inner:?} inside, {len} bytes");
    });
}

#[test]
fn scapy_refuses_an_esp_packet_that_was_changed() {
    let mut scapy = Scapy::start();
    for case in Case::all(Mode::Tunnel, Family::V4, Encapsulation::Raw) {
        let mut sealed = [0; 300];
        let len = case.outbound().seal(&Family::V4.udp(50), &mut sealed, Instant::now()).unwrap();
        sealed[len - 1] ^= 1;
        let refused = scapy.ask(&case.request("open", case.outer.ip(ESP, &sealed[..len]))).unwrap_err();
        assert!(refused.starts_with("IPSecIntegrityError"), "{case}: {refused}");
    }
}

#[test]
fn scapy_finds_the_packet_in_front_of_tfc_padding() {
    let mut scapy = Scapy::start();
    for (case, inner) in
        Case::all(Mode::Tunnel, Family::V6, Encapsulation::Udp).zip(Family::BOTH.into_iter().cycle())
    {
        let packet = inner.udp(50);
        let parameters = SaParameters { tfc_multiple: 256, tfc_limit: 1280, ..case.parameters() };
        let keys = KeyMaterial::new(case.key());
        let last = case.sequence.number - 1;
        let sa = OutboundSa::with_sequence(parameters, &keys, Instant::now(), last).unwrap();
        let mut sealed = [0; 500];
        let len = sa.seal(&packet, &mut sealed, Instant::now()).unwrap();
        let wrapped = case.encapsulation.wrap(case.outer, &sealed[..len]);
        let opened = scapy.ask(&case.request("open", case.outer.ip(case.encapsulation.protocol(), &wrapped)));
        let opened = opened.unwrap();
        assert_eq!(opened.len(), 256, "{case}");
        assert!(opened.starts_with(&packet), "{case}");
    }
}
