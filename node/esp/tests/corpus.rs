//! Inputs that the fuzzer found worth keeping (`tests/fuzz`), run through its targets again.

#[path = "../../../tests/fuzz/src/ah_inbound.rs"]
mod ah_inbound;
#[path = "../../../tests/fuzz/src/esp_inbound.rs"]
mod esp_inbound;
#[path = "../../../tests/fuzz/src/esp_spd.rs"]
mod esp_spd;
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
fn inbound_ah_sas_survive_the_corpus() {
    replay("ah_inbound", ah_inbound::run);
}

#[test]
fn inbound_sas_survive_the_corpus() {
    replay("esp_inbound", esp_inbound::run);
}

#[test]
fn the_spd_finds_what_a_linear_search_finds_on_the_corpus() {
    replay("esp_spd", esp_spd::run);
}
