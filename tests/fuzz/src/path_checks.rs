//! A node's path engine against a peer that holds the key of the pair and says anything, against strangers, and under
//! calls in any order.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use twinmesh_path::Mapping;
use twinmesh_path::pair::{Candidate, Event, Handled, Kind, LocalSettings, PairSecret, Pairs, PeerSettings};

use crate::script::Script;

const AGREEMENT: [u8; 32] = [9; 32];
const OWN: [u8; 32] = [1; 32];
const PEER: [u8; 32] = [2; 32];
const RELAY: [u8; 4] = [192, 0, 2, 1];
const KINDS: [Kind; 5] = [Kind::Host, Kind::Reflexive, Kind::Mapped, Kind::Configured, Kind::Relayed];
const MAPPINGS: [Option<Mapping>; 3] =
    [None, Some(Mapping::EndpointIndependent), Some(Mapping::AddressAndPortDependent)];
/// Eight of the map, four that the peer was heard from, sixteen guesses, and those of them that answered.
const MOST_CANDIDATES: usize = 8 + 4 + 2 * 16;

pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut world = World::new();
    let mut steps = 0;
    while !script.is_over() && steps < 64 {
        steps += 1;
        world.step(&mut script);
    }
}

struct World {
    pairs: Pairs<u8>,
    local: LocalSettings,
    now: Instant,
    /// What the node sent last: checks that the peer may answer.
    sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            pairs: Pairs::new(fastrand::Rng::with_seed(1)),
            local: LocalSettings { relays: vec![RELAY.into()], ..LocalSettings::default() },
            now: Instant::now(),
            sent: Vec::new(),
        };
        world.set_peer(&mut Script::new(&[]));
        world
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let now = self.now;
        match script.byte() % 10 {
            0 => {
                let len = script.byte();
                let from = address(script);
                let _ = self.pairs.handle_datagram(from, script.bytes(len.into()), now);
            }
            1 | 2 => self.say(script),
            3 => self.answer(script),
            4 => {
                self.now += Duration::from_millis(u64::from(script.word()));
                self.pairs.handle_timeout(self.now);
                assert!(self.pairs.poll_timeout().is_none_or(|due| due > self.now));
            }
            5 => self.pairs.needed(7, now),
            6 => self.pairs.heard(7, address(script), now),
            7 => self.pairs.silent(7, now),
            8 => self.set_peer(script),
            _ => {
                self.local.has_relay = script.byte().is_multiple_of(2);
                self.local.mtu = script.word();
                self.local.mapping = script.of(&MAPPINGS);
                self.pairs.set_local(self.local.clone(), now);
                self.pairs.network_changed(now);
            }
        }
        self.drain();
    }

    fn set_peer(&mut self, script: &mut Script<'_>) {
        let count = script.byte() % 12;
        let candidates =
            (0..count).map(|_| Candidate { address: address(script), kind: script.of(&KINDS) }).collect();
        let secret = PairSecret::new(&AGREEMENT, &OWN, &PEER);
        let mapping = script.of(&MAPPINGS);
        self.pairs.set_peer(7, PeerSettings { secret, candidates, mapping }, self.now);
    }

    /// Any attributes behind the right name, with the right integrity.
    fn say(&mut self, script: &mut Script<'_>) {
        let class = script.of(&[[0, 1], [1, 1], [0, 17], [1, 17], [0, 3]]);
        let mut message = vec![class[0], class[1], 0, 0, 0x21, 0x12, 0xa4, 0x42];
        message.extend([script.byte(); 12]);
        let letter = script.of(b"uk?");
        name(&mut message, letter);
        let len = usize::from(script.byte() % 64) / 4 * 4;
        let attributes = script.bytes(len);
        message.extend(attributes);
        sign(&mut message);
        let from = address(script);
        let handled = self.pairs.handle_datagram(from, &message, self.now);
        if class == [0, 1] && letter != b'?' && attributes.is_empty() {
            let absurd = from.ip().is_loopback() || from.ip().is_multicast();
            assert_eq!(handled, if absurd { Handled::Refused } else { Handled::Checked(7) });
        }
    }

    /// To one of the node's checks, from where it was sent, or not.
    fn answer(&mut self, script: &mut Script<'_>) {
        if self.sent.is_empty() {
            return;
        }
        let (to, check) = self.sent.swap_remove(usize::from(script.byte()) % self.sent.len());
        let mut message = vec![1, 1, 0, 0];
        message.extend(&check[4..20]);
        name(&mut message, b'k');
        sign(&mut message);
        let from = if script.byte().is_multiple_of(8) { address(script) } else { to };
        let _ = self.pairs.handle_datagram(from, &message, self.now);
    }

    fn drain(&mut self) {
        let mut datagrams = 0;
        while let Some(transmit) = self.pairs.poll_transmit() {
            assert!(transmit.datagram.len() < 65_535 && !transmit.to.ip().is_multicast());
            datagrams += 1;
            if transmit.datagram.starts_with(&[0, 1]) {
                self.sent.push((transmit.to, transmit.datagram));
            }
        }
        assert!(datagrams <= MOST_CANDIDATES + 32, "{datagrams} datagrams at once");
        let old = self.sent.len().saturating_sub(64);
        self.sent.drain(..old);
        while let Some(Event::Path { id, path, .. }) = self.pairs.poll_event() {
            assert_eq!((id, path), (7, self.pairs.path(7)));
        }
        if let Some(path) = self.pairs.path(7) {
            assert!(!path.is_relayed() || self.local.has_relay);
            assert!(path.mtu <= self.local.mtu.max(1280));
        }
        let known = self.pairs.status(7, self.now).expect("the peer is there").candidates.len();
        assert!(known <= MOST_CANDIDATES, "{known} candidates");
    }
}

/// Few of them, so that they meet again; some at the relay, some absurd.
fn address(script: &mut Script<'_>) -> SocketAddr {
    let port = 4500 + u16::from(script.byte() % 24);
    match script.byte() % 8 {
        0 => SocketAddr::from((RELAY, port)),
        1 => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 2], port)),
        2 => SocketAddr::from(([127, 0, 0, 1], port)),
        3 => SocketAddr::from(([224, 0, 0, 1], port)),
        other => SocketAddr::from(([203, 0, 113, other], port)),
    }
}

/// The peer's, as the node expects it.
fn name(message: &mut Vec<u8>, letter: u8) {
    let tag = derive(b"tag");
    message.extend([0, 6, 0, 17]);
    message.extend(tag.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).take(16));
    message.extend([letter, 0, 0, 0]);
}

fn sign(message: &mut Vec<u8>) {
    let len = u16::try_from(message.len() + 36 - 20).expect("messages are short");
    message[2..4].copy_from_slice(&len.to_be_bytes());
    let mac = hmac(&derive(b"key"), &[message]);
    message.extend([0, 0x1c, 0, 32]);
    message.extend(mac);
}

/// HKDF of the agreement, for what the peer sends.
fn derive(purpose: &[u8]) -> [u8; 32] {
    let secret = hmac(b"twinmesh path checks 1", &[&AGREEMENT]);
    hmac(&secret, &[purpose, &PEER, &[1]])
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
