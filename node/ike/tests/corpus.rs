//! Inputs that the fuzzer found worth keeping (`tests/fuzz`), run through its targets again.

#[path = "../../../tests/fuzz/src/ike_initiator.rs"]
mod ike_initiator;
#[path = "../../../tests/fuzz/src/ike_inner.rs"]
mod ike_inner;
#[path = "../../../tests/fuzz/src/ike_message.rs"]
mod ike_message;
#[path = "../../../tests/fuzz/src/ike_payload.rs"]
mod ike_payload;
#[path = "../../../tests/fuzz/src/ike_responder.rs"]
mod ike_responder;
#[path = "../../../tests/fuzz/src/replay.rs"]
mod replay;
#[path = "../../../tests/fuzz/src/script.rs"]
mod script;

use crate::replay::replay;

#[test]
fn messages_survive_the_corpus() {
    replay("ike_message", ike_message::run);
}

#[test]
fn the_inside_of_encrypted_payloads_survives_the_corpus() {
    replay("ike_inner", ike_inner::run);
}

#[test]
fn a_responder_survives_the_corpus() {
    replay("ike_responder", ike_responder::run);
}

#[test]
fn an_initiator_survives_the_corpus() {
    replay("ike_initiator", ike_initiator::run);
}
