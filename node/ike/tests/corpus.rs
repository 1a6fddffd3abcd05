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
#[path = "../../../tests/fuzz/src/script.rs"]
mod script;

use std::fs;
use std::path::PathBuf;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(folder).expect("the corpus is committed") {
        let input = entry.and_then(|entry| fs::read(entry.path())).expect("its files can be read");
        run(&input);
        inputs += 1;
    }
    assert!(inputs > 10, "the corpus of {target} is gone");
}

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
