//! An initiator against a responder in the test's hands, which has the right keys and says what the test likes.

use std::time::{Duration, Instant};

use twinmesh_ike::config::ConnectionConfig;
use twinmesh_ike::crypto::{Encryption, Group, KeyExchange, Prf, Protection, Role, SaKeys, SkeySeed, Suite};
use twinmesh_ike::wire::{
    self, AuthMethod, Authentication, Chain, ChainWriter, ExchangeType, Flags, Header, IdType, IkeSpi,
    Message, MessageId, MessageWriter, NotifyType, Payload, Payloads, ProtectedWriter, ProtocolId, SaSpi,
};
use twinmesh_ike::{ChildSaEstablished, Command, Engine, EngineConfig, Event, Failed, Output};

use crate::pair::{Dice, SECRET, left_address, right_address};

const SPI: IkeSpi = IkeSpi([9; 8]);
const NONCE: [u8; 32] = [8; 32];

pub(crate) struct Scripted {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    dice: Dice,
    /// Messages of the engine that the test has not looked at yet.
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) failures: Vec<Failed>,
    pub(crate) children: Vec<ChildSaEstablished>,
    pub(crate) deleted_children: usize,
    pub(crate) established: usize,
    /// What came out, in its order.
    pub(crate) log: Vec<&'static str>,
    keys: Option<Keys>,
    next: u32,
}

struct Keys {
    initiator: IkeSpi,
    sa: SaKeys,
    protection: Protection,
    response: Vec<u8>,
    nonce_initiator: Vec<u8>,
}

/// A request of the engine, opened.
pub(crate) struct Asked {
    pub(crate) header: Header,
    content: Chain,
}

impl Asked {
    pub(crate) fn payloads(&self) -> Vec<Payload<'_>> {
        Payloads::inner(self.content.first, &self.content.bytes).collect::<Result<_, _>>().unwrap()
    }

    /// TSi and TSr, as they stand.
    pub(crate) fn selectors(&self) -> String {
        let mut shown = Vec::new();
        for payload in self.payloads() {
            if let Payload::TrafficSelectorsInitiator(side) | Payload::TrafficSelectorsResponder(side) =
                payload
            {
                let one = |it: wire::TrafficSelector| format!("{}-{}[{}]", it.first, it.last, it.protocol);
                shown.push(side.selectors().map(one).collect::<Vec<_>>().join(" "));
            }
        }
        shown.join(" === ")
    }

    /// SA, nonce and selectors that accept the first proposal as it stands.
    pub(crate) fn accept(&self, spi: u32, answer: &mut ChainWriter) {
        for payload in self.payloads() {
            if let Payload::SecurityAssociation(offered) = payload {
                let mut chosen = offered.proposals().next().unwrap();
                chosen.spi = SaSpi::Child(spi);
                // One of each kind; of key exchanges the one that is none.
                chosen.transforms.retain(|it| it.kind != wire::TransformType::KeyExchange || it.id == 0);
                let chosen = wire::SecurityAssociation::new(&[chosen]).unwrap();
                answer.push(&Payload::SecurityAssociation(chosen));
            } else if matches!(payload, Payload::Nonce(_)) {
                answer.push(&Payload::Nonce(&[7; 32]));
            } else if matches!(
                payload,
                Payload::TrafficSelectorsInitiator(_) | Payload::TrafficSelectorsResponder(_)
            ) {
                answer.push(&payload);
            }
        }
    }
}

/// ESP with aes128gcm16, and an SPI.
pub(crate) fn proposal(spi: u32) -> wire::SecurityAssociation<'static> {
    let transforms = vec![
        wire::Transform::new(wire::TransformType::Encryption, 20).with_key_length(128),
        wire::Transform::new(wire::TransformType::SequenceNumbers, 0),
    ];
    let spi = SaSpi::Child(spi);
    let proposal = wire::Proposal { number: 1, protocol: ProtocolId::Esp, spi, transforms };
    wire::SecurityAssociation::new(&[proposal]).unwrap()
}

pub(crate) fn notify(kind: NotifyType) -> Chain {
    ChainWriter::new().payload(&Payload::Notify(wire::Notify::new(kind, &[]))).finish().unwrap()
}

impl Scripted {
    /// The engine has sent IKE_SA_INIT.
    pub(crate) fn new(connection: ConnectionConfig) -> Self {
        let mut engine = Engine::new(EngineConfig::default());
        engine.add_connection(connection);
        let now = Instant::now();
        let mut scripted = Self {
            engine,
            now,
            dice: Dice::new(77),
            sent: Vec::new(),
            failures: Vec::new(),
            children: Vec::new(),
            deleted_children: 0,
            established: 0,
            log: Vec::new(),
            keys: None,
            next: 0,
        };
        scripted.does(Command::Initiate { connection: "site".into() });
        scripted
    }

    /// Up to an IKE SA with one child, whose SPI at this end is 0x1000.
    pub(crate) fn established(connection: ConnectionConfig) -> Self {
        let mut scripted = Self::new(connection);
        scripted.answer_init();
        let asked = scripted.asked();
        scripted.answer_auth(&asked, |asked, answer| asked.accept(0x1000, answer));
        assert_eq!((scripted.established, scripted.children.len()), (1, 1), "{:?}", scripted.failures);
        scripted
    }

    pub(crate) fn does(&mut self, command: Command) {
        let Self { engine, dice, now, .. } = self;
        engine.handle_command(*now, command, &mut |bytes| dice.fill(bytes));
        self.drain();
    }

    pub(crate) fn input(&mut self, message: &[u8]) {
        let Self { engine, dice, now, .. } = self;
        engine.handle_input(*now, left_address(), right_address(), message, &mut |bytes| dice.fill(bytes));
        self.drain();
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let Self { engine, dice, now, .. } = self;
            engine.handle_timeout(*now, &mut |bytes| dice.fill(bytes));
            self.drain();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    self.log.push("message");
                    self.sent.push(transmit.datagram);
                }
                Output::Event(Event::Failed(failed)) => self.failures.push(failed),
                Output::Event(Event::ChildSaEstablished(child)) => {
                    self.log.push("child");
                    self.children.push(*child);
                }
                Output::Event(Event::ChildSaDeleted(_)) => self.deleted_children += 1,
                Output::Event(Event::IkeSaEstablished(_)) => self.established += 1,
                Output::Event(_) | Output::Trace(_) => {}
            }
        }
    }

    /// The oldest message that the test has not looked at, which is sealed.
    pub(crate) fn asked(&mut self) -> Asked {
        let bytes = self.sent.remove(0);
        let message = Message::parse(&bytes).unwrap();
        let keys = self.keys.as_ref().expect("IKE_SA_INIT is answered");
        let Some(Ok(Payload::Encrypted(sealed))) = message.payloads().next() else { panic!("not sealed") };
        let content = keys.protection.open(&bytes, sealed.range).unwrap();
        Asked { header: message.header, content: Chain { first: sealed.first, bytes: content.to_vec() } }
    }

    /// IKE_SA_INIT, with x25519 and aes128gcm16-prfsha256 as the engine offers.
    pub(crate) fn answer_init(&mut self) {
        let request = self.sent.remove(0);
        let message = Message::parse(&request).unwrap();
        let initiator = message.header.initiator_spi;
        let payloads: Vec<_> = message.payloads().collect::<Result<_, _>>().unwrap();
        let [
            Payload::SecurityAssociation(offered),
            Payload::KeyExchange(exchange),
            Payload::Nonce(nonce),
            ..,
        ] = payloads.as_slice()
        else {
            panic!("IKE_SA_INIT begins with SA, KE, Nonce")
        };
        let own = KeyExchange::respond(Group::X25519, exchange.public, &mut |bytes| bytes.fill(3)).unwrap();
        let chosen = offered.proposals().next().unwrap();
        let flags = Flags { initiator: false, response: true, version: false };
        let header = Header { responder_spi: SPI, flags, ..message.header };
        let response = MessageWriter::new(header)
            .payload(&Payload::SecurityAssociation(wire::SecurityAssociation::new(&[chosen]).unwrap()))
            .payload(&Payload::KeyExchange(wire::KeyExchange { group: 31, public: &own.public }))
            .payload(&Payload::Nonce(&NONCE))
            .payload(&Payload::Notify(wire::Notify::new(NotifyType::ChildlessIkev2Supported, &[])))
            .finish()
            .unwrap();
        let suite = Suite::new(Encryption::Aes128Gcm16, None, Prf::HmacSha256).unwrap();
        let sa = SkeySeed::initial(suite.prf(), &own.secret, nonce, &NONCE);
        let sa = sa.keys(suite, nonce, &NONCE, initiator.0, SPI.0);
        let protection = Protection::new(suite, &sa, Role::Responder);
        let nonce_initiator = nonce.to_vec();
        self.keys = Some(Keys { initiator, sa, protection, response: response.clone(), nonce_initiator });
        self.input(&response);
    }

    /// IKE_AUTH, proved with the shared secret; `child` adds what it likes.
    pub(crate) fn answer_auth(&mut self, asked: &Asked, child: impl FnOnce(&Asked, &mut ChainWriter)) {
        let keys = self.keys.as_ref().unwrap();
        let id = wire::Identification::new(IdType::Fqdn, b"right.example.org");
        let prf = Prf::HmacSha256;
        let maced = prf.compute(&keys.sa.pr, &[&id.body()]);
        let secret = prf.compute(SECRET.as_bytes(), &[b"Key Pad for IKEv2"]);
        let auth = prf.compute(&secret, &[&keys.response, &keys.nonce_initiator, &maced]);
        let method = AuthMethod::SharedKeyMessageIntegrityCode;
        let mut answer = ChainWriter::new()
            .payload(&Payload::IdResponder(id))
            .payload(&Payload::Authentication(Authentication { method, data: &auth }));
        child(asked, &mut answer);
        let answer = answer.finish().unwrap();
        self.answer(asked, ExchangeType::IkeAuth, &answer);
    }

    /// With any exchange type, as a test may want.
    pub(crate) fn answer(&mut self, asked: &Asked, exchange: ExchangeType, content: &Chain) {
        let flags = Flags { initiator: false, response: true, version: false };
        let message = self.seal(Header { exchange, flags, ..asked.header }, content);
        self.input(&message);
    }

    /// A request of the responder's own; the engine's answer, if it comes at once.
    pub(crate) fn ask(&mut self, exchange: ExchangeType, content: &Chain) -> Option<Asked> {
        let flags = Flags { initiator: false, response: false, version: false };
        let initiator_spi = self.keys.as_ref()?.initiator;
        let message_id = MessageId(self.next);
        self.next += 1;
        let header = Header { initiator_spi, responder_spi: SPI, exchange, flags, message_id };
        let message = self.seal(header, content);
        let before = self.sent.len();
        self.input(&message);
        (self.sent.len() > before).then(|| {
            let answer = self.sent.remove(before);
            self.sent.insert(0, answer);
            self.asked()
        })
    }

    pub(crate) fn seal(&mut self, header: Header, content: &Chain) -> Vec<u8> {
        let protection = &mut self.keys.as_mut().unwrap().protection;
        let length = protection.sealed_len(content.bytes.len());
        let writer = ProtectedWriter::encrypted(&header, content.first, length).unwrap();
        let mut message = writer.additional_data().to_vec();
        protection.seal(&mut message, &content.bytes);
        message
    }

    /// DELETE of children, by the responder's SPIs.
    pub(crate) fn delete(&mut self, spis: &[u32]) -> Option<Asked> {
        let delete = wire::Delete::children(ProtocolId::Esp, spis).unwrap();
        let content = ChainWriter::new().payload(&Payload::Delete(delete)).finish().unwrap();
        self.ask(ExchangeType::Informational, &content)
    }
}
