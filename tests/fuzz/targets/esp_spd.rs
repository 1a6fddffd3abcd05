#![no_main]

#[path = "../src/esp_spd.rs"]
mod esp_spd;
#[path = "../src/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| esp_spd::run(data));
