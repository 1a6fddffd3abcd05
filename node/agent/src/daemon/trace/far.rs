//! What one node asks another of a packet's way, and what that one says: only what concerns the two of them.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use twinmesh_control::Peer;
use twinmesh_dataplane::{Engine, PublicKey};

use crate::api::{TracePacket, TraceProtocol};
use crate::daemon::agent::Agent;
use crate::network::{Transport, is_listening, program_source};

/// Characters of one text in an answer: all of them together fit a datagram.
const MOST_TEXT: usize = 120;

/// The packet that is to come. Unknown fields are ignored, here and in the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FarQuestion {
    /// From which address the asker sends it; `None`: it has no way.
    pub(super) source: Option<IpAddr>,
    pub(super) destination: IpAddr,
    #[serde(default)]
    pub(super) packet: TracePacket,
}

/// How the far end stands to the asker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FarAnswer {
    pub(super) version: String,
    /// What it sends to the asker by: `wireguard`, `esp` or `none`.
    pub(super) protocol: String,
    /// Where it sends to.
    #[serde(default)]
    pub(super) endpoint: Option<SocketAddr>,
    /// Since it heard the asker inside a tunnel.
    #[serde(default)]
    pub(super) heard_ms: Option<u64>,
    /// What is wrong with its tunnel.
    #[serde(default)]
    pub(super) problem: Option<String>,
    /// Whether packets from that source may come from the asker.
    pub(super) source_passes: bool,
    /// Whether the destination is an address of its own in the mesh.
    pub(super) is_own: bool,
    /// From which address its programs send to that source.
    #[serde(default)]
    pub(super) returns_from: Option<IpAddr>,
    /// Whether a socket waits for the packet; `None`: it has no port, or nobody could tell.
    #[serde(default)]
    pub(super) listens: Option<bool>,
}

impl FarQuestion {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it has string keys only and serializes into memory")
    }

    /// `None`: a later version may ask otherwise.
    pub(super) fn from_bytes(content: &[u8]) -> Option<Self> {
        serde_json::from_slice(content).ok()
    }
}

impl FarAnswer {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it has string keys only and serializes into memory")
    }

    /// Its texts are another machine's: nothing in them commands a terminal.
    pub(super) fn from_bytes(content: &[u8]) -> Option<Self> {
        let mut answer: Self = serde_json::from_slice(content).ok()?;
        let texts = [Some(&mut answer.version), Some(&mut answer.protocol), answer.problem.as_mut()];
        for text in texts.into_iter().flatten() {
            *text = shown(text);
        }
        Some(answer)
    }
}

fn shown(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(MOST_TEXT).collect()
}

impl Agent {
    /// For that peer, of a packet of its.
    pub(super) fn far_answer(&self, peer: &Peer, question: &FarQuestion) -> FarAnswer {
        let FarQuestion { source, destination, packet } = *question;
        let plane = self.plane.as_ref();
        let tunnel = plane.and_then(|plane| plane.dataplane.peer_status(&PublicKey(peer.wireguard_key.0)));
        let heard = tunnel.and_then(|tunnel| match tunnel.engine {
            Engine::WireGuard => tunnel.heard_wireguard,
            Engine::Esp => tunnel.heard_esp,
            Engine::Hold => None,
        });
        let status = self.peer_status(peer);
        let is_own = self.stored.map.as_ref().is_some_and(|map| map.own.addresses.contains(&destination));
        let passing = source.filter(|source| peer.allowed_ips.iter().any(|prefix| prefix.contains(source)));
        // A peer learns of its own packets alone.
        let listens = passing.filter(|_| is_own).and_then(|source| {
            let transport = match packet.protocol {
                TraceProtocol::Icmp => return None,
                TraceProtocol::Tcp => Transport::Tcp,
                TraceProtocol::Udp => Transport::Udp,
            };
            let at = SocketAddr::new(destination, packet.port?);
            let found = is_listening(transport, source, at, plane?.dataplane.tun_index());
            found.inspect_err(|error| tracing::debug!(%error, "the kernel does not tell of its sockets")).ok()
        });
        FarAnswer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: status.protocol,
            endpoint: status.endpoint,
            heard_ms: heard.map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)),
            problem: status.problem.as_deref().map(shown),
            source_passes: passing.is_some(),
            is_own,
            returns_from: passing.and_then(|source| program_source(source).ok()),
            listens,
        }
    }
}

#[cfg(test)]
mod tests {
    use twinmesh_path::question::MAX_CONTENT;

    use super::*;

    #[test]
    fn the_longest_answer_fits_a_datagram_and_reads_back() {
        let address: IpAddr = "fd00:1111:2222:3333:4444:5555:6666:7777".parse().unwrap();
        let answer = FarAnswer {
            version: "1000.1000.1000".to_owned(),
            protocol: "wireguard".to_owned(),
            endpoint: Some(SocketAddr::new(address, 65_535)),
            heard_ms: Some(u64::MAX),
            // Four bytes each, and what JSON escapes.
            problem: Some(shown(&"\u{1f980}\"".repeat(MOST_TEXT))),
            source_passes: false,
            is_own: false,
            returns_from: Some(address),
            listens: Some(false),
        };
        let bytes = answer.to_bytes();
        assert!(bytes.len() <= MAX_CONTENT, "{}", bytes.len());
        assert_eq!(FarAnswer::from_bytes(&bytes), Some(answer));
    }

    #[test]
    fn an_answer_cannot_command_the_terminal_nor_flood_it() {
        let problem = Some("\u{1b}[2Jcleared\r\n".repeat(60));
        let bytes = FarAnswer { problem, ..FarAnswer::default() }.to_bytes();
        let problem = FarAnswer::from_bytes(&bytes).unwrap().problem.unwrap();
        assert!(problem.starts_with("[2Jcleared[2J") && problem.len() == MOST_TEXT, "{problem:?}");
    }

    #[test]
    fn fields_of_a_later_version_are_ignored_and_garbage_is_nothing() {
        let question =
            br#"{"source":null,"destination":"100.64.0.2","packet":{"protocol":"tcp","port":443},"ttl":3}"#;
        let read = FarQuestion::from_bytes(question).unwrap();
        assert_eq!(read.packet, TracePacket { protocol: TraceProtocol::Tcp, port: Some(443) });
        for garbage in [b"".as_slice(), b"{}", b"[[[[[[[[", b"\xff", &question[..20]] {
            assert_eq!(FarQuestion::from_bytes(garbage), None);
            assert_eq!(FarAnswer::from_bytes(garbage), None);
        }
    }
}
