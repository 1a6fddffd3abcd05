//! Up to ten thousand numbered datagrams a second, and how many of them came.

use std::net::IpAddr;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{Mesh, wait_for};

/// A stream of small datagrams between two nodes that runs until it is finished.
pub struct Flood {
    sender: Child,
    receiver: Child,
}

/// What became of a stream.
#[derive(Debug)]
pub struct FloodReport {
    pub sent: u64,
    /// Datagrams that came, each counted once.
    pub received: u64,
    /// The longest time between two that came.
    pub longest_pause: Duration,
}

/// Until its input ends; says how many. Ten each millisecond, and asleep between: whoever spins takes a core from the
/// nodes. Who was not scheduled for a while does not make up for it: a burst of hundreds overflows the queue of the TUN
/// device, and tells nothing of the tunnel.
const SEND: &str = "
import select, socket, sys, time
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
number, due = 0, time.perf_counter()
while not (number % 100 == 0 and select.select([sys.stdin], [], [], 0)[0]):
    time.sleep(max(0, due - time.perf_counter()))
    for _ in range(10):
        sender.sendto(number.to_bytes(4, 'big') + bytes(60), (sys.argv[1], 7100))
        number += 1
    due = max(due + 1e-3, time.perf_counter() - 2e-3)
print(number)
";

/// Until its input has ended and nothing comes for two seconds; says how many different numbers came, and the longest
/// pause in microseconds.
const RECEIVE: &str = "
import select, socket, sys, time
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
SO_RCVBUFFORCE = 33
receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 25)
receiver.bind((sys.argv[1], 7100))
receiver.settimeout(2)
seen, last, longest = set(), None, 0
while True:
    try:
        seen.add(int.from_bytes(receiver.recv(100)[:4], 'big'))
    except TimeoutError:
        if select.select([sys.stdin], [], [], 0)[0]:
            break
        continue
    now = time.perf_counter()
    longest = max(longest, now - (last or now))
    last = now
print(len(seen), int(longest * 1e6))
";

impl Flood {
    /// Begins to send to an IPv4 address of `to` in the mesh.
    pub fn start(mesh: &Mesh, from: &str, to: &str, address: IpAddr) -> Result<Self> {
        let address = address.to_string();
        let piped = |host: &str, program: &str| -> Result<Child> {
            let mut command = mesh.command(host, &["python3", "-c", program, &address])?;
            Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
        };
        let receiver = piped(to, RECEIVE)?;
        wait_for("the receiver", Duration::from_secs(10), || {
            (!mesh.run(to, &["ss", "-Hlun", "sport = :7100"]).ok()?.is_empty()).then_some(())
        })?;
        Ok(Self { sender: piped(from, SEND)?, receiver })
    }

    /// Ends it, and waits for what is under way.
    pub fn finish(mut self) -> Result<FloodReport> {
        drop(self.sender.stdin.take());
        let sent = String::from_utf8(self.sender.wait_with_output()?.stdout)?;
        let sent: u64 = sent.trim().parse().context("the sender gave no count")?;
        // It waits for what is under way.
        drop(self.receiver.stdin.take());
        let counts = String::from_utf8(self.receiver.wait_with_output()?.stdout)?;
        let mut numbers = counts.split_whitespace().map_while(|text| text.parse().ok());
        let (received, pause) = numbers.next().zip(numbers.next()).context("the receiver gave no counts")?;
        Ok(FloodReport { sent, received, longest_pause: Duration::from_micros(pause) })
    }
}
