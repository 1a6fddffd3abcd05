#![no_main]

#[path = "../src/ike_responder.rs"]
mod ike_responder;
#[path = "../src/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ike_responder::run(data));
