use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, Incoming, RecvStream, ServerConfig, TokioRuntime};
use rustls::pki_types::CertificateDer;
use stun_types::attribute::XorMappedAddress;
use stun_types::message::{Message, MessageWrite as _, MessageWriteExt as _, MessageWriteVec};
use tokio::sync::{mpsc, oneshot};
use twinmesh_control::{
    CoordinatorMessage, FrameReader, Generation, IdentityKey, IdentityKeyPair, JoinToken, MapDelta,
    NatReport, Network, NetworkMap, NodeId, NodeMessage, OwnNode, Peer, PeerKind, Protocol, Refusal,
    RefusalCode, Report, Revision, Revoked, Welcome, WireguardKey, encode, peer_identity, server_config,
};

use super::Lan;

/// Where the test coordinator listens.
pub const HUB: &str = "192.0.2.254:7443";
const STUN: &str = "192.0.2.254:3478";

/// A coordinator that knows everybody in memory. It lets everybody in who does not say otherwise.
pub struct Hub {
    key: Arc<IdentityKeyPair>,
    network: Arc<Mutex<Members>>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

#[derive(Default)]
pub struct Members {
    revision: u64,
    all: Vec<Member>,
    /// What the next Enrol is answered with.
    pub refusal: Option<RefusalCode>,
    /// What STUN says instead of the truth.
    pub nat: Option<SocketAddr>,
    /// All messages that arrived, oldest first.
    pub heard: Vec<NodeMessage>,
}

struct Member {
    identity: IdentityKey,
    peer: Peer,
    removed: bool,
    connection: Option<mpsc::UnboundedSender<CoordinatorMessage>>,
}

impl Hub {
    pub fn start(lan: &Lan) -> Self {
        let key = Arc::new(IdentityKeyPair::generate().unwrap());
        let mut hub = Self { key, network: Arc::default(), running: None };
        hub.run(lan);
        hub
    }

    /// Starts again after [`Self::kill`], with all that it knew.
    pub fn run(&mut self, lan: &Lan) {
        let tls = QuicServerConfig::try_from(server_config(&self.key).unwrap()).unwrap();
        let sockets = lan.hub.run(|| [HUB, STUN].map(|address| UdpSocket::bind(address).unwrap()));
        let network = Arc::clone(&self.network);
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let [control, stun] = sockets;
                let config = ServerConfig::with_crypto(Arc::new(tls));
                let endpoint =
                    Endpoint::new(EndpointConfig::default(), Some(config), control, Arc::new(TokioRuntime))
                        .unwrap();
                stun.set_nonblocking(true).unwrap();
                tokio::spawn(answer_stun(
                    tokio::net::UdpSocket::from_std(stun).unwrap(),
                    Arc::clone(&network),
                ));
                tokio::spawn(accept(endpoint, network));
                stopped.await.ok();
            });
            // The tasks go with the runtime, and none of them says goodbye.
        });
        self.running = Some((stop, thread));
    }

    /// It dies without a word.
    pub fn kill(&mut self) {
        let (stop, thread) = self.running.take().unwrap();
        stop.send(()).unwrap();
        thread.join().unwrap();
    }

    pub fn fingerprint(&self) -> String {
        self.key.public().fingerprint().to_string()
    }

    pub fn token(&self) -> String {
        JoinToken::generate(self.key.public().fingerprint()).unwrap().to_string()
    }

    pub fn members(&self) -> MutexGuard<'_, Members> {
        self.network.lock().unwrap()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
    }
}

impl Members {
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.heard
            .iter()
            .filter_map(|message| if let NodeMessage::Report(report) = message { Some(report) } else { None })
    }

    /// Removes a node; a connected one is told.
    pub fn remove(&mut self, id: u64) {
        self.revision += 1;
        let revision = self.revision;
        for member in &mut self.all {
            if member.peer.id == NodeId(id) {
                member.removed = true;
                member.say(Revoked { reason: "removed by the test".to_owned() });
            } else {
                let (from, to) = (Revision(revision - 1), Revision(revision));
                let removed = vec![NodeId(id)];
                member.say(MapDelta { from, to, own: None, changed: Vec::new(), removed });
            }
        }
    }

    fn enrol(&mut self, identity: IdentityKey, name: String, wireguard_key: WireguardKey) -> usize {
        let number = self.all.len() + 1;
        let addresses = vec![
            format!("100.64.0.{number}").parse().unwrap(),
            format!("fd00:64::{number}").parse().unwrap(),
        ];
        let peer = Peer {
            id: NodeId(number.try_into().unwrap()),
            name,
            kind: PeerKind::Agent,
            wireguard_key,
            identity: Some(identity),
            protocol: Protocol::Wireguard,
            compliance: false,
            reasons: Vec::new(),
            generation: Generation(0),
            allowed_ips: addresses.iter().copied().map(Into::into).collect(),
            addresses,
            endpoints: Vec::new(),
            nat: NatReport::default(),
            tags: Vec::new(),
        };
        self.all.push(Member { identity, peer, removed: false, connection: None });
        number - 1
    }

    /// Tells all others of a member that is not as it was.
    fn changed(&mut self, index: usize) {
        self.revision += 1;
        let (from, to) = (Revision(self.revision - 1), Revision(self.revision));
        let peer = self.all[index].peer.clone();
        for (other, member) in self.all.iter().enumerate() {
            let changed = if other == index { Vec::new() } else { vec![peer.clone()] };
            member.say(MapDelta { from, to, own: None, changed, removed: Vec::new() });
        }
    }

    fn map(&self, index: usize) -> NetworkMap {
        let Peer { id, name, addresses, .. } = self.all[index].peer.clone();
        let peers = self.all.iter().filter(|member| !member.removed && member.peer.id != id);
        NetworkMap {
            revision: Revision(self.revision),
            network: Network {
                name: "test".to_owned(),
                ipv4: "100.64.0.0/10".parse().unwrap(),
                ipv6: "fd00:64::/48".parse().unwrap(),
            },
            own: OwnNode { id, name, addresses, tags: Vec::new() },
            peers: peers.map(|member| (member.peer.id, member.peer.clone())).collect(),
        }
    }

    /// The answer to the first message, and who said it.
    fn greet(&mut self, identity: IdentityKey, message: &NodeMessage) -> Result<usize, RefusalCode> {
        if let NodeMessage::Enrol(enrol) = message {
            return match self.refusal.take() {
                Some(refusal) => Err(refusal),
                None => Ok(self.enrol(identity, enrol.hostname.clone(), enrol.wireguard_key)),
            };
        }
        let known = |member: &Member| member.identity == identity && !member.removed;
        self.all.iter().position(known).ok_or(RefusalCode::NodeUnknown)
    }
}

impl Member {
    fn say(&self, message: impl Into<CoordinatorMessage>) {
        if let Some(connection) = &self.connection {
            connection.send(message.into()).ok();
        }
    }
}

async fn accept(endpoint: Endpoint, network: Arc<Mutex<Members>>) {
    while let Some(incoming) = endpoint.accept().await {
        let network = Arc::clone(&network);
        // A node that gives up or does not trust us ends its connection.
        tokio::spawn(async move { serve(incoming, &network).await });
    }
}

async fn serve(incoming: Incoming, network: &Mutex<Members>) -> Option<()> {
    let connection = incoming.await.ok()?;
    let certificates = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    let identity = peer_identity(&certificates)?;
    let (mut outgoing, mut incoming) = connection.accept_bi().await.ok()?;
    let mut frames = FrameReader::default();
    let first = next(&mut incoming, &mut frames).await?;
    let (say, mut said) = mpsc::unbounded_channel();
    let greeted = {
        let mut network = network.lock().unwrap();
        network.heard.push(first.clone());
        let greeted = network.greet(identity, &first);
        if let Ok(index) = greeted {
            network.all[index].connection = None;
            network.changed(index);
            let id = network.all[index].peer.id;
            let welcome = Welcome {
                id,
                version: "test".to_owned(),
                features: BTreeSet::new(),
                stun_port: Some(3478),
                stun_other_port: None,
            };
            network.all[index].connection = Some(say);
            network.all[index].say(welcome);
            network.all[index].say(network.map(index));
        }
        greeted
    };
    let index = match greeted {
        Ok(index) => index,
        Err(code) => {
            let refusal = Refusal { message: format!("the test refuses: {code}"), code };
            outgoing.write_all(&encode(&CoordinatorMessage::from(refusal))).await.ok()?;
            outgoing.finish().ok()?;
            connection.closed().await;
            return None;
        }
    };
    loop {
        tokio::select! {
            message = said.recv() => outgoing.write_all(&encode(&message?)).await.ok()?,
            message = next(&mut incoming, &mut frames) => {
                let message = message?;
                let mut network = network.lock().unwrap();
                if let NodeMessage::Report(report) = &message
                    && network.all[index].peer.endpoints != report.endpoints
                {
                    network.all[index].peer.endpoints.clone_from(&report.endpoints);
                    network.changed(index);
                }
                let leaves = matches!(message, NodeMessage::Leave(_));
                network.heard.push(message);
                if leaves {
                    network.all[index].removed = true;
                    return None;
                }
            }
        }
    }
}

/// Reading a chunk may be given up at any time without losing it.
async fn next(incoming: &mut RecvStream, frames: &mut FrameReader) -> Option<NodeMessage> {
    loop {
        if let Some(message) = frames.next_message().unwrap() {
            return Some(message);
        }
        frames.push(&incoming.read_chunk(usize::MAX, true).await.ok()??.bytes);
    }
}

async fn answer_stun(socket: tokio::net::UdpSocket, network: Arc<Mutex<Members>>) {
    let mut buffer = [0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let seen = network.lock().unwrap().nat.unwrap_or(from);
        let request = Message::from_bytes(&buffer[..length]).unwrap();
        let mut answer = Message::builder_success(&request, MessageWriteVec::new());
        answer.add_attribute(&XorMappedAddress::new(seen, request.transaction_id())).unwrap();
        socket.send_to(&answer.finish(), from).await.unwrap();
    }
}
