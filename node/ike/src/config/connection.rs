//! One connection: two ends, how they prove who they are, and the children between them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::narrow::{Narrowing, SelectorPair};
use super::proposal::{Proposal, Protocol};
use crate::auth::{Credentials, Identity, IdentityPattern, PostquantumKey};
use crate::output::Retransmission;

/// A site as the engine takes it.
#[derive(Clone)]
pub struct ConnectionConfig {
    /// Unique in the engine.
    pub name: Arc<str>,
    /// This node's address and port; port 500 without the non-ESP marker, any other with it.
    pub local: SocketAddr,
    /// As responder, whatever address of this node the peer has asked; initiations go from `local` all the same.
    pub at_any_address: bool,
    pub remote: Remote,
    pub local_identity: Identity,
    /// Whom this connection is for; a responder also chooses the connection by it.
    pub remote_identity: IdentityPattern,
    pub credentials: Credentials,
    /// Mixed into the keys, beside what proves the identities (RFC 8784).
    pub ppk: Option<PostquantumKey>,
    /// For the IKE SA, preferred first.
    pub proposals: Vec<Proposal>,
    /// None: a childless IKE SA (RFC 6023) where the peer can have it.
    pub children: Vec<ChildConfig>,
    pub childless: Childless,
    pub start: StartAction,
    /// Of the IKE SA.
    pub lifetime: Lifetime,
    /// Liveness is checked after so long without a word from the peer (RFC 7296 §2.4).
    pub dpd_delay: Option<Duration>,
    pub encapsulation: EncapsulationPolicy,
    /// Of requests to this peer; `None`: the engine's.
    pub retransmission: Option<Retransmission>,
    /// Largest IP packet that carries a message to this peer, in bytes (RFC 7383 §2.5.1); `None`: the engine's.
    pub fragment_size: Option<usize>,
    /// Lets either end move to another address (RFC 4555). Not with children in transport mode, whose addresses are
    /// those of the ends.
    pub mobike: bool,
    /// Where else this node is: what a peer may try if `local` does not answer (RFC 4555 §3.4).
    pub additional_addresses: Vec<IpAddr>,
    /// The peer proves who it is anew after so long at most: a new IKE SA from scratch, and the old one until the new
    /// one has all children (RFC 7296 §2.8.3). `None`: only the peer asks for it.
    pub reauth: Option<Duration>,
    pub uniqueness: Uniqueness,
    pub quirks: Quirks,
}

/// Whether IKE_AUTH makes a child (RFC 6023).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Childless {
    /// The first child comes with IKE_AUTH if there is one; the peer may do without.
    #[default]
    Allow,
    /// This end's children come after IKE_AUTH where the peer knows how, each with a key exchange of its own.
    Prefer,
    /// The same in both directions, and no IKE SA with a peer that does not know how.
    Require,
    /// This end does not offer it, and refuses a peer that comes without a child.
    Never,
}

/// Where the peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remote {
    /// Initiations go there; as responder the address alone has to agree.
    At(SocketAddr),
    /// Wherever it comes from: this node only answers.
    Anywhere,
    /// Initiations go there; as responder, and when it moves, whoever proves to be the peer may be anywhere. For a peer
    /// that a key alone tells from others, as between two nodes of one mesh.
    Roaming(SocketAddr),
}

/// How many IKE SAs of a connection may stand with one authenticated peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Uniqueness {
    /// One: a newer one takes the place of the older.
    #[default]
    Replace,
    /// One: a peer that comes again, without INITIAL_CONTACT, is refused.
    Keep,
    /// As many as there are.
    Multiple,
}

/// How ESP is to travel. Both ends decide: what the one claims of NATs binds the other (RFC 7296 §2.23).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EncapsulationPolicy {
    /// In UDP where there is a NAT, straight in IP where there is none.
    #[default]
    Auto,
    /// In UDP, as if this side were behind a NAT: firewalls let through what let IKE through. Straight in IP only if
    /// the peer looks for no NATs, and so knows no UDP encapsulation.
    Udp,
    /// Straight in IP, whatever NATs there are: this side does not look for any.
    Raw,
}

/// One pair of ESP SAs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildConfig {
    /// Unique in its connection.
    pub name: Arc<str>,
    pub selectors: SelectorPair,
    /// Key exchanges in them are for all but the child that IKE_AUTH makes.
    pub proposals: Vec<Proposal>,
    pub mode: Mode,
    pub start: StartAction,
    pub lifetime: Lifetime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    #[default]
    Tunnel,
    /// RFC 7296 §1.3.1, USE_TRANSPORT_MODE.
    Transport,
}

/// Who begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartAction {
    /// This node, at once, and again after a loss.
    #[default]
    Start,
    /// This node, as soon as there is traffic.
    Trap,
    /// The peer.
    None,
}

/// Lifetimes are each side's own affair (RFC 7296 §2.8, trap 15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Rekeyed after so long, less a random part of up to `jitter`; `None`: never by this side.
    pub rekey: Option<Duration>,
    /// So that the two ends, and the children of one, do not rekey at the same moment.
    pub jitter: Duration,
    /// Deleted after so long in any case.
    pub hard: Option<Duration>,
}

/// Departures from the RFC, or choices that it leaves, which some implementations need; the defaults suit the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quirks {
    /// Whether the peer gets several selectors in one child.
    pub narrowing: Narrowing,
    pub certificate: CertificatePolicy,
}

/// When this side's certificate goes along with its AUTH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CertificatePolicy {
    /// Some never ask and need it all the same (Apple).
    #[default]
    Always,
    /// After a CERTREQ (RFC 7296 §3.7).
    WhenAsked,
}

impl Remote {
    pub fn allows(&self, address: IpAddr) -> bool {
        match self {
            Self::At(remote) => remote.ip() == address,
            Self::Anywhere | Self::Roaming(_) => true,
        }
    }

    /// Where initiations go.
    pub const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::At(remote) | Self::Roaming(remote) => Some(*remote),
            Self::Anywhere => None,
        }
    }
}

impl Lifetime {
    /// A rekey needs so long at most with the default [`Retransmission`], 150 s until it is given up, and a little more.
    const LEAST_MARGIN: Duration = Duration::from_mins(3);

    /// Rekeyed before `rekey`; deleted a tenth of it later, but not while a rekey may still be answered.
    pub fn of(rekey: Duration) -> Self {
        let tenth = rekey / 10;
        Self { rekey: Some(rekey), jitter: tenth, hard: rekey.checked_add(tenth.max(Self::LEAST_MARGIN)) }
    }

    /// Only the peer rekeys, and only it ends the SA.
    pub const UNLIMITED: Self = Self { rekey: None, jitter: Duration::ZERO, hard: None };

    /// strongSwan's default for an IKE SA.
    pub fn of_ike() -> Self {
        Self::of(Duration::from_hours(4))
    }

    /// strongSwan's default for a child SA.
    pub fn of_child() -> Self {
        Self::of(Duration::from_hours(1))
    }

    /// When to rekey; `random` chooses the moment within the jitter.
    pub fn soft(&self, random: u64) -> Option<Duration> {
        let rekey = self.rekey?;
        let span = u64::try_from(self.jitter.min(rekey).as_millis()).unwrap_or(u64::MAX);
        let early = span.checked_add(1).and_then(|span| random.checked_rem(span)).unwrap_or(0);
        Some(rekey.saturating_sub(Duration::from_millis(early)))
    }
}

impl ConnectionConfig {
    /// All defaults between two ends; children are to be added.
    pub fn new(
        name: &str,
        local: SocketAddr,
        remote: Remote,
        local_identity: Identity,
        remote_identity: IdentityPattern,
        credentials: Credentials,
    ) -> Self {
        Self {
            name: name.into(),
            local,
            at_any_address: false,
            remote,
            local_identity,
            remote_identity,
            credentials,
            ppk: None,
            proposals: Proposal::defaults(Protocol::Ike),
            children: Vec::new(),
            childless: Childless::Allow,
            start: StartAction::Start,
            lifetime: Lifetime::of_ike(),
            dpd_delay: None,
            encapsulation: EncapsulationPolicy::Auto,
            retransmission: None,
            fragment_size: None,
            mobike: true,
            additional_addresses: Vec::new(),
            reauth: None,
            uniqueness: Uniqueness::Replace,
            quirks: Quirks::default(),
        }
    }

    pub fn child(&self, name: &str) -> Option<&ChildConfig> {
        self.children.iter().find(|child| &*child.name == name)
    }
}

impl ChildConfig {
    /// All defaults between two sides' traffic.
    pub fn new(name: &str, selectors: SelectorPair) -> Self {
        Self {
            name: name.into(),
            selectors,
            proposals: Proposal::defaults(Protocol::Esp),
            mode: Mode::Tunnel,
            start: StartAction::Start,
            lifetime: Lifetime::of_child(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_15_the_moment_of_a_rekey_is_random_and_before_the_hard_limit() {
        let lifetime = Lifetime::of(Duration::from_secs(100));
        for random in [0, 1, 9_999, 10_000, 10_001, u64::MAX] {
            let soft = lifetime.soft(random).unwrap();
            assert!((Duration::from_secs(90)..=Duration::from_secs(100)).contains(&soft), "{soft:?}");
        }
        assert_ne!(lifetime.soft(1), lifetime.soft(2));
        assert_eq!(lifetime.hard, Some(Duration::from_secs(280)), "a rekey has time for all its repetitions");
        assert_eq!(Lifetime::of(Duration::from_hours(1)).hard, Some(Duration::from_mins(66)));
        assert_eq!(Lifetime::UNLIMITED.soft(7), None);
    }

    #[test]
    fn a_peer_is_recognised_by_its_address_alone() {
        let remote = Remote::At("192.0.2.1:4500".parse().unwrap());
        assert!(remote.allows("192.0.2.1".parse().unwrap()));
        assert!(!remote.allows("192.0.2.2".parse().unwrap()));
        assert!(Remote::Anywhere.allows("192.0.2.2".parse().unwrap()));
        let roaming = Remote::Roaming("192.0.2.1:4500".parse().unwrap());
        assert!(roaming.allows("192.0.2.2".parse().unwrap()));
        assert_eq!(roaming.address(), remote.address());
    }
}
