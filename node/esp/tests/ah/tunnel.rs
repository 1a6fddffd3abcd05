//! Tunnel mode: what is inside, and what the header outside does to it.

use std::time::Instant;

use twinmesh_esp::{AhSuite, DropReason, Mode, SealError, ah_spi};

use crate::packets::{SPI, fix_checksum, outer, parameters, receiver, seal, sender, suite, udp, v4, v6};

const UDP: u8 = 17;

#[test]
fn all_four_mixtures_of_families_pass() {
    for suite in AhSuite::all() {
        let parameters = parameters(suite, Mode::Tunnel);
        let (sender, receiver) = (sender(parameters.clone()), receiver(parameters));
        for inner in [v4(&[], UDP, &udp()), v6(UDP, &udp())] {
            for outer_v6 in [false, true] {
                let mut sealed = seal(&sender, &inner, Some(&outer(outer_v6, inner[1])));
                assert_eq!(sealed.len(), inner.len() + sender.overhead(outer_v6));
                assert_eq!(ah_spi(&sealed).unwrap().get(), SPI);
                let opened = receiver.open(&mut sealed, Instant::now()).unwrap();
                assert_eq!(sealed[opened.packet], inner);
            }
        }
    }
}

#[test]
fn a_mark_of_congestion_outside_comes_in_and_drops_what_cannot_bear_it() {
    let parameters = parameters(suite("sha256"), Mode::Tunnel);
    let (sender, receiver) = (sender(parameters.clone()), receiver(parameters));
    let capable = v4(&[], UDP, &udp());
    assert_eq!(capable[1] & 3, 2, "ECT(0)");
    let mut sealed = seal(&sender, &capable, Some(&outer(true, 2)));
    sealed[1] |= 0x30;
    let opened = receiver.open(&mut sealed, Instant::now()).unwrap();
    let mut expected = capable.clone();
    expected[1] |= 3;
    fix_checksum(&mut expected);
    assert_eq!(sealed[opened.packet], expected);

    let mut incapable = capable;
    incapable[1] &= !3;
    fix_checksum(&mut incapable);
    let mut sealed = seal(&sender, &incapable, Some(&outer(false, 0)));
    sealed[1] |= 3;
    assert_eq!(receiver.open(&mut sealed, Instant::now()), Err(DropReason::EcnDrop));
}

#[test]
fn the_mode_decides_about_a_header_outside() {
    let mut out = [0; 200];
    let packet = v4(&[], UDP, &udp());
    let tunnel = sender(parameters(suite("sha256"), Mode::Tunnel));
    assert_eq!(tunnel.seal(&packet, None, &mut out, Instant::now()), Err(SealError::Malformed));
    let transport = sender(parameters(suite("sha256"), Mode::Transport));
    let outer = outer(false, 0);
    assert_eq!(transport.seal(&packet, Some(&outer), &mut out, Instant::now()), Err(SealError::Malformed));
}

#[test]
fn a_packet_of_the_other_mode_is_refused_though_authentic() {
    let [tunnel, transport] = [Mode::Tunnel, Mode::Transport].map(|mode| parameters(suite("sha256"), mode));
    let packet = v4(&[], UDP, &udp());
    let mut sealed = seal(&sender(transport.clone()), &packet, None);
    assert_eq!(receiver(tunnel.clone()).open(&mut sealed, Instant::now()), Err(DropReason::NotTunnelled));
    let mut sealed = seal(&sender(tunnel), &packet, Some(&outer(false, 0)));
    assert_eq!(receiver(transport).open(&mut sealed, Instant::now()), Err(DropReason::NotTransported));
}

/// Transport mode with next header 4 or 41 makes what tunnel mode reads, whatever is inside.
#[test]
fn an_inner_packet_that_lies_is_refused_though_authentic() {
    let inner = v4(&[], UDP, &udp());
    let mut longer = inner.clone();
    longer[3] += 1;
    let mut bad_header = inner.clone();
    bad_header[0] = 0x41;
    for (next_header, inside) in [
        (41, inner.clone()),
        (4, v6(UDP, &udp())),
        (4, longer),
        (4, bad_header),
        (4, vec![]),
        (4, vec![0x45]),
    ] {
        let sealer = sender(parameters(suite("sha256"), Mode::Transport));
        let mut sealed = seal(&sealer, &v4(&[], next_header, &inside), None);
        let receiver = receiver(parameters(suite("sha256"), Mode::Tunnel));
        let again = sealed.clone();
        assert_eq!(receiver.open(&mut sealed, Instant::now()), Err(DropReason::InnerMalformed));
        assert_eq!(receiver.open(&mut again.clone(), Instant::now()), Err(DropReason::Replayed));
    }
}
