#![no_main]

#[path = "../src/relay_client.rs"]
mod relay_client;
#[path = "../src/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| relay_client::run(data));
