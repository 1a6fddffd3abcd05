//! What share of the bare AEAD's speed the engine keeps: both in turns, so that a busy machine hits both alike.
//!
//! Goals: at least 85 % at 1,400 bytes, 60 % at 64.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod support;

use std::time::{Duration, Instant};

use support::{BUFFER, Bare, SIZES, outer, packet, pair};
use twinmesh_esp::Suite;

const SUITES: [Suite; 2] = [Suite::AES_128_GCM_16, Suite::CHACHA20_POLY1305];
const ROUNDS: usize = 400;
/// Sealed one after the other, then opened one after the other.
const BATCH: usize = 64;

fn main() {
    println!("suite             bytes   seal: bare     esp  share   open: bare     esp  share   (GB/s)");
    for suite in SUITES {
        for len in SIZES {
            let Times { bare, esp } = measure(suite, len);
            let speed = |time: Duration| {
                let nanoseconds = time.as_secs_f64() * 1e9;
                f64::from(u32::try_from(len * BATCH).expect("a small batch")) / nanoseconds
            };
            let share =
                |direction: usize| 100.0 * bare[direction].as_secs_f64() / esp[direction].as_secs_f64();
            println!(
                "{:<17} {len:>5}       {:>6.2}  {:>6.2}  {:>3.0} %       {:>6.2}  {:>6.2}  {:>3.0} %",
                suite.to_string(),
                speed(bare[0]),
                speed(esp[0]),
                share(0),
                speed(bare[1]),
                speed(esp[1]),
                share(1),
            );
        }
    }
}

/// Least time of a batch, to seal and to open.
struct Times {
    bare: [Duration; 2],
    esp: [Duration; 2],
}

fn measure(suite: Suite, len: usize) -> Times {
    let now = Instant::now();
    let (outbound, inbound) = pair(suite, now);
    let (mut bare, outer, packet) = (Bare::new(suite), outer(), packet(len));
    let mut buffers = vec![vec![0; BUFFER]; BATCH];
    let sealed_len = outbound.sealed_len(len);
    let mut times = Times { bare: [Duration::MAX; 2], esp: [Duration::MAX; 2] };
    for _ in 0..ROUNDS {
        let [seal, open] = &mut times.bare;
        least(seal, &mut buffers, |buffer| bare.seal(len, buffer));
        least(open, &mut buffers, |buffer| bare.open(len, buffer));
        let [seal, open] = &mut times.esp;
        least(seal, &mut buffers, |buffer| {
            assert_eq!(outbound.seal(&packet, buffer, now), Ok(sealed_len));
        });
        least(open, &mut buffers, |buffer| {
            assert!(inbound.open(&mut buffer[..sealed_len], outer, now).is_ok());
        });
    }
    times
}

fn least(time: &mut Duration, buffers: &mut [Vec<u8>], mut work: impl FnMut(&mut [u8])) {
    let start = Instant::now();
    for buffer in buffers {
        work(buffer);
    }
    *time = start.elapsed().min(*time);
}
