#![no_main]

#[path = "../src/packet_segments.rs"]
mod packet_segments;
#[expect(dead_code, reason = "the tests of the crate use all of it")]
#[path = "../../../node/packet/tests/segments/packets.rs"]
mod packets;
#[path = "../../../node/packet/tests/segments/receive.rs"]
mod receive;
#[path = "../../../node/packet/tests/segments/reference.rs"]
mod reference;
#[path = "../src/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| packet_segments::run(data));
