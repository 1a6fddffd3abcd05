//! `twinmesh ping`: ICMP echo to a peer's overlay address.

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};
use twinmesh_packet::Checksum;

use super::arguments::PingArguments;
use super::{CommandError, ask, print, print_json};
use crate::api::{PeerStatus, Request, State, Status};

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
    #[error("the tunnels are not up: see `twinmesh status`")]
    NotRunning,
    #[error("no peer is called {0}: `twinmesh status` lists them")]
    Unknown(String),
    #[error("{0} is this node itself")]
    Own(String),
    #[error("{0} has no overlay address")]
    NoAddress(String),
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
    endpoint: Option<SocketAddr>,
    sent: u16,
    received: usize,
    replies: Vec<Reply>,
    rtt_ms: Option<Summary>,
}

#[derive(Serialize)]
struct Reply {
    sequence: u16,
    rtt_ms: f64,
}

#[derive(Serialize)]
struct Summary {
    min: f64,
    avg: f64,
    max: f64,
}

pub(super) fn run(arguments: &PingArguments) -> Result<ExitCode, CommandError> {
    let socket = &arguments.socket.socket;
    let status: Status = ask(socket, &Request::Status)?;
    let (peer, address) = find(&status, &arguments.peer)?;
    let mut echo = Echo::open(address)?;
    if !arguments.json {
        print(&format!("ping {} ({address})\n", peer.name))?;
    }
    let mut replies = Vec::new();
    for sequence in 1..=arguments.count {
        let sent = Instant::now();
        let rtt = echo.round_trip(sequence)?;
        let line = match rtt {
            Some(rtt) => {
                let rtt_ms = rtt.as_secs_f64() * 1_000.0;
                replies.push(Reply { sequence, rtt_ms });
                let via = endpoint(socket, &peer)?.map(|via| format!(" via {via}")).unwrap_or_default();
                format!("reply {sequence} from {}: {rtt_ms:.3} ms{via}\n", peer.name)
            }
            None => format!("no answer to {sequence} within {} s\n", PATIENCE.as_secs()),
        };
        if !arguments.json {
            print(&line)?;
        }
        if sequence < arguments.count {
            thread::sleep(arguments.interval.saturating_sub(sent.elapsed()));
        }
    }
    let report = Report {
        endpoint: endpoint(socket, &peer)?,
        peer: peer.name,
        address,
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

/// The peer of that host name or overlay address, and the address to use.
fn find(status: &Status, wanted: &str) -> Result<(PeerStatus, IpAddr), PingError> {
    if status.state != State::Running {
        return Err(PingError::NotRunning);
    }
    if let Ok(address) = wanted.parse::<IpAddr>() {
        if status.addresses.contains(&address) {
            return Err(PingError::Own(wanted.to_owned()));
        }
        let owner = |peer: &&PeerStatus| peer.allowed_ips.iter().any(|prefix| prefix.contains(&address));
        let peer = status.peers.iter().find(owner).ok_or_else(|| PingError::Unknown(wanted.to_owned()))?;
        return Ok((peer.clone(), address));
    }
    if status.name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(wanted)) {
        return Err(PingError::Own(wanted.to_owned()));
    }
    let named = |peer: &&PeerStatus| peer.name.eq_ignore_ascii_case(wanted);
    let peer = status.peers.iter().find(named).ok_or_else(|| PingError::Unknown(wanted.to_owned()))?;
    let address = peer.addresses.first().ok_or_else(|| PingError::NoAddress(wanted.to_owned()))?;
    Ok((peer.clone(), *address))
}

/// Where the peer's packets come from by now.
fn endpoint(socket: &Path, peer: &PeerStatus) -> Result<Option<SocketAddr>, CommandError> {
    let status: Status = ask(socket, &Request::Status)?;
    Ok(status.peers.iter().find(|now| now.id == peer.id).and_then(|now| now.endpoint))
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
        None => format!("{counts}: `twinmesh status` shows the state of the tunnel\n"),
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
