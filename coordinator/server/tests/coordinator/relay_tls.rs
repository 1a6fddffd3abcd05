//! TURN over TLS, for nodes whose network lets no UDP through, against a relay alone.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use stun_types::attribute::{ErrorCode, Nonce, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageWrite as _,
    MessageWriteExt as _, MessageWriteVec,
};
use stun_types::prelude::AttributeWrite;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use turn_types::attribute::{ChannelNumber, Lifetime, RequestedTransport, XorPeerAddress, XorRelayedAddress};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, REFRESH};
use twinmesh_control::{Fingerprint, NodeId, relay_client_config};
use twinmesh_coordinator::relay::{
    Credential, Place, REALM, RelayAt, RelaySecret, RelayServer, RelaySettings, TlsAt,
};
use zeroize::Zeroizing;

use crate::support::{until, within};

const CHANNEL: u16 = 0x4000;

fn secret() -> RelaySecret {
    RelaySecret::new(Zeroizing::new("a secret that only relays have".to_owned())).unwrap()
}

/// A relay on loopback, until it is dropped.
struct Alone {
    at: SocketAddr,
    serves: JoinHandle<()>,
}

impl Alone {
    fn start() -> Self {
        let settings = RelaySettings {
            addresses: vec!["127.0.0.1".parse().unwrap()],
            node_rate: 1_000_000_000,
            most_allocations: 10,
            most_allocations_of_node: 2,
        };
        let at = RelayAt { listen: "127.0.0.1:0".parse().unwrap(), tls: TlsAt::Beside, settings };
        let relay = RelayServer::bind(&at, secret(), Zeroizing::new([7; 32]), None).unwrap();
        assert_eq!(relay.tls_addr(), Some(relay.local_addr()));
        let at = relay.local_addr();
        Self { at, serves: tokio::spawn(async move { relay.serve_until(std::future::pending()).await }) }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.serves.abort();
    }
}

struct Client {
    tls: TlsStream<TcpStream>,
    username: String,
    key: IntegrityKey,
    nonce: String,
}

async fn connect(at: SocketAddr, key: Fingerprint) -> std::io::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(Arc::new(relay_client_config(key).unwrap()));
    connector.connect(at.ip().into(), TcpStream::connect(at).await?).await
}

impl Client {
    async fn new(relay: &Alone, node: u64) -> Self {
        Self::with(relay, node, "127.0.0.1".parse().unwrap()).await
    }

    /// Whose credential opens one port only.
    async fn opening(relay: &Alone, node: u64, port: SocketAddr) -> Self {
        Self::with(relay, node, Place::Port(port)).await
    }

    async fn with(relay: &Alone, node: u64, place: Place) -> Self {
        let mut tls = connect(relay.at, secret().fingerprint().unwrap()).await.unwrap();
        let first = Message::builder_request(ALLOCATE, MessageWriteVec::new()).finish();
        tls.write_all(&first).await.unwrap();
        let challenge = stun(&mut tls).await;
        let nonce = Message::from_bytes(&challenge).unwrap().attribute::<Nonce>().unwrap().nonce().to_owned();
        let username = Credential { until: i64::MAX, node: NodeId(node), places: vec![place] }.username();
        let password = secret().password(&username).to_string();
        let key = LongTermKeyCredentials::new(username.clone(), password, REALM.to_owned())
            .make_key(IntegrityAlgorithm::Sha1);
        Self { tls, username, key, nonce }
    }

    async fn ask(&mut self, mut request: MessageWriteVec, attributes: &[&dyn AttributeWrite]) -> Vec<u8> {
        for attribute in attributes {
            request.add_attribute(*attribute).unwrap();
        }
        request.add_attribute(&Username::new(&self.username).unwrap()).unwrap();
        request.add_attribute(&Realm::new(REALM).unwrap()).unwrap();
        request.add_attribute(&Nonce::new(&self.nonce).unwrap()).unwrap();
        request.add_message_integrity_with_key(&self.key, IntegrityAlgorithm::Sha1).unwrap();
        self.tls.write_all(&request.finish()).await.unwrap();
        let answer = stun(&mut self.tls).await;
        let message = Message::from_bytes(&answer).unwrap();
        assert!(message.attribute::<ErrorCode>().is_err(), "{message}");
        answer
    }

    async fn allocate(&mut self) -> SocketAddr {
        let request = Message::builder_request(ALLOCATE, MessageWriteVec::new());
        let answer = self.ask(request, &[&RequestedTransport::new(RequestedTransport::UDP)]).await;
        let message = Message::from_bytes(&answer).unwrap();
        message.attribute::<XorRelayedAddress>().unwrap().addr(message.transaction_id())
    }

    async fn bind(&mut self, peer: SocketAddr) {
        let request = Message::builder_request(CHANNEL_BIND, MessageWriteVec::new());
        let peer = XorPeerAddress::new(peer, request.transaction_id());
        self.ask(request, &[&ChannelNumber::new(CHANNEL), &peer]).await;
    }

    async fn send(&mut self, payload: &[u8]) {
        let length = u16::try_from(payload.len()).unwrap();
        let mut frame = [&CHANNEL.to_be_bytes()[..], &length.to_be_bytes(), payload].concat();
        frame.resize(frame.len().next_multiple_of(4), 0);
        self.tls.write_all(&frame).await.unwrap();
    }

    async fn receive(&mut self) -> Vec<u8> {
        let mut header = [0; 4];
        self.tls.read_exact(&mut header).await.unwrap();
        assert_eq!(header[..2], CHANNEL.to_be_bytes());
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let mut payload = vec![0; length.next_multiple_of(4)];
        self.tls.read_exact(&mut payload).await.unwrap();
        payload.truncate(length);
        payload
    }
}

/// The next message, which must be STUN.
async fn stun(tls: &mut TlsStream<TcpStream>) -> Vec<u8> {
    let mut message = vec![0; 20];
    tls.read_exact(&mut message).await.unwrap();
    let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
    message.resize(20 + length, 0);
    tls.read_exact(&mut message[20..]).await.unwrap();
    message
}

/// Until the relay hangs up.
async fn end(tls: &mut TlsStream<TcpStream>) {
    let mut rest = Vec::new();
    // With or without a TLS alert before the end.
    within("the relay to hang up", tls.read_to_end(&mut rest)).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_without_udp_reach_each_other_with_payloads_of_every_length() {
    let relay = Alone::start();
    let (mut alpha, mut beta) = (Client::new(&relay, 1).await, Client::new(&relay, 2).await);
    let (a, b) = (alpha.allocate().await, beta.allocate().await);
    alpha.bind(b).await;
    beta.bind(a).await;
    for length in [0, 1, 2, 3, 4, 1200, 1201, 9000, 65_535] {
        let payload: Vec<u8> = (0..length).map(|n: u32| n.to_le_bytes()[0]).collect();
        alpha.send(&payload).await;
        assert!(within("the packet", beta.receive()).await == payload, "{length} bytes");
        beta.send(&payload).await;
        assert!(within("the answer", alpha.receive()).await == payload, "{length} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_udp_reaches_a_peer_by_udp() {
    let relay = Alone::start();
    let peer = tokio::net::UdpSocket::bind("127.0.0.2:0").await.unwrap();
    let at = peer.local_addr().unwrap();
    let mut alpha = Client::opening(&relay, 1, at).await;
    let relayed = alpha.allocate().await;
    alpha.bind(at).await;
    alpha.send(b"question").await;
    let mut packet = [0; 100];
    let (length, from) = within("the packet", peer.recv_from(&mut packet)).await.unwrap();
    assert_eq!((&packet[..length], from), (&b"question"[..], relayed));
    peer.send_to(b"answer", relayed).await.unwrap();
    assert_eq!(within("the answer", alpha.receive()).await, b"answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allocation_ends_with_its_connection_and_the_other_way_round() {
    let relay = Alone::start();
    let mut gone = Client::new(&relay, 1).await;
    let relayed = gone.allocate().await;
    assert!(UdpSocket::bind(relayed).is_err(), "the port is taken");
    drop(gone);
    until("the port to be free", async || UdpSocket::bind(relayed).ok()).await;

    let mut alpha = Client::new(&relay, 1).await;
    alpha.allocate().await;
    let request = Message::builder_request(REFRESH, MessageWriteVec::new());
    alpha.ask(request, &[&Lifetime::new(0)]).await;
    end(&mut alpha.tls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_with_another_secret_is_not_taken_for_ours() {
    let relay = Alone::start();
    let other = RelaySecret::new(Zeroizing::new("the secret of another network".to_owned())).unwrap();
    let error = connect(relay.at, other.fingerprint().unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("as the coordinator said"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_speaks_something_else_is_hung_up_on() {
    let relay = Alone::start();
    let mut client = connect(relay.at, secret().fingerprint().unwrap()).await.unwrap();
    client.write_all(b"\xffGET / HTTP/1.1\r\n\r\n").await.unwrap();
    end(&mut client).await;
    let mut plain = TcpStream::connect(relay.at).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    within("the relay to hang up", plain.read_to_end(&mut rest)).await.ok();
    // Others are served as before.
    Client::new(&relay, 1).await.allocate().await;
}
