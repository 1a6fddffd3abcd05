#![no_main]

#[path = "../src/ike_initiator.rs"]
mod ike_initiator;
#[path = "../src/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ike_initiator::run(data));
