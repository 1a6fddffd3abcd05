//! Probes inside the tunnels: small packets from one node's mesh address to the other's, sealed like any other by the
//! engine that they are to prove. The receiving data plane answers in the same engine by itself.
//!
//! ```text
//!   IP header, protocol 253 (for experiments, RFC 3692 §2.1)
//!   0       4      5        6         7        8          16
//!   | magic | kind | engine | attempt | flags  | token    |
//! ```
//!
//! Who does not know a flag answers without it. Flag 1: partial checksums ([`crate::partial_sums`]).

use std::net::IpAddr;

use twinmesh_esp::{Copied, OuterHeader, write_ip_header};
use twinmesh_packet::IpPacket;

use crate::engine::Engine;

/// IANA's number "use for experimentation and testing".
const PROTOCOL: u8 = 253;
const MAGIC: [u8; 4] = *b"TmPr";
const REQUEST: u8 = 1;
const ANSWER: u8 = 2;
const WIREGUARD: u8 = 1;
const ESP: u8 = 2;
const PARTIAL_SUMS: u8 = 1;
/// Of an inner packet that no router forwards further.
const HOP_LIMIT: u8 = 1;
const PAYLOAD_LEN: usize = 16;
/// An IPv6 header and the payload.
pub(crate) const MAX_LEN: usize = 40 + PAYLOAD_LEN;

/// Both ends' addresses in the mesh, between which probes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeAddresses {
    pub own: IpAddr,
    pub peer: IpAddr,
}

/// One probe, or the answer to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) kind: Kind,
    /// The engine to be proven; the answer says it again.
    pub(crate) engine: Engine,
    /// How many went before it, for want of an answer.
    pub(crate) attempt: u8,
    /// May checksums be partial? They may.
    pub(crate) partial_sums: bool,
    /// The asker's, to know the answer by.
    pub(crate) token: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Answer,
}

impl Probe {
    /// The whole inner packet; `None` where the ends' addresses are not of one family.
    pub(crate) fn write(self, ends: ProbeAddresses, out: &mut [u8; MAX_LEN]) -> Option<&[u8]> {
        let kind = match self.kind {
            Kind::Request => REQUEST,
            Kind::Answer => ANSWER,
        };
        let engine = match self.engine {
            Engine::WireGuard => WIREGUARD,
            Engine::Esp => ESP,
            Engine::Hold => return None,
        };
        let header = OuterHeader {
            source: ends.own,
            destination: ends.peer,
            protocol: PROTOCOL,
            copied: Copied { traffic_class: 0, df: true, flow_label: 0, hop_limit: HOP_LIMIT },
            identification: 0,
        };
        let header_len = write_ip_header(&header, PAYLOAD_LEN, out).ok()?;
        let payload = out.get_mut(header_len..header_len + PAYLOAD_LEN)?;
        let (head, token) = payload.split_at_mut(8);
        let (magic, rest) = head.split_at_mut(4);
        magic.copy_from_slice(&MAGIC);
        let flags = if self.partial_sums { PARTIAL_SUMS } else { 0 };
        rest.copy_from_slice(&[kind, engine, self.attempt, flags]);
        token.copy_from_slice(&self.token.to_be_bytes());
        out.get(..header_len + PAYLOAD_LEN)
    }

    /// What an inner packet from the peer asks or answers, if it is one of these.
    pub(crate) fn parse(packet: &IpPacket<'_>, ends: ProbeAddresses) -> Option<Self> {
        if packet.protocol() != PROTOCOL
            || packet.is_later_fragment()
            || (packet.source(), packet.destination()) != (ends.peer, ends.own)
        {
            return None;
        }
        let payload: &[u8; PAYLOAD_LEN] = packet.payload().try_into().ok()?;
        let [m0, m1, m2, m3, kind, engine, attempt, flags, token @ ..] = *payload;
        if [m0, m1, m2, m3] != MAGIC {
            return None;
        }
        let kind = match kind {
            REQUEST => Kind::Request,
            ANSWER => Kind::Answer,
            _ => return None,
        };
        let engine = match engine {
            WIREGUARD => Engine::WireGuard,
            ESP => Engine::Esp,
            _ => return None,
        };
        let partial_sums = flags & PARTIAL_SUMS != 0;
        Some(Self { kind, engine, attempt, partial_sums, token: u64::from_be_bytes(token) })
    }

    /// `partial_sums`: whether this end takes partial checksums, if it is asked for that.
    pub(crate) const fn answer(self, partial_sums: bool) -> Self {
        Self { kind: Kind::Answer, partial_sums: self.partial_sums && partial_sums, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: Probe = Probe {
        kind: Kind::Request,
        engine: Engine::Esp,
        attempt: 3,
        partial_sums: true,
        token: 0x0102_0304_0506_0708,
    };

    fn ends(own: &str, peer: &str) -> ProbeAddresses {
        ProbeAddresses { own: own.parse().unwrap(), peer: peer.parse().unwrap() }
    }

    fn turned(ends: ProbeAddresses) -> ProbeAddresses {
        ProbeAddresses { own: ends.peer, peer: ends.own }
    }

    #[test]
    fn what_one_end_writes_the_other_reads_in_both_families() {
        for ends in [ends("100.64.0.1", "100.64.0.2"), ends("fd00:64::1", "fd00:64::2")] {
            for probe in
                [PROBE, PROBE.answer(false), PROBE.answer(true), Probe { engine: Engine::WireGuard, ..PROBE }]
            {
                let mut out = [0; MAX_LEN];
                let packet = IpPacket::parse(probe.write(ends, &mut out).unwrap()).unwrap();
                assert_eq!(Probe::parse(&packet, turned(ends)), Some(probe));
            }
        }
    }

    #[test]
    fn an_answer_grants_nothing_that_was_not_asked_for() {
        let silent = Probe { partial_sums: false, ..PROBE };
        let granted = [(PROBE, true), (PROBE, false), (silent, true)]
            .map(|(probe, may)| probe.answer(may).partial_sums);
        assert_eq!(granted, [true, false, false]);
    }

    #[test]
    fn other_packets_and_those_between_other_addresses_are_none() {
        let own = ends("100.64.0.1", "100.64.0.2");
        let mut out = [0; MAX_LEN];
        let written = PROBE.write(own, &mut out).unwrap().to_vec();
        let parse =
            |bytes: &[u8], at| IpPacket::parse(bytes).ok().and_then(|packet| Probe::parse(&packet, at));
        assert_eq!(parse(&written, own), None, "from the wrong end");
        assert_eq!(parse(&written, ends("100.64.0.2", "100.64.0.3")), None);
        // Magic, kind and engine.
        for at in [9, 20, 24, 25] {
            let mut other = written.clone();
            other[at] ^= 0x40;
            assert_eq!(parse(&other, turned(own)), None, "byte {at}");
        }
        for length in 0..written.len() {
            let mut cut = written[..length].to_vec();
            if let Some(total) = cut.get_mut(2..4) {
                total.copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
            assert_eq!(parse(&cut, turned(own)), None, "{length} bytes");
        }
    }

    #[test]
    fn nothing_is_asked_between_two_families_nor_of_no_engine() {
        let mut out = [0; MAX_LEN];
        assert_eq!(PROBE.write(ends("100.64.0.1", "fd00:64::2"), &mut out), None);
        assert_eq!(
            Probe { engine: Engine::Hold, ..PROBE }.write(ends("fd00:64::1", "fd00:64::2"), &mut out),
            None
        );
    }
}
