#![no_main]

#[path = "../src/ah_inbound.rs"]
mod ah_inbound;
#[path = "../src/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ah_inbound::run(data));
