//! What runs on each node: a server that sends everything back, and flows to the servers of all other nodes.
//!
//! Every second it prints a line of JSON: a list of [`Tally`].

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::echo;
use super::flow::{self, Kind};

pub(super) const TCP_PORT: u16 = 7200;
pub(super) const UDP_PORT: u16 = 7201;
const INTERVAL: Duration = Duration::from_secs(1);
/// A flow has few frames on its stack.
const STACK: usize = 256 << 10;

/// What a flow has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Exchanges whose answer was what was sent.
    pub(super) done: u64,
    /// Of all answers.
    pub(super) bytes: u64,
    /// Datagrams without an answer.
    pub(super) lost: u64,
    /// Connections that broke, or could not be made.
    pub(super) broken: u64,
    /// Answers that were not what was sent.
    pub(super) corrupt: u64,
}

/// [`Tally`], written by the flow and read by whoever reports.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) done: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) broken: AtomicU64,
    pub(super) corrupt: AtomicU64,
}

impl Counts {
    fn to_json(&self, name: &str) -> Value {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        json!({
            "name": name, "done": read(&self.done), "bytes": read(&self.bytes), "lost": read(&self.lost),
            "broken": read(&self.broken), "corrupt": read(&self.corrupt),
        })
    }
}

impl Tally {
    /// The name of a flow and what it has done.
    pub(super) fn parse(value: &Value) -> Option<(String, Self)> {
        let number = |key: &str| value[key].as_u64();
        let tally = Self {
            done: number("done")?,
            bytes: number("bytes")?,
            lost: number("lost")?,
            broken: number("broken")?,
            corrupt: number("corrupt")?,
        };
        Some((value["name"].as_str()?.to_owned(), tally))
    }
}

/// Sends to these peers, by name and address in the mesh, until it is killed or nobody reads what it prints.
///
/// # Errors
/// The servers' ports are taken.
pub fn run_traffic(own: &str, peers: &[(String, IpAddr)]) -> Result<()> {
    echo::serve()?;
    let mut flows = Vec::new();
    for (peer, address) in peers {
        for kind in Kind::ALL {
            let version = if address.is_ipv4() { 4 } else { 6 };
            let name = format!("{own}>{peer} {} IPv{version}", kind.name());
            let port = if kind.is_tcp() { TCP_PORT } else { UDP_PORT };
            let counts = Arc::new(Counts::default());
            flows.push((name, Arc::clone(&counts)));
            let to = SocketAddr::new(*address, port);
            let seed = u64::try_from(flows.len())?;
            thread::Builder::new().stack_size(STACK).spawn(move || flow::run(kind, to, seed, &counts))?;
        }
    }
    loop {
        thread::sleep(INTERVAL);
        let list: Vec<Value> = flows.iter().map(|(name, counts)| counts.to_json(name)).collect();
        let mut output = io::stdout().lock();
        writeln!(output, "{}", Value::from(list))?;
        output.flush()?;
    }
}
