#![no_main]

#[path = "../src/ike_message.rs"]
mod ike_message;
#[path = "../src/ike_payload.rs"]
mod ike_payload;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ike_message::run(data));
