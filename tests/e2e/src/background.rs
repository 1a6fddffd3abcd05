//! Programs that run beside a test and end with their handle.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::{Mesh, wait_for};

const PATIENCE: Duration = Duration::from_secs(10);
/// A capture to which nothing was added for so long has everything.
const SILENCE: Duration = Duration::from_millis(100);

/// A server inside a host; killed when dropped.
pub struct Server(Child);

impl Server {
    /// Serves the host's own folder at port 8000 of that address.
    pub fn http(mesh: &Mesh, host: &str, address: IpAddr) -> Result<Self> {
        let folder = mesh.lab().find_host(host)?.folder().display().to_string();
        Self::start(mesh, host, &["python3", "-c", HTTP, &address.to_string(), &folder], 8000)
    }

    /// An iperf3 server at its usual port.
    pub fn iperf(mesh: &Mesh, host: &str, address: IpAddr) -> Result<Self> {
        Self::start(mesh, host, &["iperf3", "-s", "-B", &address.to_string()], 5201)
    }

    /// Sends each UDP datagram to port 7000 of that address back to its sender.
    pub fn udp_echo(mesh: &Mesh, host: &str, address: IpAddr) -> Result<Self> {
        Self::start(mesh, host, &["python3", "-c", UDP_ECHO, &address.to_string()], 7000)
    }

    /// Waits until something listens on that TCP or UDP port of the host.
    fn start(mesh: &Mesh, host: &str, command: &[&str], port: u16) -> Result<Self> {
        let filter = format!("sport = :{port}");
        let is_taken = || Some(!mesh.run(host, &["ss", "-Hltun", &filter]).ok()?.is_empty());
        // One that was just ended dies a moment after the process that stands for it outside.
        wait_for(&format!("port {port} of {host} to be free"), PATIENCE, || (!is_taken()?).then_some(()))?;
        let server = Self(mesh.spawn(host, command)?);
        wait_for(&format!("{} on {host}", command[0]), PATIENCE, || is_taken()?.then_some(()))?;
        Ok(server)
    }
}

/// Python's own server asks for its name by DNS, and hosts of a lab have none: an answer that it cannot be reached may be
/// long in coming.
const HTTP: &str = "
import http.server, socket, socketserver, sys
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    address_family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
def handler(*arguments):
    return http.server.SimpleHTTPRequestHandler(*arguments, directory=sys.argv[2])
Server((sys.argv[1], 8000), handler).serve_forever()
";

const UDP_ECHO: &str = "
import socket, sys
at = socket.getaddrinfo(sys.argv[1], 7000, type=socket.SOCK_DGRAM)[0]
server = socket.socket(at[0], socket.SOCK_DGRAM)
server.bind(at[4])
while True:
    datagram, sender = server.recvfrom(65535)
    server.sendto(datagram, sender)
";

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

fn end(child: &mut Child) {
    // Both fail only when the program has ended already.
    child.kill().ok();
    child.wait().ok();
}

/// A ping that runs for a set time.
pub struct BackgroundPing(Child);

/// What `ping` counted.
#[derive(Debug)]
pub struct PingReport {
    pub sent: u64,
    pub lost: u64,
}

impl BackgroundPing {
    pub(crate) fn start(mesh: &Mesh, from: &str, to: IpAddr, duration: Duration) -> Result<Self> {
        let seconds = duration.as_secs().to_string();
        mesh.spawn(from, &["ping", "-q", "-i", "0.1", "-W", "2", "-w", &seconds, &to.to_string()]).map(Self)
    }

    /// Waits for the end and reads ping's summary.
    pub fn finish(self) -> Result<PingReport> {
        let Output { stdout, .. } = self.0.wait_with_output()?;
        let text = String::from_utf8_lossy(&stdout);
        let summary =
            text.lines().find(|line| line.contains("packets transmitted")).context("no summary of ping")?;
        let mut numbers =
            summary.split(|letter: char| !letter.is_ascii_digit()).filter_map(|word| word.parse().ok());
        let (sent, received): (u64, u64) = numbers.next().zip(numbers.next()).context("no counts of ping")?;
        // The last request may still be on its way when the time is over.
        Ok(PingReport { sent, lost: sent.saturating_sub(received + 1) })
    }
}

/// A capture on a host's underlay.
pub struct Capture {
    file: PathBuf,
    child: Child,
}

impl Capture {
    pub(crate) fn start(mesh: &Mesh, host: &str, filter: &str) -> Result<Self> {
        // Where the lab keeps its own: a failed test's captures are kept with its logs.
        let file = mesh.lab().capture(host, "test");
        // That of an earlier capture would look as if this one had begun.
        std::fs::remove_file(&file).ok();
        let name = file.display().to_string();
        let child = mesh.spawn(
            host,
            &[
                "tcpdump",
                "-i",
                "eth0",
                "-U",
                "--immediate-mode",
                "-s",
                "0",
                "-Z",
                "root",
                "-w",
                &name,
                filter,
            ],
        )?;
        wait_for("tcpdump to start", Duration::from_secs(5), || {
            // It writes the file's header when it has begun to listen.
            std::fs::metadata(&file).is_ok_and(|file| file.len() >= 24).then_some(())
        })?;
        Ok(Self { file, child })
    }

    /// Ends the capture; the bytes of its file.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        // When it is ended it leaves what it has not read yet. That matters for the last packets of a test, behind which
        // it is silent, not for traffic that goes on.
        let (mut length, mut since) = (0, Instant::now());
        let silence = wait_for("tcpdump to have written everything", Duration::from_secs(1), || {
            let now = std::fs::metadata(&self.file).ok()?.len();
            if now != length {
                (length, since) = (now, Instant::now());
            }
            (since.elapsed() >= SILENCE).then_some(())
        });
        silence.ok();
        end(&mut self.child);
        std::fs::read(&self.file).context("the capture cannot be read")
    }

    /// Where it is written.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

/// A Python program, for arguments CAPTURE and HOST: `body` finds the UDP payloads of a capture (pcap, Ethernet, IPv4
/// or IPv6) in `payloads`, and the address of the host's data port, as `getaddrinfo` gives it, in `to`.
pub fn over_capture(body: &str) -> String {
    format!("{READ_CAPTURE}{body}")
}

const READ_CAPTURE: &str = "
import socket, struct, sys
data = open(sys.argv[1], 'rb').read()
at, payloads = 24, []
while at + 16 <= len(data):
    length = struct.unpack_from('<I', data, at + 8)[0]
    frame = data[at + 16:at + 16 + length]
    payloads.append(frame[14 + (40 if frame[14] >> 4 == 6 else 20) + 8:])
    at += 16 + length
to = socket.getaddrinfo(sys.argv[2], 4500, type=socket.SOCK_DGRAM)[0]
";

/// Output goes nowhere unless it is asked for.
pub(crate) fn quiet(command: &mut std::process::Command) -> std::io::Result<Child> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}
