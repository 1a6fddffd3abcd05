//! The requests about SAs, and the shape of `twinmesh sa --json`. Stable: fields may be added, never renamed or
//! given another meaning.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::SecretText;

/// SAs keyed by hand, all or none of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaAdd {
    /// Name of the file, for messages.
    pub file: String,
    /// The file, since it has keys in it.
    pub text: SecretText,
}

/// The SAs of one tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaPair {
    pub name: String,
    /// Who made the keys.
    pub origin: SaOrigin,
    /// That of the direction which is worse off.
    pub state: SaState,
    /// What is wrong, and what to do.
    pub problem: Option<String>,
    pub mode: SaMode,
    pub encapsulation: SaEncapsulation,
    /// In strongSwan's notation.
    pub suite: String,
    pub suite_class: SaSuiteClass,
    pub esn: bool,
    /// This node's address outside; transport mode only.
    pub local: Option<IpAddr>,
    /// The peer outside, where packets go now. Raw ESP has no use for the port.
    pub remote: SocketAddr,
    /// Whether `remote` follows the newest authentic packet.
    pub follow_remote: bool,
    /// Traffic selectors.
    pub local_ts: Vec<String>,
    pub remote_ts: Vec<String>,
    /// What the machine sends into the TUN device for it.
    pub routes: Vec<IpNet>,
    /// Longest inner packet.
    pub mtu: u16,
    /// Checksums of TCP and UDP travel partial both ways.
    #[serde(default)]
    pub partial_checksums: bool,
    pub age_s: u64,
    /// Of a child of a site: what its IKE SA adds.
    pub ike: Option<SaIke>,
    pub inbound: SaDirection,
    pub outbound: SaDirection,
}

/// What IKE knows of a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaIke {
    /// As proved; `null` while the IKE SA is being renewed after a loss.
    pub local_id: Option<String>,
    pub remote_id: Option<String>,
    /// Until this side begins to renew the keys; `null` while it does, and where only the peer does it.
    pub rekey_in_s: Option<u64>,
    /// Until it ends if its keys are not renewed.
    pub expires_in_s: Option<u64>,
}

/// One SA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaDirection {
    /// Eight hexadecimal digits.
    pub spi: String,
    pub state: SaState,
    /// Inner packets and bytes (in transport mode: payloads).
    pub packets: u64,
    pub bytes: u64,
    /// Last sent, or newest received.
    pub sequence: u64,
    /// In packets; inbound only.
    pub replay_window: Option<u32>,
    /// At these the keys are to be replaced.
    pub soft: SaLimits,
    /// At these the SA stops.
    pub hard: SaLimits,
    /// Packets dropped, by reason; only reasons that occurred.
    pub drops: BTreeMap<String, u64>,
}

/// Limits of a lifetime; `null`: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaLimits {
    pub bytes: Option<u64>,
    pub packets: Option<u64>,
    pub seconds: Option<u64>,
}

/// Who made the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaOrigin {
    /// A person.
    Manual,
    /// A site's IKE SA.
    Ike,
}

/// How long it may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaState {
    Active,
    /// The soft limit is passed: traffic flows, new keys are due.
    Expiring,
    /// The hard limit is passed, or all sequence numbers are used: nothing passes.
    Expired,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaMode {
    Tunnel,
    Transport,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaEncapsulation {
    /// RFC 3948.
    Udp,
    /// IP protocol 50.
    Raw,
}

/// How far the suite may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaSuiteClass {
    Default,
    Legacy,
    TestOnly,
}
