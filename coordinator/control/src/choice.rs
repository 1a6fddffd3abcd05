//! Which protocol carries the traffic of a pair of nodes (DESIGN §10), and why.

use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;

/// In `features` of [`crate::Hello`] and [`crate::Enrol`]: the node can carry a peer's traffic in ESP, keyed by IKEv2
/// under the nodes' identity keys.
pub const FEATURE_ESP: &str = "esp";

/// In `features` too: the node keeps to approved algorithms where [`crate::Peer::compliance`] says so, and carries
/// nothing where the protocol is [`Protocol::None`].
pub const FEATURE_COMPLIANCE: &str = "compliance";

/// In `features` too: the node's processor has AES instructions.
pub const FEATURE_AES: &str = "aes";

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
        /// Nothing: no protocol that both ends have satisfies the policy.
        None = "none",
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
        /// The coordinator's policy names the protocol.
        Policy = "policy",
        /// The policy allows only approved algorithms.
        Compliance = "compliance",
        /// One end has no way to keep to approved algorithms.
        NoCompliance = "no-compliance",
        /// The policy asks for throughput, and both ends have AES instructions.
        Throughput = "throughput",
        /// The policy asks for throughput, but one end has no AES instructions.
        NoAes = "no-aes",
        /// The protocol that would be chosen failed between the two, and is avoided for a while.
        Failed = "failed",
        /// The chosen protocol failed between the two; nothing else is allowed, or nothing else works either.
        FailedKept = "failed-kept",
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
