//! A TURN client: an allocation, and one channel.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use stun_types::attribute::{ErrorCode, Nonce, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageWrite as _,
    MessageWriteExt as _, MessageWriteVec, Method,
};
use stun_types::prelude::AttributeWrite;
use turn_types::attribute::{ChannelNumber, RequestedTransport, XorPeerAddress, XorRelayedAddress};
use turn_types::message::{ALLOCATE, CHANNEL_BIND};
use twinmesh_control::NodeId;
use twinmesh_coordinator::relay::{Credential, Place, REALM, RelaySecret};

pub(crate) const CHANNEL: u16 = 0x4000;
/// How often a request is sent, and how long its answer is waited for.
const TRIES: usize = 10;
const WAIT: Duration = Duration::from_millis(500);

pub(crate) struct Client {
    pub(crate) socket: UdpSocket,
    pub(crate) relayed: SocketAddr,
    relay: SocketAddr,
    username: String,
    key: IntegrityKey,
    nonce: String,
}

impl Client {
    pub(crate) fn allocate(relay: SocketAddr, secret: &RelaySecret, node: u64) -> Result<Self> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(WAIT))?;
        let hour = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() + 3600;
        let places = vec![Place::Relay(relay.ip())];
        let username = Credential { until: i64::try_from(hour)?, node: NodeId(node), places }.username();
        let password = secret.password(&username).to_string();
        let key = LongTermKeyCredentials::new(username.clone(), password, REALM.to_owned())
            .make_key(IntegrityAlgorithm::Sha1);
        let mut client = Self { socket, relayed: relay, relay, username, key, nonce: String::new() };
        let challenge =
            client.exchange(&Message::builder_request(ALLOCATE, MessageWriteVec::new()).finish())?;
        Message::from_bytes(&challenge)?.attribute::<Nonce>()?.nonce().clone_into(&mut client.nonce);
        let udp = RequestedTransport::new(RequestedTransport::UDP);
        let answer = client.ask(ALLOCATE, |_| vec![Box::new(udp.clone())])?;
        let answer = Message::from_bytes(&answer)?;
        client.relayed = answer.attribute::<XorRelayedAddress>()?.addr(answer.transaction_id());
        Ok(client)
    }

    pub(crate) fn bind(&self, peer: SocketAddr) -> Result<()> {
        self.ask(CHANNEL_BIND, |request| {
            let peer = XorPeerAddress::new(peer, request.transaction_id());
            vec![Box::new(ChannelNumber::new(CHANNEL)), Box::new(peer)]
        })
        .map(drop)
    }

    fn ask(
        &self,
        method: Method,
        attributes: impl FnOnce(&MessageWriteVec) -> Vec<Box<dyn AttributeWrite>>,
    ) -> Result<Vec<u8>> {
        let mut request = Message::builder_request(method, MessageWriteVec::new());
        for attribute in attributes(&request) {
            request.add_attribute(&*attribute)?;
        }
        request.add_attribute(&Username::new(&self.username)?)?;
        request.add_attribute(&Realm::new(REALM)?)?;
        request.add_attribute(&Nonce::new(&self.nonce)?)?;
        request.add_message_integrity_with_key(&self.key, IntegrityAlgorithm::Sha1)?;
        let answer = self.exchange(&request.finish())?;
        if let Ok(error) = Message::from_bytes(&answer)?.attribute::<ErrorCode>() {
            bail!("the relay answers {} to {method:?}", error.code());
        }
        Ok(answer)
    }

    fn exchange(&self, request: &[u8]) -> Result<Vec<u8>> {
        let id = Message::from_bytes(request)?.transaction_id();
        let mut buffer = vec![0; 2048];
        for _ in 0..TRIES {
            self.socket.send_to(request, self.relay)?;
            while let Ok(length) = self.socket.recv(&mut buffer) {
                let answer = buffer.get(..length).context("a length beyond the buffer")?;
                if Message::from_bytes(answer).is_ok_and(|answer| answer.transaction_id() == id) {
                    return Ok(answer.to_vec());
                }
            }
        }
        bail!("the relay does not answer")
    }
}
