//! Inputs that the fuzzer found worth keeping (`tests/fuzz`), run through its targets again.

#[path = "../../../tests/fuzz/src/ah_inbound.rs"]
mod ah_inbound;
#[path = "../../../tests/fuzz/src/esp_inbound.rs"]
mod esp_inbound;
#[path = "../../../tests/fuzz/src/esp_spd.rs"]
mod esp_spd;
#[path = "../../../tests/fuzz/src/replay.rs"]
mod replay;
#[path = "../../../tests/fuzz/src/script.rs"]
mod script;

use crate::replay::replay;

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
