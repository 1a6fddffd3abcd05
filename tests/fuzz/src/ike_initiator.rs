//! An initiator against a responder that knows the key, and says anything: in answer to IKE_SA_INIT and IKE_AUTH, and
//! after them; while the initiator's own side has wishes too.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use twinmesh_ike::auth::{
    Credentials, Identity, IdentityPattern, LocalCredential, PreSharedKey, RemoteCredential,
};
use twinmesh_ike::config::{
    ChildConfig, ConnectionConfig, Legacy, Proposal, Protocol, Remote, SelectorPair, TrafficSelector,
};
use twinmesh_ike::crypto::{Encryption, Group, KeyExchange, Prf, Protection, Role, SaKeys, SkeySeed, Suite};
use twinmesh_ike::wire::{
    AuthMethod, Authentication, Chain, ChainWriter, ExchangeType, Flags, Header, IkeSpi, Message, MessageId,
    MessageWriter, NotifyType, Payload, PayloadType, Payloads, ProtectedWriter, SaSpi,
};
use twinmesh_ike::{ChildSaId, Command, Engine, EngineConfig, Event, IkeSaId, Output, wire};

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

pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut world = World::new();
    let mut steps = 0;
    while !script.is_over() && steps < 24 {
        steps += 1;
        world.step(&mut script);
    }
    // Whatever there was, once our side wants it no more nothing is left, not even a timer.
    world.does(Command::TerminateConnection { connection: "site".into() });
    world.wait(Duration::from_secs(100_000));
    assert_eq!(world.engine.poll_timeout(), None);
    assert_eq!(
        (world.ike_sas.len(), world.children.len()),
        (0, 0),
        "what was told to be there is told to be gone"
    );
}

struct World {
    engine: Engine,
    now: Instant,
    local: SocketAddr,
    remote: SocketAddr,
    random: u64,
    /// The newest request of the initiator, and the newest datagram.
    request: Option<Vec<u8>>,
    sent: Vec<u8>,
    ike_sas: Vec<IkeSaId>,
    children: Vec<ChildSaId>,
    peer: Option<Peer>,
}

/// The malicious responder's half of an IKE SA.
struct Peer {
    initiator: IkeSpi,
    keys: SaKeys,
    protection: Protection,
    response: Vec<u8>,
    nonce_initiator: Vec<u8>,
    next: u32,
}

impl World {
    fn new() -> Self {
        let mut engine = Engine::new(EngineConfig::default());
        engine.add_connection(connection());
        let mut world = Self {
            engine,
            now: Instant::now(),
            local: SocketAddr::from(([192, 0, 2, 1], 4500)),
            remote: SocketAddr::from(([192, 0, 2, 2], 4500)),
            random: 1,
            request: None,
            sent: Vec::new(),
            ike_sas: Vec::new(),
            children: Vec::new(),
            peer: None,
        };
        world.does(Command::Initiate { connection: "site".into() });
        world
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 12 {
            0 => {
                let len = script.byte().into();
                self.input(script.bytes(len));
            }
            1 | 2 => self.init(script),
            3 | 4 => self.authenticate(script),
            5 => {
                // What the initiator itself said comes back, a bit changed.
                let mut datagram = self.sent.clone();
                if datagram.is_empty() {
                    return;
                }
                let place = usize::from(script.word()) % datagram.len();
                datagram[place] ^= script.byte();
                self.input(&datagram);
            }
            6 => self.wait(Duration::from_secs(script.word().into())),
            7 => self.wish(script),
            8 => self.ask(script),
            9 => self.accept(script),
            _ => self.answer(script),
        }
    }

    /// An answer to IKE_SA_INIT in order, then with some bytes changed.
    fn init(&mut self, script: &mut Script<'_>) {
        let Some(request) = self.request.clone() else { return };
        let Ok(message) = Message::parse(&request) else { return };
        let Ok(payloads) = message.payloads().collect::<Result<Vec<_>, _>>() else { return };
        let find = |wanted| payloads.iter().find(|payload| payload.kind() == wanted);
        let (
            Some(Payload::SecurityAssociation(offered)),
            Some(Payload::KeyExchange(exchange)),
            Some(Payload::Nonce(nonce)),
        ) = (
            find(PayloadType::SecurityAssociation),
            find(PayloadType::KeyExchange),
            find(PayloadType::Nonce),
        )
        else {
            return;
        };
        let Ok(own) = KeyExchange::respond(Group::X25519, exchange.public, &mut |bytes| bytes.fill(5)) else {
            return;
        };
        let chosen: Vec<_> = offered.proposals().take(1).collect();
        let flags = Flags { initiator: false, response: true, version: false };
        let header = Header { responder_spi: SPI, flags, ..message.header };
        let abilities = [
            NotifyType::Ikev2FragmentationSupported,
            NotifyType::ChildlessIkev2Supported,
            NotifyType::MobikeSupported,
        ];
        let mut answer = MessageWriter::new(header)
            .payload(&Payload::SecurityAssociation(
                wire::SecurityAssociation::new(&chosen).expect("as offered"),
            ))
            .payload(&Payload::KeyExchange(wire::KeyExchange { group: 31, public: &own.public }))
            .payload(&Payload::Nonce(&NONCE));
        for ability in abilities {
            answer.push(&Payload::Notify(wire::Notify::new(ability, &[])));
        }
        let mut response = answer.finish().expect("it is short");
        for _ in 0..script.byte() % 4 {
            let place = usize::from(script.word()) % response.len();
            response[place] ^= script.byte();
        }
        let suite = Suite::new(Encryption::Aes128Gcm16, None, Prf::HmacSha256).expect("an AEAD alone");
        let initiator = message.header.initiator_spi;
        let seed = SkeySeed::initial(suite.prf(), &own.secret, nonce, &NONCE);
        let keys = seed.keys(suite, nonce, &NONCE, initiator.0, SPI.0);
        let protection = Protection::new(suite, &keys, Role::Responder);
        let nonce_initiator = nonce.to_vec();
        let peer = Peer { initiator, keys, protection, response: response.clone(), nonce_initiator, next: 0 };
        self.peer = Some(peer);
        self.input_message(&response);
    }

    /// IKE_AUTH with the right AUTH, the child as asked for if the script wants it, and any payloads beside it.
    fn authenticate(&mut self, script: &mut Script<'_>) {
        let Some(peer) = &self.peer else { return };
        let id = wire::Identification::new(wire::IdType::Fqdn, b"peer.example");
        let maced = Prf::HmacSha256.compute(&peer.keys.pr, &[&id.body()]);
        let secret = Prf::HmacSha256.compute(SECRET, &[b"Key Pad for IKEv2"]);
        let auth = Prf::HmacSha256.compute(&secret, &[&peer.response, &peer.nonce_initiator, &maced]);
        let method = AuthMethod::SharedKeyMessageIntegrityCode;
        let mut answer = ChainWriter::new()
            .payload(&Payload::IdResponder(id))
            .payload(&Payload::Authentication(Authentication { method, data: &auth }));
        if !script.byte().is_multiple_of(4) {
            self.take_as_asked(script, &mut answer);
        }
        let content = extended(answer.finish().expect("it is short"), script);
        self.seal_answer(None, &content, None);
    }

    /// The child, or IKE SA, that the initiator asks for, and any payloads beside it.
    fn accept(&mut self, script: &mut Script<'_>) {
        let mut answer = ChainWriter::new();
        self.take_as_asked(script, &mut answer);
        let Ok(content) = answer.finish() else { return };
        self.seal_answer(None, &extended(content, script), None);
    }

    fn take_as_asked(&mut self, script: &mut Script<'_>, answer: &mut ChainWriter) {
        let Some(content) = self.opened_request() else { return };
        for payload in Payloads::inner(content.first, &content.bytes).flatten() {
            match payload {
                Payload::SecurityAssociation(offered) => {
                    let Some(mut chosen) = offered.proposals().next() else { continue };
                    let spi = u32::from(script.byte()) + 0x1000;
                    chosen.spi = match chosen.spi {
                        SaSpi::Ike(_) => SaSpi::Ike(IkeSpi([script.byte(); 8])),
                        SaSpi::Child(_) | SaSpi::Empty | SaSpi::Other(_) => SaSpi::Child(spi),
                    };
                    let without = script.byte().is_multiple_of(2);
                    let mut seen = Vec::new();
                    chosen.transforms.retain(|it| {
                        let none = it.kind == wire::TransformType::KeyExchange && without && it.id != 0;
                        let first = !none && !seen.contains(&it.kind);
                        seen.extend(first.then_some(it.kind));
                        first
                    });
                    if let Ok(chosen) = wire::SecurityAssociation::new(&[chosen]) {
                        answer.push(&Payload::SecurityAssociation(chosen));
                    }
                }
                Payload::Nonce(_) => answer.push(&Payload::Nonce(&[6; 32])),
                Payload::KeyExchange(_) => {
                    let own = KeyExchange::generate(Group::X25519, &mut |bytes| bytes.fill(8));
                    let exchange = wire::KeyExchange { group: 31, public: own.public() };
                    answer.push(&Payload::KeyExchange(exchange));
                }
                selectors @ (Payload::TrafficSelectorsInitiator(_)
                | Payload::TrafficSelectorsResponder(_)) => answer.push(&selectors),
                Payload::IdInitiator(_)
                | Payload::IdResponder(_)
                | Payload::Certificate(_)
                | Payload::CertificateRequest(_)
                | Payload::Authentication(_)
                | Payload::Notify(_)
                | Payload::Delete(_)
                | Payload::VendorId(_)
                | Payload::Encrypted(_)
                | Payload::EncryptedFragment(_)
                | Payload::Configuration(_)
                | Payload::Eap(_)
                | Payload::Unknown { .. } => {}
            }
        }
    }

    fn opened_request(&self) -> Option<Chain> {
        let (request, peer) = (self.request.as_ref()?, self.peer.as_ref()?);
        let message = Message::parse(request).ok()?;
        let Some(Ok(Payload::Encrypted(sealed))) = message.payloads().next() else { return None };
        let content = peer.protection.open(request, sealed.range).ok()?;
        Some(Chain { first: sealed.first, bytes: content.to_vec() })
    }

    fn answer(&mut self, script: &mut Script<'_>) {
        let exchange = script.byte();
        let exchange = (exchange < 64).then(|| EXCHANGES[usize::from(exchange) % EXCHANGES.len()]);
        let fragment = script.byte();
        let fragment = (fragment >= 128).then_some((u16::from(fragment % 8), u16::from(fragment / 8 % 8)));
        let content = inner(script);
        self.seal_answer(exchange, &content, fragment);
    }

    /// In answer to the newest request, as its exchange if none is given.
    fn seal_answer(&mut self, exchange: Option<ExchangeType>, content: &Chain, fragment: Option<(u16, u16)>) {
        let Some(Ok(request)) = self.request.as_deref().map(Message::parse) else { return };
        let flags = Flags { initiator: false, response: true, version: false };
        let exchange = exchange.unwrap_or(request.header.exchange);
        let header = Header { exchange, flags, responder_spi: SPI, ..request.header };
        self.seal(&header, content, fragment);
    }

    /// A request of the responder's own.
    fn ask(&mut self, script: &mut Script<'_>) {
        let exchange = script.of(&EXCHANGES);
        let content = inner(script);
        let Some(peer) = &mut self.peer else { return };
        let flags = Flags { initiator: false, response: false, version: false };
        let (initiator_spi, message_id) = (peer.initiator, MessageId(peer.next));
        let header = Header { initiator_spi, responder_spi: SPI, exchange, flags, message_id };
        self.sent.clear();
        self.seal(&header, &content, None);
        let answered = !self.sent.is_empty();
        if let Some(peer) = &mut self.peer {
            peer.next += u32::from(answered);
        }
    }

    fn seal(&mut self, header: &Header, content: &Chain, fragment: Option<(u16, u16)>) {
        let Some(peer) = &mut self.peer else { return };
        let length = peer.protection.sealed_len(content.bytes.len());
        let writer = match fragment {
            None => ProtectedWriter::encrypted(header, content.first, length),
            Some((number, total)) => ProtectedWriter::fragment(header, content.first, number, total, length),
        };
        let mut message = writer.expect("it is short").additional_data().to_vec();
        peer.protection.seal(&mut message, &content.bytes);
        self.input_message(&message);
    }

    /// What our own user may want.
    fn wish(&mut self, script: &mut Script<'_>) {
        let (ike_sa, child_sa) = (self.ike_sas.last().copied(), self.children.last().copied());
        let host = |net: u8, last: u8| TrafficSelector::host([10, net, 0, last].into());
        let trigger = Some((host(0, script.byte()), host(1, script.byte())));
        let (connection, child) = ("site".into(), "net".into());
        let command = match (script.byte() % 8, ike_sa, child_sa) {
            (0, Some(ike_sa), _) => Command::RekeyIke { ike_sa },
            (1, Some(ike_sa), _) => Command::CheckLiveness { ike_sa },
            (2, Some(ike_sa), _) => Command::Terminate { ike_sa },
            (3, _, Some(child_sa)) => Command::RekeyChild { child_sa },
            (4, _, Some(child_sa)) => Command::TerminateChild { child_sa },
            (5, _, _) => Command::Initiate { connection },
            (6, _, _) => Command::CreateChild { connection, child, trigger: None },
            _ => Command::CreateChild { connection, child, trigger },
        };
        self.does(command);
    }

    fn does(&mut self, command: Command) {
        let random = &mut self.random;
        self.engine.handle_command(self.now, command, &mut |bytes| fill(random, bytes));
        self.drain();
    }

    fn input_message(&mut self, message: &[u8]) {
        self.input(&wire::with_non_esp_marker(message));
    }

    fn input(&mut self, datagram: &[u8]) {
        let random = &mut self.random;
        self.engine
            .handle_input(self.now, self.local, self.remote, datagram, &mut |bytes| fill(random, bytes));
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
        }
        self.now = end;
    }

    /// Each datagram that comes out is a message that can be read, or a keepalive; events are about what is known.
    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit(transmit) if transmit.datagram != [0xff] => {
                    let bytes = &transmit.datagram[4..];
                    let message = Message::parse(bytes).expect("a message of ours");
                    assert!(message.payloads().all(|payload| payload.is_ok()));
                    if !message.header.flags.response {
                        self.request = Some(bytes.to_vec());
                    }
                    self.sent = transmit.datagram;
                }
                Output::Event(event) => self.note(event),
                Output::Transmit(_) | Output::Trace(_) => {}
            }
        }
    }

    fn note(&mut self, event: Event) {
        if let Event::IkeSaEstablished(link) = event {
            self.ike_sas.push(link.ike_sa);
        } else if let Event::IkeSaRekeyed { new, .. } = event {
            self.ike_sas.push(new);
        } else if let Event::IkeSaDeleted { ike_sa, .. } = event {
            assert!(self.ike_sas.contains(&ike_sa), "an unknown IKE SA is gone");
            self.ike_sas.retain(|known| *known != ike_sa);
        } else if let Event::ChildSaEstablished(child) = event {
            self.children.push(child.child_sa);
        } else if let Event::ChildSaDeleted(child) = event {
            assert!(self.children.contains(&child.child_sa), "an unknown child is gone");
            self.children.retain(|known| *known != child.child_sa);
        }
    }
}

/// The chain, and the fuzzer's own behind it.
fn extended(mut chain: Chain, script: &mut Script<'_>) -> Chain {
    let more = inner(script);
    if more.bytes.is_empty() {
        return chain;
    }
    // The last header of the chain leads on.
    let (mut at, mut next) = (None, chain.first);
    let mut place = 0;
    while next != PayloadType::NoNextPayload
        && let Some(&[kind, _, high, low]) = chain.bytes.get(place..).and_then(<[u8]>::first_chunk)
    {
        at = Some(place);
        next = PayloadType::from(kind);
        place += usize::from(u16::from_be_bytes([high, low]));
    }
    match at {
        Some(at) => chain.bytes[at] = more.first.into(),
        None => chain.first = more.first,
    }
    chain.bytes.extend_from_slice(&more.bytes);
    chain
}

/// The fuzzer's chain of payloads.
fn inner(script: &mut Script<'_>) -> Chain {
    let first = PayloadType::from(script.byte() % 60);
    let len = script.byte().into();
    Chain { first, bytes: script.bytes(len).to_vec() }
}

fn connection() -> ConnectionConfig {
    let secret = PreSharedKey::new(SECRET).expect("it is not empty");
    let net = |net: u8| TrafficSelector::new([10, net, 0, 0].into(), [10, net, 0, 255].into());
    let side = |number: u8| vec![net(number).expect("in order"), net(number + 2).expect("in order")];
    let proposals =
        |protocol, text| vec![Proposal::parse(protocol, text, Legacy::Refused).expect("it is a good one")];
    let child = ChildConfig {
        proposals: proposals(Protocol::Esp, "aes128gcm16-x25519-modpnone"),
        ..ChildConfig::new("net", SelectorPair { local: side(0), remote: side(1) })
    };
    let credentials = Credentials {
        local: LocalCredential::PreSharedKey(secret.clone()),
        remote: RemoteCredential::PreSharedKey(secret),
    };
    let remote = SocketAddr::from(([192, 0, 2, 2], 4500));
    ConnectionConfig {
        proposals: proposals(Protocol::Ike, "aes128gcm16-prfsha256-x25519"),
        children: vec![child],
        dpd_delay: Some(Duration::from_secs(30)),
        ..ConnectionConfig::new(
            "site",
            SocketAddr::from(([192, 0, 2, 1], 4500)),
            Remote::At(remote),
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
