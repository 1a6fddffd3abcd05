//! Extended sequence numbers: half of each is never sent.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use twinmesh_esp::{DropReason, InboundSa, OutboundSa, SaParameters, Suite};

use crate::support::{SPI, forge, gcm, inbound, keys, open, outbound, parameters, seal, start, text, v4};

fn ends_at(parameters: &SaParameters, last: u64) -> (OutboundSa, InboundSa) {
    let keys = keys(parameters.suite);
    (
        OutboundSa::with_sequence(parameters.clone(), &keys, start(), last).unwrap(),
        InboundSa::with_top(parameters.clone(), &keys, start(), last).unwrap(),
    )
}

#[test]
fn traffic_passes_from_one_subspace_to_the_next_for_every_suite() {
    for suite in Suite::all() {
        let parameters = SaParameters { esn: true, ..parameters(suite) };
        let (out, into) = ends_at(&parameters, u64::from(u32::MAX) - 5);
        let sealed: Vec<_> = (0..10).map(|_| seal(&out, &v4(b"payload"))).collect();
        assert_eq!(sealed[5][4..8], [0; 4], "low half 0 of the second subspace");
        for index in [6, 0, 9, 5, 4, 3, 7, 8, 1, 2] {
            assert_eq!(open(&into, &sealed[index]), Ok(v4(b"payload")), "{suite}, packet {index}");
        }
        for sealed in &sealed {
            assert_eq!(open(&into, sealed), Err(DropReason::Replayed), "{suite}");
        }
        assert_eq!(into.sequence(), u64::from(u32::MAX) + 5);
    }
}

#[test]
fn a_packet_of_another_subspace_is_forged() {
    for suite in Suite::all() {
        let parameters = SaParameters { esn: true, ..parameters(suite) };
        let sealed = seal(&ends_at(&parameters, 7 << 32 | 0xfff).0, &v4(b"payload"));
        let here = ends_at(&parameters, 7 << 32 | 0xfff).1;
        let elsewhere = ends_at(&parameters, 6 << 32 | 0xfff).1;
        assert_eq!(open(&elsewhere, &sealed), Err(DropReason::Forged), "{suite}");
        assert!(open(&here, &sealed).is_ok(), "{suite}");
    }
}

#[test]
fn ends_that_disagree_about_esn_do_not_understand_each_other() {
    for suite in Suite::all() {
        let with = SaParameters { esn: true, ..parameters(suite) };
        let without = parameters(suite);
        let sealed = seal(&outbound(&with), &v4(b"payload"));
        assert_eq!(open(&inbound(&without), &sealed), Err(DropReason::Forged), "{suite}");
    }
}

#[test]
fn an_aead_authenticates_the_high_half_between_spi_and_low_half() {
    let parameters = SaParameters { esn: true, ..gcm() };
    let (_, into) = ends_at(&parameters, 9 << 32 | 0xfff);
    assert_eq!(open(&into, &forge(9 << 32 | 0x1000, true, &text(&v4(b"payload"), 4))), Ok(v4(b"payload")));
}

#[test]
fn hmac_authenticates_the_high_half_last_and_it_is_not_sent() {
    let suite: Suite = "null-sha256".parse().unwrap();
    let parameters = SaParameters { esn: true, ..parameters(suite) };
    let (out, into) = ends_at(&parameters, 9 << 32 | 0xfff);
    let sent = [&SPI.to_be_bytes(), &0x1000u32.to_be_bytes(), &text(&v4(b"payload"), 4)[..]].concat();
    let mut mac = Hmac::<Sha256>::new_from_slice(&(1..=32).collect::<Vec<u8>>()).unwrap();
    mac.update(&sent);
    mac.update(&9u32.to_be_bytes());
    let expected = [&sent[..], &mac.finalize().into_bytes()[..16]].concat();
    assert_eq!(seal(&out, &v4(b"payload")), expected);
    assert_eq!(open(&into, &expected), Ok(v4(b"payload")));
}

#[test]
fn the_last_number_of_all_is_received() {
    let parameters = SaParameters { esn: true, ..gcm() };
    let (out, into) = ends_at(&parameters, u64::MAX - 2);
    for _ in 0..2 {
        let sealed = seal(&out, &v4(b"payload"));
        assert!(open(&into, &sealed).is_ok());
        assert_eq!(open(&into, &sealed), Err(DropReason::Replayed));
    }
    assert_eq!(into.sequence(), u64::MAX);
    // What follows would be sequence number 0 of a subspace that does not exist.
    assert_eq!(open(&into, &forge(0, true, &text(&v4(b""), 4))), Err(DropReason::BehindWindow));
}
