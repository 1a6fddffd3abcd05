//! The path engine under scripts of any bytes: the fuzzer's target (`tests/fuzz`), without a fuzzer.

#[path = "../../../tests/fuzz/src/path_checks.rs"]
mod path_checks;
#[path = "../../../tests/fuzz/src/script.rs"]
mod script;

use proptest::prelude::*;

proptest! {
    #[test]
    fn the_path_engine_survives_any_script(script in prop::collection::vec(any::<u8>(), 0..1024)) {
        path_checks::run(&script);
    }
}
