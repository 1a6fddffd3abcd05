//! Requests of clients (RFC 8656 §7–§12): all but Binding need a credential.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use stun_types::attribute::{
    ErrorCode, MessageIntegrity, Nonce, Realm, Software, Username, XorMappedAddress,
};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageWrite as _,
    MessageWriteExt as _, MessageWriteVec,
};
use stun_types::prelude::{Attribute as _, AttributeFromRaw as _, AttributeStaticType as _, AttributeWrite};
use turn_types::AddressFamily;
use turn_types::attribute::{
    ChannelNumber, EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport, XorPeerAddress,
    XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH};

use super::allocation::{Allocation, BindError};
use super::credential::Credential;
use super::server::{Parity, Ports, REALM, Relay};

/// RFC 8656 §3.2: ten minutes unless asked otherwise, an hour at most.
const DEFAULT_LIFETIME: Duration = Duration::from_mins(10);
const LONGEST_LIFETIME: Duration = Duration::from_hours(1);
/// The numbers that a channel may have: RFC 8656 §12 ends them at 0x4fff, clients of RFC 5766 §11 know more.
const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x7ffe;
/// Addresses in one CreatePermission.
const MOST_ADDRESSES: usize = 32;

/// Who sent a request, proven.
struct Client {
    address: SocketAddr,
    username: String,
    credential: Credential,
    key: IntegrityKey,
}

impl Relay {
    /// The answer to a request, if it gets one.
    pub(super) fn request(
        &mut self,
        request: &Message<'_>,
        address: SocketAddr,
        (now, unix): (Instant, i64),
        ports: &mut impl Ports,
    ) -> Option<Vec<u8>> {
        let method = request.method();
        if ![ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND].contains(&method) {
            self.counters.malformed += 1;
            return None;
        }
        let client = match self.authenticate(request, address, unix) {
            Ok(client) => client,
            Err(code) => {
                if !self.strangers.may_hear(address.ip(), now) {
                    self.counters.unanswered += 1;
                    return None;
                }
                return self.challenge(request, address, code, unix);
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
    fn authenticate(&mut self, request: &Message<'_>, address: SocketAddr, unix: i64) -> Result<Client, u16> {
        if !request.has_attribute(MessageIntegrity::TYPE) {
            return Err(ErrorCode::UNAUTHORIZED);
        }
        let username = request.attribute::<Username>().map_err(|_| ErrorCode::BAD_REQUEST)?;
        let realm = request.attribute::<Realm>().map_err(|_| ErrorCode::BAD_REQUEST)?;
        let nonce = request.attribute::<Nonce>().map_err(|_| ErrorCode::BAD_REQUEST)?;
        if !self.nonces.is_fresh(nonce.nonce(), address, unix) {
            return Err(ErrorCode::STALE_NONCE);
        }
        let username = username.username();
        let Ok(credential) = Credential::read(username, unix) else { return self.unauthorized() };
        let known = self.allocations.get(&address).filter(|known| known.username == username);
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
        Ok(Client { address, username: username.to_owned(), credential, key })
    }

    fn unauthorized<T>(&mut self) -> Result<T, u16> {
        self.counters.unauthorized += 1;
        Err(ErrorCode::UNAUTHORIZED)
    }

    fn challenge(&self, request: &Message<'_>, address: SocketAddr, code: u16, unix: i64) -> Option<Vec<u8>> {
        let mut answer = error(request, code)?;
        if code != ErrorCode::BAD_REQUEST {
            answer.add_attribute(&Realm::new(REALM).ok()?).ok()?;
            answer.add_attribute(&Nonce::new(&self.nonces.issue(address, unix)).ok()?).ok()?;
        }
        answer.add_fingerprint().ok()?;
        Some(answer.finish())
    }

    /// Whether the client may ask anything about the allocation at its address, and we understand what it asks.
    ///
    /// RFC 8656 §5 wants the username that made the allocation. Ours says when it ends, so that a node has to come
    /// with a newer one: it must be the same node's. The newer one decides from then on.
    fn authorized(&mut self, request: &Message<'_>, client: &Client, now: Instant) -> Result<(), u16> {
        if !unknown(request).is_empty() {
            return Err(ErrorCode::UNKNOWN_ATTRIBUTE);
        }
        if !self.peers.has(client.credential.node) {
            self.counters.forbidden += 1;
            return Err(ErrorCode::FORBIDDEN);
        }
        let Some(allocation) = self.allocations.get_mut(&client.address) else { return Ok(()) };
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

    /// RFC 8656 §7.2.
    fn allocate(
        &mut self,
        request: &Message<'_>,
        client: &Client,
        (now, unix): (Instant, i64),
        ports: &mut impl Ports,
    ) -> Result<Vec<Box<dyn AttributeWrite>>, u16> {
        if let Some(allocation) = self.allocations.get(&client.address) {
            // The answer was lost, and the request came again.
            if allocation.made_by == request.transaction_id() {
                return Ok(allocated(request, allocation, client.address, now));
            }
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        }
        let transport = request.attribute::<RequestedTransport>().map_err(|_| ErrorCode::BAD_REQUEST)?;
        if transport.protocol() != RequestedTransport::UDP {
            return Err(ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL);
        }
        // RFC 8656 §7.2: IPv4 if it does not say.
        let family = match request.raw_attribute(RequestedAddressFamily::TYPE) {
            Some(raw) => RequestedAddressFamily::from_raw(raw)
                .map_err(|_| ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED)?
                .family(),
            None => AddressFamily::IPV4,
        };
        let address = self.settings.addresses.iter().find(|address| is_of(**address, family));
        let address = *address.ok_or(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED)?;
        let parity = match request.raw_attribute(EvenPort::TYPE) {
            None => Parity::Any,
            Some(raw) => match EvenPort::from_raw(raw) {
                Ok(even) if !even.requested() => Parity::Even,
                // The port after it is to be kept for later, which no node needs.
                Ok(_) => return Err(ErrorCode::INSUFFICIENT_CAPACITY),
                Err(_) => return Err(ErrorCode::BAD_REQUEST),
            },
        };
        let of_node = self.usages.get(&client.credential.node).map_or(0, |usage| usage.allocations);
        if of_node >= self.settings.most_allocations_of_node {
            self.counters.over_quota += 1;
            return Err(ErrorCode::ALLOCATION_QUOTA_REACHED);
        }
        if self.allocations.len() >= self.settings.most_allocations {
            self.counters.over_quota += 1;
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        let relayed = ports.open(address, parity).ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?;
        let proof = (client.username.clone(), client.credential.clone(), client.key.clone());
        let expires = now + lifetime(request, &client.credential, unix).max(Duration::from_secs(1));
        let allocation = Allocation::new(proof, request.transaction_id(), relayed, expires);
        let attributes = allocated(request, &allocation, client.address, now);
        self.insert(client.address, allocation, now);
        Ok(attributes)
    }

    /// RFC 8656 §8.2: a lifetime of 0 ends the allocation.
    fn refresh(
        &mut self,
        request: &Message<'_>,
        client: &Client,
        (now, unix): (Instant, i64),
        ports: &mut impl Ports,
    ) -> Result<Vec<Box<dyn AttributeWrite>>, u16> {
        let allocation = self.allocations.get_mut(&client.address).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        if let Some(raw) = request.raw_attribute(RequestedAddressFamily::TYPE) {
            let family = RequestedAddressFamily::from_raw(raw).map_err(|_| ErrorCode::BAD_REQUEST)?.family();
            if !is_of(allocation.relayed.ip(), family) {
                return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
            }
        }
        let lifetime = lifetime(request, &client.credential, unix);
        allocation.expires = now + lifetime;
        if lifetime.is_zero() {
            self.remove(client.address, ports);
        }
        Ok(vec![Box::new(Lifetime::new(seconds(lifetime)))])
    }

    /// RFC 8656 §10.2: all addresses or none.
    fn create_permission(
        &mut self,
        request: &Message<'_>,
        client: &Client,
        now: Instant,
    ) -> Result<Vec<Box<dyn AttributeWrite>>, u16> {
        let mut peers: Vec<IpAddr> = Vec::new();
        for (_, raw) in request.iter_attributes() {
            if raw.get_type() != XorPeerAddress::TYPE {
                continue;
            }
            let peer = XorPeerAddress::from_raw(raw).map_err(|_| ErrorCode::BAD_REQUEST)?;
            peers.push(peer.addr(request.transaction_id()).ip());
        }
        if peers.is_empty() || peers.len() > MOST_ADDRESSES {
            return Err(ErrorCode::BAD_REQUEST);
        }
        let allocation = self.allocations.get_mut(&client.address).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        if peers.iter().any(|peer| peer.is_ipv4() != allocation.relayed.is_ipv4()) {
            return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
        }
        if !peers.iter().all(|peer| allocation.credential.may_permit(*peer)) {
            self.counters.forbidden += 1;
            return Err(ErrorCode::FORBIDDEN);
        }
        if allocation.permit(&peers, now) { Ok(Vec::new()) } else { Err(ErrorCode::INSUFFICIENT_CAPACITY) }
    }

    /// RFC 8656 §12.2.
    fn bind_channel(
        &mut self,
        request: &Message<'_>,
        client: &Client,
        now: Instant,
    ) -> Result<Vec<Box<dyn AttributeWrite>>, u16> {
        let number = request.attribute::<ChannelNumber>().map_err(|_| ErrorCode::BAD_REQUEST)?.channel();
        let peer = request.attribute::<XorPeerAddress>().map_err(|_| ErrorCode::BAD_REQUEST)?;
        let peer = peer.addr(request.transaction_id());
        if !CHANNELS.contains(&number) {
            return Err(ErrorCode::BAD_REQUEST);
        }
        let allocation = self.allocations.get_mut(&client.address).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        if peer.is_ipv4() != allocation.relayed.is_ipv4() {
            return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
        }
        if !allocation.credential.may_reach(peer) {
            self.counters.forbidden += 1;
            return Err(ErrorCode::FORBIDDEN);
        }
        match allocation.bind(number, peer, now) {
            Ok(()) => Ok(Vec::new()),
            Err(BindError::Taken) => Err(ErrorCode::BAD_REQUEST),
            Err(BindError::Full) => Err(ErrorCode::INSUFFICIENT_CAPACITY),
        }
    }
}

/// Success of an Allocate (RFC 8656 §7.2).
fn allocated(
    request: &Message<'_>,
    allocation: &Allocation,
    client: SocketAddr,
    now: Instant,
) -> Vec<Box<dyn AttributeWrite>> {
    let id = request.transaction_id();
    let left = allocation.expires.saturating_duration_since(now);
    vec![
        Box::new(XorRelayedAddress::new(allocation.relayed, id)),
        Box::new(Lifetime::new(seconds(left))),
        Box::new(XorMappedAddress::new(client, id)),
    ]
}

/// How long the allocation lasts: what is asked for, within bounds, and never longer than the credential.
fn lifetime(request: &Message<'_>, credential: &Credential, unix: i64) -> Duration {
    let asked = request
        .attribute::<Lifetime>()
        .map_or(DEFAULT_LIFETIME, |asked| Duration::from_secs(asked.seconds().into()));
    if asked.is_zero() {
        return asked;
    }
    let left = Duration::from_secs(u64::try_from(credential.until - unix).unwrap_or_default());
    asked.clamp(DEFAULT_LIFETIME, LONGEST_LIFETIME).min(left)
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

fn is_of(address: IpAddr, family: AddressFamily) -> bool {
    match family {
        AddressFamily::IPV4 => address.is_ipv4(),
        AddressFamily::IPV6 => address.is_ipv6(),
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
