//! What the caller asks of the engine.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{ChildSaId, IkeSaId};
use crate::config::TrafficSelector;

/// What the caller asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Sets up the IKE SA of a connection, with all its children.
    Initiate {
        connection: Arc<str>,
    },
    /// Another child of a connection, by its name in the configuration; the IKE SA is set up first if need be.
    CreateChild {
        connection: Arc<str>,
        child: Arc<str>,
        /// The packet that calls for it, this end's side first: it goes first in the selectors (RFC 7296 §2.9), and
        /// where the peer takes one pair of subnets only, it says which.
        trigger: Option<(TrafficSelector, TrafficSelector)>,
    },
    RekeyIke {
        ike_sa: IkeSaId,
    },
    RekeyChild {
        child_sa: ChildSaId,
    },
    TerminateChild {
        child_sa: ChildSaId,
    },
    Terminate {
        ike_sa: IkeSaId,
    },
    /// All IKE SAs of the connection, those being set up too.
    TerminateConnection {
        connection: Arc<str>,
    },
    /// Asks the peer for a sign of life now.
    CheckLiveness {
        ike_sa: IkeSaId,
    },
    /// This node's end has changed. The IKE SAs of the connection go on from `local`, and the peer hears of it, and
    /// that this node may be found at `additional` too (RFC 4555 §3.5, §3.6).
    AddressesChanged {
        connection: Arc<str>,
        local: IpAddr,
        additional: Vec<IpAddr>,
    },
    /// The caller has found that the peer is reached at `remote`, from `local`. The IKE SAs of the connection go on there
    /// without MOBIKE, those being set up too: the peer is asked for a sign of life there and follows what it hears.
    Lead {
        connection: Arc<str>,
        local: IpAddr,
        remote: SocketAddr,
    },
    /// A new IKE SA from scratch with the same children; the old one goes on until nothing is missing in the new one
    /// (RFC 7296 §2.8.3).
    Reauthenticate {
        ike_sa: IkeSaId,
    },
    /// ESP of this IKE SA's children came in: a peer that sends data is alive.
    Heard {
        ike_sa: IkeSaId,
    },
}
