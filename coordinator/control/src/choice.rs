//! Which protocol carries the traffic of a pair of nodes (DESIGN §10), and why.

use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;

/// In `features` of [`crate::Hello`] and [`crate::Enrol`]: the node can carry a peer's traffic in ESP, keyed by IKEv2
/// under the nodes' identity keys.
pub const FEATURE_ESP: &str = "esp";

open_enum! {
    /// What a node's administrator wishes for its tunnels to other agents.
    #[derive(Default)]
    Preference {
        /// The coordinator is to choose.
        #[default]
        Auto = "auto",
        /// WireGuard, whatever others wish.
        Wireguard = "wireguard",
        /// ESP with every peer that can have it.
        Esp = "esp",
    }
}

open_enum! {
    /// What carries the traffic of a pair.
    #[derive(Default)]
    Protocol {
        /// What a coordinator means that says nothing of protocols.
        #[default]
        Wireguard = "wireguard",
        /// ESP in UDP, keyed by IKEv2.
        Esp = "esp",
    }
}

open_enum! {
    /// Why a protocol was chosen; stable, for programs.
    ReasonCode {
        /// One end is only a WireGuard key.
        UnmanagedPeer = "unmanaged-peer",
        /// One end insists on WireGuard.
        PrefersWireguard = "prefers-wireguard",
        /// ESP is wished for, but one end has no ESP between nodes.
        NoEsp = "no-esp",
        /// One end asks for ESP.
        PrefersEsp = "prefers-esp",
        /// Nobody wishes otherwise.
        Default = "default",
    }
}

/// Why a protocol was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub code: ReasonCode,
    /// For people.
    pub text: String,
}
