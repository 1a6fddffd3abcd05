use std::time::Instant;

use twinmesh_esp::{Addresses, Content, Mode, rewrite_header, split_transport, write_transport_packet};
use twinmesh_interop::{Encapsulation, Family, Scapy};

use crate::support::{Case, LENGTHS};

const ROUTER_ALERT: [u8; 8] = [17, 0, 5, 2, 0, 0, 1, 0];

/// Plain packets, and with an extension header that stays outside; scapy loses that behind UDP encapsulation.
fn packets(family: Family, encapsulation: Encapsulation, len: usize) -> Vec<Vec<u8>> {
    let plain = family.udp(len);
    if (family, encapsulation) == (Family::V6, Encapsulation::Raw) {
        vec![plain, family.ip(0, &[&ROUTER_ALERT[..], &family.datagram(len)].concat())]
    } else {
        vec![plain]
    }
}

fn for_all_cases(mut check: impl FnMut(&Case, Vec<u8>)) {
    for family in Family::BOTH {
        for encapsulation in Encapsulation::BOTH {
            let cases = Case::all(Mode::Transport, family, encapsulation);
            for (case, len) in cases.zip(LENGTHS.into_iter().cycle()) {
                for packet in packets(family, encapsulation, len) {
                    check(&case, packet);
                }
            }
        }
    }
}

#[test]
fn scapy_opens_the_esp_transport_packets_that_we_seal() {
    let mut scapy = Scapy::start();
    for_all_cases(|case, packet| {
        let split = split_transport(&packet).unwrap();
        let mut sealed = vec![0; packet.len() + 200];
        let sealed_len = case.outbound().seal(&packet, &mut sealed, Instant::now()).unwrap();
        let wrapped = case.encapsulation.wrap(case.outer, &sealed[..sealed_len]);
        let mut outside = packet[..split.header_len].to_vec();
        rewrite_header(&mut outside, case.encapsulation.protocol(), wrapped.len()).unwrap();
        outside.extend(&wrapped);
        let opened = scapy.ask(&case.request("open", outside));
        assert_eq!(opened.as_ref(), Ok(&packet), "{case}, {} bytes", packet.len());
    });
}

#[test]
fn we_open_the_esp_transport_packets_that_scapy_seals() {
    let mut scapy = Scapy::start();
    for_all_cases(|case, packet| {
        let outside = scapy.ask(&case.request("seal", packet.clone())).unwrap();
        let split = split_transport(&outside).unwrap();
        assert_eq!(split.next_header, case.encapsulation.protocol(), "{case}");
        let (header, rest) = outside.split_at(split.header_len);
        let mut esp = case.encapsulation.unwrap(rest);
        let [source, destination] = case.outer.addresses();
        let opened = case.inbound().open(&mut esp, Addresses { source, destination }, Instant::now());
        let Ok(Content::Payload { next_header, range }) = opened.as_ref().map(|opened| &opened.content)
        else {
            panic!("{case}, {} bytes: {opened:?}", packet.len());
        };
        let mut rebuilt = vec![0; packet.len()];
        let len = write_transport_packet(header, *next_header, &esp[range.clone()], &mut rebuilt);
        assert_eq!(len, Some(packet.len()), "{case}");
        assert_eq!(rebuilt, packet, "{case}");
    });
}
