//! The client of relays (`relay`) against relays that say anything, against somebody on the way who does not know the
//! credential, and against strangers who see nothing.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stun_types::attribute::{
    AttributeType, ErrorCode, Nonce, RawAttribute, Realm, Username, XorMappedAddress,
};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageType, MessageWrite,
    MessageWriteExt, MessageWriteVec, Method, TransactionId,
};
use turn_types::attribute::{Data, Lifetime, XorPeerAddress, XorRelayedAddress};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, DATA, REFRESH};
use twinmesh_path::relay::{Carrier, Credential, Event, Received, RelayClient, RelayServer, Transport};
use zeroize::Zeroizing;

use crate::script::Script;

const REALMS: [&str; 2] = ["example.org", "example.net"];
const CODES: [u16; 9] = [300, 400, 401, 437, 438, 440, 441, 486, 699];
const METHODS: [Method; 6] = [BINDING, ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND, DATA];
const TRANSPORTS: [Transport; 2] = [Transport::Udp, Transport::Tls];
/// What one call may send: permissions, channels and measurements of all relays.
const MOST_AT_ONCE: usize = 400;
/// Addresses that are kept in mind after they were heard.
const MOST_HEARD: usize = 64;

pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut world = World::new();
    let mut steps = 0;
    while !script.is_over() && steps < 96 {
        steps += 1;
        world.step(&mut script);
    }
}

struct World {
    client: RelayClient,
    now: Instant,
    /// Requests that have no answer yet.
    sent: Vec<(SocketAddr, Transport, Vec<u8>)>,
    password: u8,
    peers: BTreeSet<SocketAddr>,
    carried: BTreeSet<SocketAddr>,
    /// Where relays have said that this node is seen.
    given: BTreeSet<SocketAddr>,
}

/// Who answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Relay,
    /// It sees the request, and does not know the credential.
    Between,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            client: RelayClient::new(fastrand::Rng::with_seed(1)),
            now: Instant::now(),
            sent: Vec::new(),
            password: 0,
            peers: BTreeSet::new(),
            carried: BTreeSet::new(),
            given: BTreeSet::new(),
        };
        world.client.set_servers(world.servers(255), world.now);
        world.drain();
        world
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 12 {
            0 | 1 => {
                self.now += Duration::from_millis(u64::from(script.word()));
                self.settle();
            }
            2..=4 => self.answer(Who::Relay, script),
            5 => self.answer(Who::Between, script),
            6 => self.invent(script),
            7 => self.data(script),
            8 => {
                let len = script.byte();
                let garbage = script.bytes(len.into());
                let (server, transport) = (relay(script), script.of(&TRANSPORTS));
                self.receive(server, transport, garbage);
            }
            9 => {
                let count = script.byte() % 8;
                self.peers = (0..count).map(|_| address(script)).collect();
                self.client.set_peers(self.peers.clone(), self.now);
                let mut used = self.peers.clone();
                used.retain(|_| script.byte().is_multiple_of(2));
                self.client.set_in_use(used, self.now);
            }
            10 if script.byte().is_multiple_of(2) => self.client.network_changed(self.now),
            10 => {
                self.password = script.byte() % 3;
                let servers = self.servers(script.byte());
                self.client.set_servers(servers, self.now);
            }
            _ => {
                let server = relay(script);
                if script.byte().is_multiple_of(4) {
                    self.client.handle_disconnected(server, self.now);
                } else {
                    self.client.handle_connected(server, self.now);
                }
            }
        }
        self.drain();
    }

    fn servers(&self, which: u8) -> Vec<RelayServer> {
        let credential = Credential::new("node".to_owned(), Zeroizing::new(self.password.to_string()));
        let credential = credential.expect("the name is short");
        let all = (1..=2).flat_map(|last| TRANSPORTS.map(|transport| (relay_at(last), transport)));
        all.enumerate()
            .filter(|(at, _)| which & (1 << at) != 0)
            .map(|(_, (address, transport))| RelayServer {
                address,
                transport,
                credential: credential.clone(),
            })
            .collect()
    }

    fn receive(&mut self, server: SocketAddr, transport: Transport, bytes: &[u8]) {
        let received = match transport {
            Transport::Udp => self.client.handle_datagram(server, bytes, self.now),
            Transport::Tls => self.client.handle_message(server, bytes, self.now),
        };
        if let Received::Data { from, payload } = received {
            let permitted = self.peers.iter().any(|peer| peer.ip() == from.ip())
                || (1..=2).any(|last| relay_at(last).ip() == from.ip());
            assert!(permitted, "{from} may not send");
            assert!(payload.is_empty() || bytes.windows(payload.len()).any(|window| window == payload));
        }
    }

    /// To a request that is under way, with the proof of whoever answers.
    fn answer(&mut self, who: Who, script: &mut Script<'_>) {
        if self.sent.is_empty() {
            return;
        }
        let at = usize::from(script.byte()) % self.sent.len();
        let (server, transport, request) = match who {
            Who::Relay => self.sent.swap_remove(at),
            Who::Between => self.sent[at].clone(),
        };
        let request = Message::from_bytes(&request).expect("the client's own message");
        let id = request.transaction_id();
        let proven = request.attribute::<Realm>().ok().map(|realm| realm.realm().to_owned());
        let succeeds =
            request.has_method(BINDING) || script.byte() % 4 < if proven.is_some() { 3 } else { 1 };
        let mut answer = if succeeds {
            Message::builder_success(&request, MessageWriteVec::new())
        } else {
            let mut answer = Message::builder_error(&request, MessageWriteVec::new());
            let code = if proven.is_some() { script.of(&CODES) } else { 401 };
            let code = ErrorCode::builder(code).build().expect("a code of the list");
            answer.add_attribute(&code).expect("the message is short");
            let nonce = script.byte().to_string();
            answer.add_attribute(&Realm::new(script.of(&REALMS)).expect("short")).expect("short");
            answer.add_attribute(&Nonce::new(&nonce).expect("short")).expect("short");
            answer
        };
        let seen = address(script);
        if succeeds && request.has_method(ALLOCATE) {
            answer.add_attribute(&XorRelayedAddress::new(seen, id)).expect("short");
        }
        if succeeds && request.has_method(BINDING) {
            answer.add_attribute(&XorMappedAddress::new(seen, id)).expect("short");
        }
        if script.byte().is_multiple_of(2) {
            answer.add_attribute(&Lifetime::new(u32::from(script.byte()))).expect("short");
        }
        if let Some(realm) = &proven {
            let name = request.attribute::<Username>().expect("it is proven").username().to_owned();
            let password = if who == Who::Relay { self.password.to_string() } else { "guessed".to_owned() };
            let key =
                LongTermKeyCredentials::new(name, password, realm.clone()).make_key(IntegrityAlgorithm::Sha1);
            answer.add_message_integrity_with_key(&key, IntegrityAlgorithm::Sha1).expect("short");
        }
        let answer = answer.finish();
        if succeeds && (who == Who::Relay || proven.is_none()) {
            self.given.insert(seen);
        }
        if who == Who::Between && succeeds && proven.is_some() {
            self.changes_nothing(server, transport, &answer);
        } else {
            self.receive(server, transport, &answer);
        }
    }

    /// Answers and requests in form, of somebody who sees nothing of this node's.
    fn invent(&mut self, script: &mut Script<'_>) {
        let class = script.of(&[
            MessageClass::Success,
            MessageClass::Error,
            MessageClass::Request,
            MessageClass::Indication,
        ]);
        let method = script.of(&METHODS);
        let id = TransactionId::from(u128::from(script.word()));
        let known = |(_, _, sent): &(SocketAddr, Transport, Vec<u8>)| {
            Message::from_bytes(sent).is_ok_and(|sent| sent.transaction_id() == id)
        };
        if self.sent.iter().any(known) {
            return;
        }
        let mut message =
            Message::builder(MessageType::from_class_method(class, method), id, MessageWriteVec::new());
        for _ in 0..script.byte() % 5 {
            let kind = script.of(&[0x06, 0x09, 0x0c, 0x0d, 0x12, 0x13, 0x14, 0x15, 0x16, 0x20]);
            let len = usize::from(script.byte() % 40);
            let value = script.bytes(len);
            message.add_attribute(&RawAttribute::new(AttributeType::new(kind), value)).expect("short");
        }
        let message = message.finish();
        let (server, transport) = (relay(script), script.of(&TRANSPORTS));
        if class == MessageClass::Indication {
            self.receive(server, transport, &message);
        } else {
            self.changes_nothing(server, transport, &message);
        }
    }

    fn changes_nothing(&mut self, server: SocketAddr, transport: Transport, forged: &[u8]) {
        // What is due anyway is done first.
        self.settle();
        let before = (self.client.home(), self.client.poll_timeout(self.now));
        self.receive(server, transport, forged);
        assert_eq!((self.client.home(), self.client.poll_timeout(self.now)), before);
        assert!(self.client.poll_transmit().is_none() && self.client.poll_event().is_none());
    }

    /// What a relay passes on.
    fn data(&mut self, script: &mut Script<'_>) {
        let mut message = Message::builder_indication(DATA, MessageWriteVec::new());
        let from = XorPeerAddress::new(address(script), message.transaction_id());
        let len = usize::from(script.byte());
        message.add_attribute(&from).expect("short");
        message.add_attribute(&Data::new(script.bytes(len))).expect("short");
        let message = message.finish();
        let (server, transport) = (relay(script), script.of(&TRANSPORTS));
        self.receive(server, transport, &message);
    }

    /// What one turn brings about may be due in the next: the work of a new home, another round of measuring.
    fn settle(&mut self) {
        for _ in 0..4 {
            self.client.handle_timeout(self.now);
            self.drain();
        }
        assert!(self.client.poll_timeout(self.now).is_none_or(|due| due > self.now), "it turns for ever");
    }

    fn drain(&mut self) {
        let mut messages = 0;
        while let Some(transmit) = self.client.poll_transmit() {
            assert!(Message::from_bytes(&transmit.message).is_ok());
            messages += 1;
            self.sent.push((transmit.server, transmit.transport, transmit.message));
        }
        assert!(messages <= MOST_AT_ONCE, "{messages} messages at once");
        let old = self.sent.len().saturating_sub(64);
        self.sent.drain(..old);
        let mut events = 0;
        while let Some(event) = self.client.poll_event() {
            events += 1;
            match event {
                Event::Carry { peer, carrier } => {
                    let by_stream = matches!(carrier, Carrier::Stream { .. });
                    assert!(
                        by_stream || !matches!(carrier, Carrier::Channel { number, .. } if number < 0x4000)
                    );
                    self.carried.insert(peer);
                }
                Event::Forget { peer } => assert!(self.carried.remove(&peer), "{peer} was not carried"),
                Event::Home(home) => assert_eq!(
                    home.map(|home| (home.server, home.relayed, home.answers)),
                    self.client.home().map(|home| (home.server, home.relayed, home.answers)),
                ),
                Event::Connect { .. } | Event::Disconnect { .. } | Event::Trouble { .. } => {}
            }
        }
        assert!(events <= MOST_AT_ONCE, "{events} events at once");
        assert!(self.carried.len() <= self.peers.len() + MOST_HEARD);
        if let Some(home) = self.client.home() {
            assert!(self.given.contains(&home.relayed), "no relay gave {}", home.relayed);
        }
    }
}

/// Few of them, so that they meet again; some where relays are, some absurd.
fn address(script: &mut Script<'_>) -> SocketAddr {
    let port = 50_000 + u16::from(script.byte() % 24);
    match script.byte() % 8 {
        0 => SocketAddr::new(relay_at(1).ip(), port),
        1 => SocketAddr::new(relay_at(2).ip(), port),
        2 => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 2], port)),
        3 => SocketAddr::from(([127, 0, 0, 1], port)),
        4 => SocketAddr::from(([224, 0, 0, 1], 0)),
        other => SocketAddr::from(([203, 0, 113, other], port)),
    }
}

fn relay(script: &mut Script<'_>) -> SocketAddr {
    relay_at(1 + script.byte() % 3)
}

fn relay_at(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 3478))
}
