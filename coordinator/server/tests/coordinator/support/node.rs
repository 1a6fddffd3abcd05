use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, TransportConfig};
use twinmesh_control::{
    CoordinatorMessage, Enrol, FEATURE_AES, FEATURE_COMPLIANCE, FEATURE_ESP, Fingerprint, FrameReader, Hello,
    IdentityKeyPair, JoinToken, MapDelta, NetworkMap, NodeId, NodeMessage, PROTOCOL_VERSION,
    PinnedCoordinator, Preference, Refusal, Report, Revision, WireguardKey, client_config, encode,
};

use super::{Hub, within};

/// A node's keys and its QUIC socket.
pub struct Node {
    pub identity: IdentityKeyPair,
    pub key: WireguardKey,
    preference: Preference,
    features: BTreeSet<String>,
    hub: SocketAddr,
    pin: Fingerprint,
    socket: Endpoint,
}

impl Node {
    pub fn new(hub: &Hub, token: &JoinToken) -> Self {
        let identity = IdentityKeyPair::generate().unwrap();
        // Any 32 bytes are a public key here: nobody seals anything with it.
        let key = WireguardKey(identity.public().0);
        let socket = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let preference = Preference::Auto;
        let features = [FEATURE_ESP, FEATURE_COMPLIANCE, FEATURE_AES].map(str::to_owned).into();
        Self { identity, key, preference, features, hub: hub.control, pin: token.fingerprint, socket }
    }

    /// The same node with another WireGuard key.
    pub fn with_key(self, key: WireguardKey) -> Self {
        Self { key, ..self }
    }

    /// The same node with another wish.
    pub fn preferring(self, preference: Preference) -> Self {
        Self { preference, ..self }
    }

    /// The same node with a version from before ESP between nodes.
    pub fn older(self) -> Self {
        Self { features: BTreeSet::new(), ..self }
    }

    /// The same node after its coordinator has moved to another port.
    pub fn moved_to(self, hub: &Hub) -> Self {
        Self { hub: hub.control, ..self }
    }

    pub async fn connect(&self) -> Session {
        self.try_connect(self.pin).await.unwrap()
    }

    /// Connects to a coordinator of that fingerprint only.
    pub async fn try_connect(&self, pin: Fingerprint) -> Result<Session, quinn::ConnectionError> {
        let tls = client_config(&self.identity, PinnedCoordinator::new(pin)).unwrap();
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let mut transport = TransportConfig::default();
        transport.keep_alive_interval(Some(Duration::from_secs(5)));
        config.transport_config(Arc::new(transport));
        let connecting = self.socket.connect_with(config, self.hub, "coordinator").unwrap();
        let connection = within("a QUIC connection", connecting).await?;
        let (outgoing, incoming) = connection.open_bi().await?;
        Ok(Session {
            connection,
            outgoing,
            incoming,
            frames: FrameReader::default(),
            id: NodeId(0),
            stun_port: None,
            stun_other_port: None,
            map: None,
        })
    }

    pub fn enrol(&self, token: &JoinToken, name: &str) -> Enrol {
        Enrol {
            protocol: PROTOCOL_VERSION,
            version: "1.2.3".to_owned(),
            features: self.features.clone(),
            preference: self.preference.clone(),
            token: token.secret.clone(),
            hostname: name.to_owned(),
            wireguard_key: self.key,
        }
    }

    pub fn hello(&self, revision: Option<Revision>) -> Hello {
        Hello {
            protocol: PROTOCOL_VERSION,
            version: "1.2.3".to_owned(),
            features: self.features.clone(),
            preference: self.preference.clone(),
            wireguard_key: self.key,
            revision,
        }
    }

    /// Joins, and has its first map.
    pub async fn enrolled(&self, token: &JoinToken, name: &str) -> Session {
        let mut session = self.connect().await;
        session.say(self.enrol(token, name)).await;
        session.welcomed().await;
        session.snapshot().await;
        session
    }

    /// Why it may not join.
    pub async fn refused(&self, token: &JoinToken, name: &str) -> Refusal {
        let mut session = self.connect().await;
        session.say(self.enrol(token, name)).await;
        session.refusal().await
    }

    /// Comes back with a map of that revision.
    pub async fn back(&self, revision: Option<Revision>) -> Session {
        let mut session = self.connect().await;
        session.say(self.hello(revision)).await;
        session.welcomed().await;
        session
    }
}

/// A control connection.
pub struct Session {
    pub connection: Connection,
    pub outgoing: SendStream,
    incoming: RecvStream,
    frames: FrameReader,
    pub id: NodeId,
    pub stun_port: Option<u16>,
    pub stun_other_port: Option<u16>,
    pub map: Option<NetworkMap>,
}

impl Session {
    pub async fn say(&mut self, message: impl Into<NodeMessage>) {
        self.say_bytes(&encode(&message.into())).await;
    }

    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        within("the coordinator to read", self.outgoing.write_all(bytes)).await.unwrap();
    }

    pub async fn report(&mut self, endpoints: &[(&str, &str)]) {
        let endpoints = endpoints
            .iter()
            .map(|(address, kind)| twinmesh_control::Endpoint {
                address: address.parse().unwrap(),
                kind: (*kind).to_owned().into(),
            })
            .collect();
        self.say(Report { endpoints, ..Report::default() }).await;
    }

    /// The next message, or `None` at the connection's end.
    pub async fn hear(&mut self) -> Option<CoordinatorMessage> {
        within("a message of the coordinator", async {
            loop {
                if let Some(message) = self.frames.next_message().unwrap() {
                    return Some(message);
                }
                self.frames.push(&self.incoming.read_chunk(usize::MAX, true).await.ok()??.bytes);
            }
        })
        .await
    }

    pub async fn welcomed(&mut self) {
        match self.hear().await {
            Some(CoordinatorMessage::Welcome(welcome)) => {
                self.id = welcome.id;
                self.stun_port = welcome.stun_port;
                self.stun_other_port = welcome.stun_other_port;
            }
            other => panic!("no welcome: {other:?}"),
        }
    }

    pub async fn refusal(&mut self) -> Refusal {
        match self.hear().await {
            Some(CoordinatorMessage::Refused(refusal)) => refusal,
            other => panic!("no refusal: {other:?}"),
        }
    }

    pub async fn snapshot(&mut self) -> &NetworkMap {
        match self.hear().await {
            Some(CoordinatorMessage::Snapshot(map)) => self.map.insert(map),
            other => panic!("no snapshot: {other:?}"),
        }
    }

    /// The next delta, applied to the map.
    pub async fn delta(&mut self) -> MapDelta {
        match self.hear().await {
            Some(CoordinatorMessage::Delta(delta)) => {
                if let Some(map) = &mut self.map {
                    map.apply(delta.clone()).unwrap();
                }
                delta
            }
            other => panic!("no delta: {other:?}"),
        }
    }

    /// Names and endpoints of a delta's peers, and the ids of those removed.
    pub async fn news(&mut self) -> (Vec<String>, Vec<NodeId>) {
        let delta = self.delta().await;
        assert_eq!(delta.own, None);
        (delta.changed.into_iter().map(|peer| peer.name).collect(), delta.removed)
    }

    pub fn revision(&self) -> Revision {
        self.map.as_ref().unwrap().revision
    }

    pub async fn closed(&self) {
        within("the connection's end", self.connection.closed()).await;
    }
}
