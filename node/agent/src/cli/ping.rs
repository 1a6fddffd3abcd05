//! `twinmesh ping`: ICMP echo to a peer's overlay address.

use std::fmt;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};
use twinmesh_packet::Checksum;

use super::arguments::PingArguments;
use super::{CommandError, ask, print, print_json};
use crate::api::{Explanation, PeerStatus, Request};

/// An answer that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(2);
/// ICMP types (RFC 792, RFC 4443 §4).
const ECHO_REQUEST_V4: u8 = 8;
const ECHO_REPLY_V4: u8 = 0;
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;
/// Type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;
/// Like ping(8): 56 bytes after the header.
const PAYLOAD: usize = 56;

/// A ping that could not be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum PingError {
    #[error(
        "no permission to send ICMP: run this command as root, or allow it to all (sysctl net.ipv4.ping_group_range)"
    )]
    Permission,
    #[error("cannot send ICMP: {0}")]
    Io(#[source] io::Error),
}

#[derive(Serialize)]
struct Report {
    peer: String,
    address: IpAddr,
    /// At the end.
    #[serde(flatten)]
    way: Way,
    sent: u16,
    received: usize,
    replies: Vec<Reply>,
    rtt_ms: Option<Summary>,
}

/// What carries the packets, and where to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Way {
    protocol: String,
    path: PathKind,
    endpoint: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum PathKind {
    Direct,
    Relayed,
    None,
}

#[derive(Serialize)]
struct Reply {
    sequence: u16,
    rtt_ms: f64,
    #[serde(flatten)]
    way: Way,
}

#[derive(Serialize)]
struct Summary {
    min: f64,
    avg: f64,
    max: f64,
}

pub(super) fn run(arguments: &PingArguments) -> Result<ExitCode, CommandError> {
    let look = || -> Result<Explanation, CommandError> {
        ask(&arguments.socket.socket, &Request::Explain { peer: arguments.peer.clone() })
    };
    let Explanation { address, peer, .. } = look()?;
    let mut way = Way::of(&peer);
    let mut echo = Echo::open(address)?;
    if !arguments.json {
        print(&format!("ping {} ({address})\n", peer.name))?;
    }
    let mut replies: Vec<Reply> = Vec::new();
    for sequence in 1..=arguments.count {
        let sent = Instant::now();
        let rtt = echo.round_trip(sequence)?;
        let before = std::mem::replace(&mut way, Way::of(&look()?.peer));
        let answered_before = !replies.is_empty();
        let line = match rtt {
            Some(rtt) => {
                let rtt_ms = rtt.as_secs_f64() * 1_000.0;
                replies.push(Reply { sequence, rtt_ms, way: way.clone() });
                format!("reply {sequence} from {}: {rtt_ms:.3} ms{way}\n", peer.name)
            }
            None => format!("no answer to {sequence} within {} s{way}\n", PATIENCE.as_secs()),
        };
        if !arguments.json {
            if answered_before {
                print(&way.news(&before))?;
            }
            print(&line)?;
        }
        if sequence < arguments.count {
            thread::sleep(arguments.interval.saturating_sub(sent.elapsed()));
        }
    }
    let report = Report {
        peer: peer.name,
        address,
        way,
        sent: arguments.count,
        received: replies.len(),
        rtt_ms: summary(&replies),
        replies,
    };
    if arguments.json {
        print_json(&report)?;
    } else {
        print(&last_line(&report))?;
    }
    Ok(if report.received == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Way {
    fn of(peer: &PeerStatus) -> Self {
        let path = match &peer.path {
            Some(path) if path.relayed => PathKind::Relayed,
            Some(_) => PathKind::Direct,
            None => PathKind::None,
        };
        let endpoint = peer.path.as_ref().map(|path| path.remote);
        Self { protocol: peer.protocol.clone(), path, endpoint }
    }

    /// What is another way than before, in lines of their own.
    fn news(&self, before: &Self) -> String {
        let mut text = String::new();
        if self.protocol != before.protocol {
            text.push_str(&format!(
                "the protocol is {} now, not {} any more\n",
                self.protocol, before.protocol
            ));
        }
        if (self.path, self.endpoint) != (before.path, before.endpoint) {
            text.push_str(&match self.endpoint {
                Some(endpoint) => format!("the path is {} now, to {endpoint}\n", self.path),
                None => "there is no path any more\n".to_owned(),
            });
        }
        text
    }
}

impl fmt::Display for Way {
    /// To be appended to a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.endpoint {
            Some(endpoint) => write!(f, " via {endpoint} ({}, {})", self.protocol, self.path),
            None => write!(f, " ({}, no path)", self.protocol),
        }
    }
}

impl fmt::Display for PathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Relayed => "relayed",
            Self::None => "none",
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most 65,535 replies")]
fn summary(replies: &[Reply]) -> Option<Summary> {
    let times = || replies.iter().map(|reply| reply.rtt_ms);
    let (min, max) = (times().reduce(f64::min)?, times().reduce(f64::max)?);
    Some(Summary { min, avg: times().sum::<f64>() / replies.len() as f64, max })
}

fn last_line(report: &Report) -> String {
    let counts = format!("{} sent, {} answered", report.sent, report.received);
    match &report.rtt_ms {
        Some(Summary { min, avg, max }) => {
            format!("{counts}, round trip min/avg/max {min:.3}/{avg:.3}/{max:.3} ms\n")
        }
        None => format!("{counts}: `twinmesh explain {}` says how the tunnel stands\n", report.peer),
    }
}

/// An ICMP socket that hears one address only.
struct Echo {
    socket: Socket,
    address: IpAddr,
    /// Raw sockets are shared by all: the payload tells our replies from others'.
    payload: [u8; PAYLOAD],
    identifier: u16,
}

impl Echo {
    fn open(address: IpAddr) -> Result<Self, PingError> {
        let (domain, protocol) = match address {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::DGRAM, Some(protocol))
            .or_else(|_| Socket::new(domain, Type::RAW, Some(protocol)))
            .map_err(|error| {
                if error.kind() == io::ErrorKind::PermissionDenied {
                    PingError::Permission
                } else {
                    PingError::Io(error)
                }
            })?;
        socket.connect(&SocketAddr::new(address, 0).into()).map_err(PingError::Io)?;
        let mut payload = [0; PAYLOAD];
        fastrand::fill(&mut payload);
        Ok(Self { socket, address, payload, identifier: fastrand::u16(..) })
    }

    /// Time until the answer to this request, if it comes in time.
    fn round_trip(&mut self, sequence: u16) -> Result<Option<Duration>, PingError> {
        let request = self.request(sequence);
        let start = Instant::now();
        match self.socket.send(&request) {
            Ok(_) => {}
            // ICMP errors of earlier requests (host unreachable) are told here: an answer did not come.
            Err(error) if is_unreachable(&error) => return Ok(None),
            Err(error) => return Err(PingError::Io(error)),
        }
        let mut buffer = [0; 2048];
        loop {
            let Some(left) = PATIENCE.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) else {
                return Ok(None);
            };
            self.socket.set_read_timeout(Some(left)).map_err(PingError::Io)?;
            match (&self.socket).read(&mut buffer) {
                Ok(length) if self.answers(sequence, buffer.get(..length).unwrap_or_default()) => {
                    return Ok(Some(start.elapsed()));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock || is_unreachable(&error) => {
                    return Ok(None);
                }
                Err(error) => return Err(PingError::Io(error)),
            }
        }
    }

    /// The kernel sets the identifier of datagram sockets and all checksums of ICMPv6.
    fn request(&self, sequence: u16) -> Vec<u8> {
        let kind = if self.address.is_ipv4() { ECHO_REQUEST_V4 } else { ECHO_REQUEST_V6 };
        let message = |checksum: u16| {
            let [c1, c2] = checksum.to_be_bytes();
            let [i1, i2] = self.identifier.to_be_bytes();
            let [s1, s2] = sequence.to_be_bytes();
            [&[kind, 0, c1, c2, i1, i2, s1, s2], self.payload.as_slice()].concat()
        };
        message(Checksum::new().with(&message(0)).finish())
    }

    fn answers(&self, sequence: u16, received: &[u8]) -> bool {
        let (kind, message) = match self.address {
            IpAddr::V4(_) => (ECHO_REPLY_V4, without_ip_header(received)),
            IpAddr::V6(_) => (ECHO_REPLY_V6, received),
        };
        let Some((&[found, _, _, _, _, _, s1, s2], payload)) = message.split_first_chunk::<HEADER>() else {
            return false;
        };
        found == kind && u16::from_be_bytes([s1, s2]) == sequence && payload == self.payload
    }
}

/// Raw IPv4 sockets give the IP header too (ip(7)); an echo reply itself starts with 0.
fn without_ip_header(received: &[u8]) -> &[u8] {
    match received.first() {
        Some(first) if first >> 4 == 4 => received.get(usize::from(first & 0x0f) * 4..).unwrap_or_default(),
        _ => received,
    }
}

fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_way_is_told_and_the_same_is_not() {
        let way = |protocol: &str, endpoint: &str| Way {
            protocol: protocol.to_owned(),
            path: PathKind::Direct,
            endpoint: Some(endpoint.parse().unwrap()),
        };
        let before = way("wireguard", "192.0.2.7:4500");
        assert_eq!(before.news(&before.clone()), "");
        assert_eq!(before.to_string(), " via 192.0.2.7:4500 (wireguard, direct)");
        let after = way("esp", "192.0.2.9:4500");
        assert_eq!(
            after.news(&before),
            "the protocol is esp now, not wireguard any more\nthe path is direct now, to 192.0.2.9:4500\n"
        );
        let relayed = Way { path: PathKind::Relayed, ..way("wireguard", "203.0.113.1:50000") };
        assert_eq!(before.news(&relayed), "the path is direct now, to 192.0.2.7:4500\n");
        assert_eq!(relayed.news(&before), "the path is relayed now, to 203.0.113.1:50000\n");
        let lost = Way { path: PathKind::None, endpoint: None, ..before.clone() };
        assert_eq!(lost.news(&before), "there is no path any more\n");
        assert_eq!(lost.to_string(), " (wireguard, no path)");
    }

    #[test]
    fn the_loopback_address_answers_over_both_families() {
        for address in ["127.0.0.1", "::1"] {
            let mut echo = match Echo::open(address.parse().unwrap()) {
                // Neither root nor allowed by the sysctl: nothing to test here.
                Err(PingError::Permission) => continue,
                echo => echo.unwrap(),
            };
            let rtt = echo.round_trip(1).unwrap();
            assert!(rtt.is_some_and(|rtt| rtt < PATIENCE), "{address}: {rtt:?}");
        }
    }

    #[test]
    fn foreign_or_damaged_replies_do_not_count() {
        let Ok(echo) = Echo::open("127.0.0.1".parse().unwrap()) else { return };
        let mut reply = echo.request(7);
        reply[0] = ECHO_REPLY_V4;
        assert!(echo.answers(7, &reply));
        assert!(!echo.answers(8, &reply));
        for length in 0..reply.len() {
            assert!(!echo.answers(7, &reply[..length]), "{length}");
        }
        let mut with_header = [0x45; 20].to_vec();
        with_header.extend_from_slice(&reply);
        assert!(echo.answers(7, &with_header));
        assert!(!echo.answers(7, &echo.request(7)));
    }
}
