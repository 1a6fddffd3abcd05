//! Fragments that somebody tampers with.

use std::time::Duration;

use crate::pair::{Datagram, Pair, connection, left_address};

/// Of the fragments of IKE_AUTH that the left sent, in their order.
fn fragments(pair: &Pair) -> Vec<Datagram> {
    let sent =
        pair.wire.iter().filter(|it| it.from == left_address() && it.bytes[16] == 53 && it.bytes[18] == 35);
    sent.cloned().collect()
}

fn narrow() -> Pair {
    let mut left = connection();
    left.fragment_size = Some(200);
    let mut pair = Pair::new(left);
    pair.initiate();
    // IKE_SA_INIT and its answer, ten milliseconds each; the fragments are on their way.
    pair.run(Duration::from_millis(25));
    assert!(fragments(&pair).len() > 1);
    pair
}

#[test]
fn trap_30_a_forged_fragment_is_not_stored_in_the_place_of_the_true_one() {
    let mut pair = narrow();
    let link = pair.link;
    pair.link.delay = Duration::ZERO;
    for mut forged in fragments(&pair) {
        *forged.bytes.last_mut().unwrap() ^= 1;
        pair.inject(forged);
    }
    pair.run(Duration::from_millis(1));
    pair.link = link;
    pair.run(Duration::from_millis(900));
    pair.assert_agreed();
    assert_eq!(pair.left.esp.len(), 1, "no retransmission was needed");
}

#[test]
fn trap_28_of_a_repeated_request_in_fragments_the_first_alone_is_answered() {
    let mut pair = narrow();
    pair.run_secs(1);
    pair.assert_agreed();
    let sent = fragments(&pair);
    let answer: Vec<Vec<u8>> = pair
        .wire
        .iter()
        .rev()
        .take_while(|it| it.from != left_address())
        .map(|it| it.bytes.clone())
        .collect();
    for (index, fragment) in sent.into_iter().enumerate().rev() {
        let before = pair.wire.len();
        pair.inject(fragment);
        pair.run_secs(1);
        let again: Vec<Vec<u8>> = pair.wire[before..].iter().rev().map(|it| it.bytes.clone()).collect();
        assert_eq!(again, if index == 0 { answer.clone() } else { Vec::new() }, "fragment {index}");
    }
    pair.assert_agreed();
}
