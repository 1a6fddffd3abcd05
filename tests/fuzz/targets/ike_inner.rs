#![no_main]

#[path = "../src/ike_inner.rs"]
mod ike_inner;
#[path = "../src/ike_payload.rs"]
mod ike_payload;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ike_inner::run(data));
