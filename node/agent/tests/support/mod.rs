//! Agents in network namespaces on one bridge, and a small coordinator that speaks the real frames.

mod disk;
mod hub;
mod network;
mod node;

use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

pub use disk::Disk;
pub use hub::{HUB, Hub};
pub use network::{Lan, Namespace};
pub use node::{Node, refusal};

/// Long enough for a loaded machine, never waited out in a good run.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Gives what `holds` gives as soon as it gives something.
pub fn until<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = holds() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {DEADLINE:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn sh(command: &str) -> Output {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    output
}
