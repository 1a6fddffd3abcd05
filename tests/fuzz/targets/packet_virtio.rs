#![no_main]

#[path = "../src/packet_virtio.rs"]
mod packet_virtio;
#[path = "../src/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| packet_virtio::run(data));
