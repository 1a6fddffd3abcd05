//! A responder against an initiator that knows the key, and says anything: before it is authenticated, instead of
//! IKE_AUTH, and after it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use twinmesh_ike::auth::{
    Credentials, Identity, IdentityPattern, LocalCredential, PreSharedKey, RemoteCredential,
};
use twinmesh_ike::config::{
    ChildConfig, ConnectionConfig, Legacy, Proposal, Protocol, Remote, SelectorPair, StartAction,
    TrafficSelector,
};
use twinmesh_ike::crypto::{Encryption, Group, KeyExchange, Prf, Protection, Role, SaKeys, SkeySeed, Suite};
use twinmesh_ike::wire::{
    AuthMethod, Authentication, Chain, ChainWriter, ExchangeType, Flags, Header, IkeSpi, Message, MessageId,
    MessageWriter, NotifyType, Payload, PayloadType, ProtectedWriter,
};
use twinmesh_ike::{Engine, EngineConfig, Output, wire};

use crate::script::Script;

const SECRET: &[u8] = b"a secret of the fuzzer alone";
const SPI: IkeSpi = IkeSpi([7; 8]);
const NONCE: [u8; 32] = [9; 32];
const EXCHANGES: [ExchangeType; 6] = [
    ExchangeType::IkeAuth,
    ExchangeType::CreateChildSa,
    ExchangeType::Informational,
    ExchangeType::IkeSaInit,
    ExchangeType::IkeIntermediate,
    ExchangeType::Other(200),
];
/// What fits the connection, so that a mutation starts from something good.
const IKE_PROPOSAL: &str = "aes128gcm16-prfsha256-x25519";

pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut world = World::new();
    let mut steps = 0;
    while !script.is_over() && steps < 24 {
        steps += 1;
        world.step(&mut script);
        world.drain();
    }
    // Whatever there was, a new initiator is served once the old ones are gone.
    world.wait(Duration::from_secs(100_000));
    assert_eq!(world.engine.half_open(), 0);
}

struct World {
    engine: Engine,
    now: Instant,
    local: SocketAddr,
    remote: SocketAddr,
    random: u64,
    /// The last datagrams that came out.
    sent: Vec<Vec<u8>>,
    peer: Option<Peer>,
}

/// The malicious initiator's half of an IKE SA.
struct Peer {
    spi_responder: IkeSpi,
    keys: SaKeys,
    protection: Protection,
    request: Vec<u8>,
    nonce_responder: Vec<u8>,
    next: u32,
}

impl World {
    fn new() -> Self {
        let mut engine = Engine::new(EngineConfig::default());
        engine.add_connection(connection());
        let (local, remote) =
            (SocketAddr::from(([192, 0, 2, 1], 4500)), SocketAddr::from(([192, 0, 2, 2], 4500)));
        let now = Instant::now();
        Self { engine, now, local, remote, random: 1, sent: Vec::new(), peer: None }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 10 {
            0 => {
                let len = script.byte().into();
                self.input(script.bytes(len));
            }
            1 => self.handshake(script),
            2 => self.authenticate(script),
            3 => {
                // What the responder itself said comes back, a bit changed.
                let Some(mut datagram) = self.sent.last().cloned() else { return };
                let place = usize::from(script.word()) % datagram.len();
                datagram[place] ^= script.byte();
                self.input(&datagram);
            }
            4 => self.wait(Duration::from_secs(script.word().into())),
            5 => self.fragment(script),
            _ => self.sealed(script),
        }
    }

    /// IKE_SA_INIT in order, then with some bytes changed.
    fn handshake(&mut self, script: &mut Script<'_>) {
        let own = KeyExchange::generate(Group::X25519, &mut |bytes| bytes.fill(5));
        let proposal = Proposal::parse(Protocol::Ike, IKE_PROPOSAL, Legacy::Refused);
        let proposal = proposal.expect("it is a good one");
        let transforms = proposal.transforms().iter().map(|transform| {
            let kind = wire::TransformType::from(transform.kind.number());
            let plain = wire::Transform::new(kind, transform.id);
            transform.key_bits.map_or(plain, |bits| plain.with_key_length(bits))
        });
        let proposal = wire::Proposal {
            number: 1,
            protocol: wire::ProtocolId::Ike,
            spi: wire::SaSpi::Empty,
            transforms: transforms.collect(),
        };
        let sa = wire::SecurityAssociation::new(&[proposal]).expect("it is short");
        let exchange = wire::KeyExchange { group: 31, public: own.public() };
        let fragments = wire::Notify::new(NotifyType::Ikev2FragmentationSupported, &[]);
        let mut request = MessageWriter::new(header(ExchangeType::IkeSaInit, 0, IkeSpi::ZERO))
            .payload(&Payload::SecurityAssociation(sa))
            .payload(&Payload::KeyExchange(exchange))
            .payload(&Payload::Nonce(&NONCE))
            .payload(&Payload::Notify(fragments))
            .finish()
            .expect("it is short");
        for _ in 0..script.byte() % 4 {
            let place = usize::from(script.word()) % request.len();
            request[place] ^= script.byte();
        }
        self.input_message(&request);
        let Some(answer) = self.sent.last().cloned() else { return };
        self.peer = Peer::agree(own, request, &answer[4..]).or(self.peer.take());
    }

    /// IKE_AUTH with the right AUTH, and any payloads beside it.
    fn authenticate(&mut self, script: &mut Script<'_>) {
        let Some(peer) = &self.peer else { return };
        let identity = b"peer.example";
        let id = wire::Identification::new(wire::IdType::Fqdn, identity);
        let maced = Prf::HmacSha256.compute(&peer.keys.pi, &[&id.body()]);
        let secret = Prf::HmacSha256.compute(SECRET, &[b"Key Pad for IKEv2"]);
        let auth = Prf::HmacSha256.compute(&secret, &[&peer.request, &peer.nonce_responder, &maced]);
        let method = AuthMethod::SharedKeyMessageIntegrityCode;
        let mut chain = ChainWriter::new()
            .payload(&Payload::IdInitiator(id))
            .payload(&Payload::Authentication(Authentication { method, data: &auth }))
            .finish()
            .expect("it is short");
        // The last header of the chain leads to the fuzzer's own.
        let at = chain.bytes.len() - auth.len() - 8;
        let more = inner(script);
        chain.bytes[at] = more.first.into();
        chain.bytes.extend_from_slice(&more.bytes);
        self.send(ExchangeType::IkeAuth, &chain, None);
    }

    fn sealed(&mut self, script: &mut Script<'_>) {
        let exchange = script.of(&EXCHANGES);
        let chain = inner(script);
        self.send(exchange, &chain, None);
    }

    fn fragment(&mut self, script: &mut Script<'_>) {
        let exchange = script.of(&EXCHANGES);
        let (number, total) = (u16::from(script.byte() % 8), u16::from(script.byte() % 8));
        let chain = inner(script);
        self.send(exchange, &chain, Some((number, total)));
    }

    fn send(&mut self, exchange: ExchangeType, chain: &Chain, fragment: Option<(u16, u16)>) {
        let Some(mut peer) = self.peer.take() else { return };
        let header = header(exchange, peer.next, peer.spi_responder);
        let length = peer.protection.sealed_len(chain.bytes.len());
        let writer = match fragment {
            None => ProtectedWriter::encrypted(&header, chain.first, length),
            Some((number, total)) => ProtectedWriter::fragment(&header, chain.first, number, total, length),
        };
        let mut message = writer.expect("it is short").additional_data().to_vec();
        peer.protection.seal(&mut message, &chain.bytes);
        self.input_message(&message);
        // An answer means that the message counted.
        let answered = self.sent.iter().any(|datagram| {
            Message::parse(&datagram[4..]).is_ok_and(|message| {
                message.header.flags.response
                    && message.header.message_id.0 == peer.next
                    && message.header.exchange == exchange
            })
        });
        peer.next += u32::from(answered);
        self.peer = Some(peer);
    }

    fn input_message(&mut self, message: &[u8]) {
        self.input(&wire::with_non_esp_marker(message));
    }

    fn input(&mut self, datagram: &[u8]) {
        let random = &mut self.random;
        self.engine
            .handle_input(self.now, self.local, self.remote, datagram, &mut |bytes| fill(random, bytes));
        self.sent.clear();
        self.drain();
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut rounds = 0;
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) {
            rounds += 1;
            assert!(rounds < 100_000, "timers that never rest");
            self.now = self.now.max(at);
            let random = &mut self.random;
            self.engine.handle_timeout(self.now, &mut |bytes| fill(random, bytes));
            self.drain();
            if rounds > 2_000 {
                break;
            }
        }
        self.now = end;
    }

    /// Each datagram that comes out is a message that can be read, or a keepalive.
    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            if let Output::Transmit(transmit) = output {
                assert_eq!(transmit.local, self.local);
                if transmit.datagram != [0xff] {
                    let message = Message::parse(&transmit.datagram[4..]).expect("a message of ours");
                    assert!(message.payloads().all(|payload| payload.is_ok()));
                    self.sent.push(transmit.datagram);
                }
            }
        }
    }
}

impl Peer {
    fn agree(own: KeyExchange, request: Vec<u8>, answer: &[u8]) -> Option<Self> {
        let message = Message::parse(answer).ok()?;
        let payloads: Vec<_> = message.payloads().collect::<Result<_, _>>().ok()?;
        let [_, Payload::KeyExchange(exchange), Payload::Nonce(nonce), ..] = payloads.as_slice() else {
            return None;
        };
        let shared = own.agree(exchange.public).ok()?;
        let suite = Suite::new(Encryption::Aes128Gcm16, None, Prf::HmacSha256).expect("an AEAD alone");
        let spi = message.header.responder_spi;
        let keys = SkeySeed::initial(suite.prf(), &shared, &NONCE, nonce);
        let keys = keys.keys(suite, &NONCE, nonce, SPI.0, spi.0);
        let protection = Protection::new(suite, &keys, Role::Initiator);
        let nonce_responder = nonce.to_vec();
        Some(Self { spi_responder: spi, keys, protection, request, nonce_responder, next: 1 })
    }
}

fn header(exchange: ExchangeType, id: u32, responder_spi: IkeSpi) -> Header {
    let flags = Flags { initiator: true, response: false, version: false };
    Header { initiator_spi: SPI, responder_spi, exchange, flags, message_id: MessageId(id) }
}

/// The fuzzer's chain of payloads.
fn inner(script: &mut Script<'_>) -> Chain {
    let first = PayloadType::from(script.byte() % 60);
    let len = script.byte().into();
    Chain { first, bytes: script.bytes(len).to_vec() }
}

fn connection() -> ConnectionConfig {
    let secret = PreSharedKey::new(SECRET).expect("it is not empty");
    let all = TrafficSelector::new([10, 0, 0, 0].into(), [10, 255, 255, 255].into()).expect("in order");
    let child = ChildConfig::new("net", SelectorPair { local: vec![all], remote: vec![all] });
    let credentials = Credentials {
        local: LocalCredential::PreSharedKey(secret.clone()),
        remote: RemoteCredential::PreSharedKey(secret),
    };
    ConnectionConfig {
        children: vec![child],
        start: StartAction::None,
        dpd_delay: Some(Duration::from_secs(30)),
        ..ConnectionConfig::new(
            "site",
            SocketAddr::from(([192, 0, 2, 1], 4500)),
            Remote::Anywhere,
            Identity::Fqdn("site.example".into()),
            IdentityPattern::Any,
            credentials,
        )
    }
}

/// The same numbers at each run.
fn fill(state: &mut u64, bytes: &mut [u8]) {
    for byte in bytes {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = state.to_be_bytes()[0];
    }
}
