//! The fuzzer's targets (`tests/fuzz`) without a fuzzer: under the inputs that it found worth keeping, and under any bytes.

#[path = "../../../tests/fuzz/src/path_checks.rs"]
mod path_checks;
#[path = "../../../tests/fuzz/src/path_questions.rs"]
mod path_questions;
#[path = "../../../tests/fuzz/src/relay_client.rs"]
mod relay_client;
#[path = "../../../tests/fuzz/src/replay.rs"]
mod replay;
#[path = "../../../tests/fuzz/src/script.rs"]
mod script;

use proptest::prelude::*;

use crate::replay::replay;

#[test]
fn the_path_engine_survives_the_corpus() {
    replay("path_checks", path_checks::run);
}

#[test]
fn questions_survive_the_corpus() {
    replay("path_questions", path_questions::run);
}

#[test]
fn the_client_of_relays_survives_the_corpus() {
    replay("relay_client", relay_client::run);
}

proptest! {
    #[test]
    fn the_path_engine_survives_any_script(script in prop::collection::vec(any::<u8>(), 0..1024)) {
        path_checks::run(&script);
    }

    #[test]
    fn questions_survive_any_script(script in prop::collection::vec(any::<u8>(), 0..1024)) {
        path_questions::run(&script);
    }

    #[test]
    fn the_client_of_relays_survives_any_script(script in prop::collection::vec(any::<u8>(), 0..1024)) {
        relay_client::run(&script);
    }
}
