//! A large file by TCP, hashed where it leaves and where it arrives.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::{Mesh, wait_for};

/// A transfer that arrived whole.
#[derive(Debug, Clone, Copy)]
pub struct BulkReport {
    pub bytes: u64,
    pub took: Duration,
    /// Segments that the sender sent again.
    pub retransmitted: u64,
    /// Segments that arrived after others that were sent later.
    pub out_of_order: u64,
}

/// Both make the SHA-256 of what passes through their hands, so that no disk sets the pace. The content is random: what is
/// lost, doubled or out of its place shows.
const SEND: &str = "
import hashlib, os, socket, sys
address, length = sys.argv[1], int(sys.argv[2])
to = socket.getaddrinfo(address, 7300, type=socket.SOCK_STREAM)[0]
connection = socket.socket(to[0], socket.SOCK_STREAM)
connection.connect(to[4])
hash, left = hashlib.sha256(), length
while left:
    chunk = os.urandom(min(left, 1 << 20))
    hash.update(chunk)
    connection.sendall(chunk)
    left -= len(chunk)
connection.shutdown(socket.SHUT_WR)
connection.recv(1)
print(length, hash.hexdigest())
";

const RECEIVE: &str = "
import hashlib, socket, sys
at = socket.getaddrinfo(sys.argv[1], 7300, type=socket.SOCK_STREAM)[0]
server = socket.create_server(at[4], family=at[0])
connection, _ = server.accept()
hash, length, buffer = hashlib.sha256(), 0, bytearray(1 << 20)
while got := connection.recv_into(buffer):
    hash.update(memoryview(buffer)[:got])
    length += got
connection.close()
print(length, hash.hexdigest())
";

impl BulkReport {
    /// Megabits of content a second.
    pub fn megabits(&self) -> f64 {
        // A transfer has far fewer bytes than a double counts exactly.
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
        let bits = (self.bytes * 8) as f64;
        bits / 1e6 / self.took.as_secs_f64().max(1e-6)
    }
}

/// Sends so many random bytes to an address of `to`.
///
/// # Errors
/// They do not arrive as they were within `deadline`, or either end's kernel counted a wrong TCP checksum.
pub fn bulk(
    mesh: &Mesh,
    [from, to]: [&str; 2],
    address: IpAddr,
    bytes: u64,
    deadline: Duration,
) -> Result<BulkReport> {
    let what = format!("{from} → {to} ({address})");
    let (address, length) = (address.to_string(), bytes.to_string());
    let limited = |program| {
        ["timeout".to_owned(), deadline.as_secs().to_string(), "python3".to_owned(), "-c".to_owned(), program]
    };
    let spawn = |host: &str, program: &str, arguments: &[&str]| {
        let limited = limited(program.to_owned());
        let argv: Vec<&str> = limited.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
        mesh.spawn(host, &argv)
    };
    let receiver = spawn(to, RECEIVE, &[&address])?;
    wait_for("the receiver", Duration::from_secs(10), || {
        (!mesh.run(to, &["ss", "-Hltn", "sport = :7300"]).ok()?.is_empty()).then_some(())
    })?;
    let count = |host: &str, name: &str| kernel_counter(mesh, host, name);
    let before = [count(from, "TcpRetransSegs")?, count(to, "TcpExtTCPOFOQueue")?];
    let wrong = [count(from, "TcpInCsumErrors")?, count(to, "TcpInCsumErrors")?];
    let start = Instant::now();
    let sender = spawn(from, SEND, &[&address, &length])?;
    let sent = String::from_utf8(sender.wait_with_output()?.stdout)?;
    let took = start.elapsed();
    let received = String::from_utf8(receiver.wait_with_output()?.stdout)?;
    ensure!(sent.starts_with(&format!("{bytes} ")), "{what}: the sender did not end within {deadline:?}");
    ensure!(received == sent, "{what}: {received} is not {sent}");
    let after = [count(from, "TcpRetransSegs")?, count(to, "TcpExtTCPOFOQueue")?];
    ensure!(
        [count(from, "TcpInCsumErrors")?, count(to, "TcpInCsumErrors")?] == wrong,
        "{what}: wrong TCP checksums arrived"
    );
    let [retransmitted, out_of_order] = [after[0] - before[0], after[1] - before[1]];
    Ok(BulkReport { bytes, took, retransmitted, out_of_order })
}

/// One of the counters of a host's kernel, as `nstat` names it.
fn kernel_counter(mesh: &Mesh, host: &str, name: &str) -> Result<u64> {
    let text = mesh.run(host, &["nstat", "-asz", name])?;
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|value| value.parse().ok());
    value.with_context(|| format!("nstat gives no {name}: {text}"))
}
