//! Sockets inside hosts, moved by the test: the program `examples/probe.rs`, started in the host, obeys commands.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use crate::support::{DEADLINE, TestLab, helper};

/// A UDP socket and a TCP listener on one address of a host.
pub struct Probe {
    child: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
    pub address: SocketAddr,
}

impl Probe {
    /// Binds to the host's first IPv4 address.
    pub fn new(lab: &TestLab, host: &str, port: u16) -> Self {
        let address = lab.host(host).address(twinmesh_lab::IpVersion::V4).unwrap();
        Self::bind(lab, host, SocketAddr::new(address, port))
    }

    pub fn bind(lab: &TestLab, host: &str, address: SocketAddr) -> Self {
        let mut child = lab
            .host(host)
            .command(helper("probe"))
            .arg(address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pipes = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let probe = Self { child, pipes: RefCell::new(pipes), address };
        assert_eq!(probe.answer(), "bound", "{host}: {address}");
        probe
    }

    fn ask(&self, question: &str) -> String {
        writeln!(self.pipes.borrow_mut().0, "{question}").unwrap();
        self.answer()
    }

    fn answer(&self) -> String {
        let mut line = String::new();
        let length = self.pipes.borrow_mut().1.read_line(&mut line).unwrap();
        assert_ne!(length, 0, "the probe of {} has ended", self.address);
        line.trim_end().to_owned()
    }

    /// Sends a datagram; it has left the host when this returns.
    pub fn send(&self, to: SocketAddr, text: &str) {
        assert_eq!(self.ask(&format!("send {to} {text}")), "sent");
    }

    /// Sends numbered datagrams `0` to `count - 1`, a few each millisecond.
    pub fn burst(&self, to: SocketAddr, count: u32, size: usize) {
        assert_eq!(self.ask(&format!("burst {to} {count} {size}")), "sent");
    }

    /// The next datagram that has arrived: who sent it, and its text.
    #[track_caller]
    pub fn receive(&self) -> (SocketAddr, String) {
        self.receive_within(DEADLINE).expect("no datagram arrived in time")
    }

    /// Like [`Probe::receive`], but nothing may arrive.
    pub fn receive_within(&self, patience: Duration) -> Option<(SocketAddr, String)> {
        let answer = self.ask(&format!("receive {}", patience.as_millis()));
        let (from, text) = answer.split_once(' ')?;
        Some((from.parse().unwrap(), text.to_owned()))
    }

    /// Sends to another probe until it arrives, and returns the sender's address as seen there. What else
    /// arrives there meanwhile is ignored.
    #[track_caller]
    pub fn reach(&self, other: &Self, text: &str) -> SocketAddr {
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            self.send(other.address, text);
            if let Some(from) = other.heard(text) {
                return from;
            }
        }
        panic!("{} does not reach {}", self.address, other.address);
    }

    /// Whether this text arrives soon.
    fn heard(&self, text: &str) -> Option<SocketAddr> {
        while let Some((from, received)) = self.receive_within(Duration::from_millis(500)) {
            if received == text {
                return Some(from);
            }
        }
        None
    }

    /// Opens a TCP connection, and returns the address that the other end saw.
    pub fn connect(&self, to: SocketAddr, patience: Duration) -> Result<SocketAddr, String> {
        let answer = self.ask(&format!("connect {to} {}", patience.as_millis()));
        answer.parse().map_err(|_| answer)
    }

    /// Sends bytes by TCP, and returns how long it took until the other probe had them all.
    pub fn transfer(&self, to: SocketAddr, bytes: usize) -> Duration {
        Duration::from_micros(self.ask(&format!("transfer {to} {bytes}")).parse().unwrap())
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
