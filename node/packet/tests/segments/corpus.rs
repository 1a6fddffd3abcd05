//! The fuzzer's targets (`tests/fuzz`) without a fuzzer: under the inputs that it found worth keeping, and under any bytes.

use proptest::prelude::*;

use crate::replay::replay;
use crate::{packet_segments, packet_virtio};

#[test]
fn cutting_and_joining_survive_the_corpus() {
    replay("packet_segments", packet_segments::run);
}

#[test]
fn offloads_that_lie_survive_the_corpus() {
    replay("packet_virtio", packet_virtio::run);
}

proptest! {
    #[test]
    fn cutting_and_joining_survive_any_script(script in prop::collection::vec(any::<u8>(), 0..256)) {
        packet_segments::run(&script);
    }

    #[test]
    fn offloads_that_lie_survive_any_script(script in prop::collection::vec(any::<u8>(), 0..256)) {
        packet_virtio::run(&script);
    }
}
