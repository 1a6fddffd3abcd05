//! Requests of clients (RFC 8656 §5, RFC 8489 §9.2): all but Binding need a credential.

use std::time::Instant;

use stun_types::attribute::{ErrorCode, MessageIntegrity, Nonce, Realm, Software, Username};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageWrite as _,
    MessageWriteExt as _, MessageWriteVec,
};
use stun_types::prelude::{Attribute as _, AttributeStaticType as _};
use turn_types::attribute::{
    ChannelNumber, EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport, XorPeerAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH};

use super::client::ClientId;
use super::credential::Credential;
use super::server::{Ports, REALM, Relay};

/// Who sent a request, proven.
pub(super) struct Proven {
    pub(super) id: ClientId,
    pub(super) username: String,
    pub(super) credential: Credential,
    pub(super) key: IntegrityKey,
}

impl Relay {
    /// The answer to a request, if it gets one.
    pub(super) fn request(
        &mut self,
        request: &Message<'_>,
        from: ClientId,
        (now, unix): (Instant, i64),
        ports: &mut impl Ports,
    ) -> Option<Vec<u8>> {
        let method = request.method();
        if ![ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND].contains(&method) {
            self.counters.malformed += 1;
            return None;
        }
        let client = match self.authenticate(request, from, unix) {
            Ok(client) => client,
            Err(code) => {
                if !self.strangers.may_hear(from.address().ip(), now) {
                    self.counters.unanswered += 1;
                    return None;
                }
                return self.challenge(request, from, code, unix);
            }
        };
        let done = self.authorized(request, &client, now).and_then(|()| {
            if method == ALLOCATE {
                self.allocate(request, &client, (now, unix), ports)
            } else if method == REFRESH {
                self.refresh(request, &client, (now, unix), ports)
            } else if method == CREATE_PERMISSION {
                self.create_permission(request, &client, now)
            } else {
                self.bind_channel(request, &client, now)
            }
        });
        let mut answer = match done {
            Ok(attributes) => {
                let mut answer = Message::builder_success(request, MessageWriteVec::new());
                for attribute in &attributes {
                    answer.add_attribute(&**attribute).ok()?;
                }
                answer
            }
            Err(ErrorCode::UNKNOWN_ATTRIBUTE) => {
                Message::unknown_attributes(request, &unknown(request), MessageWriteVec::new())
            }
            Err(code) => error(request, code)?,
        };
        answer.add_message_integrity_with_key(&client.key, IntegrityAlgorithm::Sha1).ok()?;
        answer.add_fingerprint().ok()?;
        Some(answer.finish())
    }

    /// RFC 8489 §9.2.4: who sent it, or the error to answer with.
    fn authenticate(&mut self, request: &Message<'_>, from: ClientId, unix: i64) -> Result<Proven, u16> {
        if !request.has_attribute(MessageIntegrity::TYPE) {
            return Err(ErrorCode::UNAUTHORIZED);
        }
        let username = request.attribute::<Username>().map_err(|_| ErrorCode::BAD_REQUEST)?;
        let realm = request.attribute::<Realm>().map_err(|_| ErrorCode::BAD_REQUEST)?;
        let nonce = request.attribute::<Nonce>().map_err(|_| ErrorCode::BAD_REQUEST)?;
        if !self.nonces.is_fresh(nonce.nonce(), from.address(), unix) {
            return Err(ErrorCode::STALE_NONCE);
        }
        let username = username.username();
        let Ok(credential) = Credential::read(username, unix) else { return self.unauthorized() };
        let known = self.allocations.get(&from).filter(|known| known.username == username);
        let key = if let Some(known) = known {
            known.key.clone()
        } else {
            let password = self.secret.password(username);
            LongTermKeyCredentials::new(username.to_owned(), password.to_string(), REALM.to_owned())
                .make_key(IntegrityAlgorithm::Sha1)
        };
        if realm.realm() != REALM || request.validate_integrity_with_key(&key).is_err() {
            return self.unauthorized();
        }
        Ok(Proven { id: from, username: username.to_owned(), credential, key })
    }

    fn unauthorized<T>(&mut self) -> Result<T, u16> {
        self.counters.unauthorized += 1;
        Err(ErrorCode::UNAUTHORIZED)
    }

    fn challenge(&self, request: &Message<'_>, from: ClientId, code: u16, unix: i64) -> Option<Vec<u8>> {
        let mut answer = error(request, code)?;
        if code != ErrorCode::BAD_REQUEST {
            answer.add_attribute(&Realm::new(REALM).ok()?).ok()?;
            answer.add_attribute(&Nonce::new(&self.nonces.issue(from.address(), unix)).ok()?).ok()?;
        }
        answer.add_fingerprint().ok()?;
        Some(answer.finish())
    }

    /// Whether the client may ask anything about the allocation at its address, and we understand what it asks.
    ///
    /// RFC 8656 §5 wants the username that made the allocation. Ours says when it ends, so that a node has to come
    /// with a newer one: it must be the same node's. The newer one decides from then on.
    fn authorized(&mut self, request: &Message<'_>, client: &Proven, now: Instant) -> Result<(), u16> {
        if !unknown(request).is_empty() {
            return Err(ErrorCode::UNKNOWN_ATTRIBUTE);
        }
        if !self.peers.has(client.credential.node) {
            self.counters.forbidden += 1;
            return Err(ErrorCode::FORBIDDEN);
        }
        let Some(allocation) = self.allocations.get_mut(&client.id) else { return Ok(()) };
        if allocation.credential.node != client.credential.node {
            self.counters.unauthorized += 1;
            return Err(ErrorCode::WRONG_CREDENTIALS);
        }
        if allocation.credential.until < client.credential.until {
            allocation.username.clone_from(&client.username);
            allocation.credential = client.credential.clone();
            allocation.key = client.key.clone();
        }
        if allocation.expires <= now && !request.has_method(ALLOCATE) {
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        }
        Ok(())
    }
}

fn error(request: &Message<'_>, code: u16) -> Option<MessageWriteVec> {
    let mut answer = Message::builder_error(request, MessageWriteVec::new());
    answer.add_attribute(&ErrorCode::builder(code).build().ok()?).ok()?;
    answer.add_attribute(&Software::new("twinmesh").ok()?).ok()?;
    Some(answer)
}

/// What the request wants understood and we do not (RFC 8489 §6.3.1): DONT-FRAGMENT and reservations among
/// them, which no node asks for.
fn unknown(request: &Message<'_>) -> Vec<stun_types::attribute::AttributeType> {
    let known = [
        Username::TYPE,
        Realm::TYPE,
        Nonce::TYPE,
        MessageIntegrity::TYPE,
        RequestedTransport::TYPE,
        RequestedAddressFamily::TYPE,
        EvenPort::TYPE,
        Lifetime::TYPE,
        XorPeerAddress::TYPE,
        ChannelNumber::TYPE,
    ];
    let types = request.iter_attributes().map(|(_, raw)| raw.get_type());
    types.filter(|kind| kind.comprehension_required() && !known.contains(kind)).take(16).collect()
}
