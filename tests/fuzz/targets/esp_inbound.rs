#![no_main]

#[path = "../src/esp_inbound.rs"]
mod esp_inbound;
#[path = "../src/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| esp_inbound::run(data));
