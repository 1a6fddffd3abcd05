//! Engines of many connections, joined without a network.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use twinmesh_ike::auth::{Credentials, LocalCredential, PreSharedKey, PrivateKey, RawKeys, RemoteCredential};
use twinmesh_ike::config::{
    ChildConfig, ConnectionConfig, Legacy, Lifetime, Proposal, Protocol, Remote, SelectorPair,
    TrafficSelector,
};
use twinmesh_ike::{Command, Engine, EngineConfig, Event, Output, Transmit};

/// How the two ends prove themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    PreSharedKey,
    Ed25519,
}

/// One responder, and as many initiators as wanted, each at an address of its own, in an engine of their own.
pub(crate) struct Peers {
    pub(crate) initiators: Engine,
    pub(crate) responder: Engine,
    names: Vec<Arc<str>>,
    pub(crate) now: Instant,
    pub(crate) established: usize,
}

pub(crate) fn initiator_address(index: usize) -> SocketAddr {
    let base = u32::from(Ipv4Addr::new(198, 18, 0, 0));
    (Ipv4Addr::from(base + u32::try_from(index).expect("few")), 4500).into()
}

pub(crate) fn responder_address() -> SocketAddr {
    (Ipv4Addr::new(192, 0, 2, 1), 4500).into()
}

pub(crate) fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system has random numbers");
}

fn any_v4() -> TrafficSelector {
    TrafficSelector::new(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into()).expect("a range")
}

fn credentials(proof: Proof, own: u8, peer: u8) -> Credentials {
    let key = |seed: u8| PrivateKey::from_ed25519_seed(&[seed; 32]).expect("a key");
    match proof {
        Proof::PreSharedKey => {
            let key = PreSharedKey::parse("uT7.kQ_2mVx9eR4pLs0b").expect("a key");
            Credentials {
                local: LocalCredential::PreSharedKey(key.clone()),
                remote: RemoteCredential::PreSharedKey(key),
            }
        }
        Proof::Ed25519 => Credentials {
            local: LocalCredential::RawKey(key(own)),
            remote: RemoteCredential::RawKeys(RawKeys::new(vec![key(peer).public_key().clone()])),
        },
    }
}

fn connection(
    name: &str,
    local: SocketAddr,
    remote: Remote,
    proof: Proof,
    keys: (u8, u8),
) -> ConnectionConfig {
    let proposals = |protocol, text| vec![Proposal::parse(protocol, text, Legacy::Refused).expect("known")];
    let everything = SelectorPair { local: vec![any_v4()], remote: vec![any_v4()] };
    let child = ChildConfig {
        proposals: proposals(Protocol::Esp, "aes128gcm16"),
        lifetime: Lifetime::UNLIMITED,
        ..ChildConfig::new("net", everything)
    };
    ConnectionConfig {
        proposals: proposals(Protocol::Ike, "aes128gcm16-prfsha256-x25519"),
        children: vec![child],
        lifetime: Lifetime::UNLIMITED,
        dpd_delay: None,
        ..ConnectionConfig::new(
            name,
            local,
            remote,
            format!("{name}.example.org").parse().expect("a name"),
            "*.example.org".parse().expect("a pattern"),
            credentials(proof, keys.0, keys.1),
        )
    }
}

impl Peers {
    pub(crate) fn new(count: usize, proof: Proof, config: &EngineConfig) -> Self {
        let now = Instant::now();
        let mut initiators = Engine::new(config.clone());
        let mut responder = Engine::new(config.clone());
        let mut names = Vec::new();
        for index in 0..count {
            let name = format!("n{index}");
            let remote = Remote::At(responder_address());
            initiators.add_connection(connection(&name, initiator_address(index), remote, proof, (1, 2)));
            names.push(name.into());
        }
        responder.add_connection(connection("hub", responder_address(), Remote::Anywhere, proof, (2, 1)));
        initiators.set_wall_clock(now, SystemTime::now());
        responder.set_wall_clock(now, SystemTime::now());
        Self { initiators, responder, names, now, established: 0 }
    }

    /// One whole handshake with its first child SA.
    pub(crate) fn handshake(&mut self, index: usize) {
        self.begin(index);
        loop {
            let sent = self.take_initiators();
            if sent.is_empty() {
                return;
            }
            for Transmit { local, remote, datagram } in sent {
                self.responder.handle_input(self.now, remote, local, &datagram, &mut random);
            }
            for Transmit { local, remote, datagram } in self.take_responder() {
                self.initiators.handle_input(self.now, remote, local, &datagram, &mut random);
            }
        }
    }

    pub(crate) fn begin(&mut self, index: usize) {
        let connection = self.names[index].clone();
        self.initiators.handle_command(self.now, Command::Initiate { connection }, &mut random);
    }

    pub(crate) fn take_initiators(&mut self) -> Vec<Transmit> {
        take(&mut self.initiators, &mut self.established)
    }

    pub(crate) fn take_responder(&mut self) -> Vec<Transmit> {
        take(&mut self.responder, &mut 0)
    }
}

fn take(engine: &mut Engine, established: &mut usize) -> Vec<Transmit> {
    let mut sent = Vec::new();
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Transmit(transmit) => sent.push(transmit),
            Output::Event(Event::ChildSaEstablished(_)) => *established += 1,
            Output::Event(Event::Failed(failed)) => panic!("a handshake failed: {}", failed.error),
            Output::Event(_) | Output::Trace(_) => {}
        }
    }
    sent
}
