//! The requests about sites, and the shape of `twinmesh site list --json`. Stable: fields may be added, never renamed
//! or given another meaning.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::SecretText;

/// One site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteAdd {
    /// Name of the file, for messages.
    pub file: String,
    /// Absolute; names of further files are relative to it.
    pub folder: PathBuf,
    /// The file, since it has a secret in it.
    pub text: SecretText,
}

/// A site at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteStatus {
    pub name: String,
    pub state: SiteState,
    /// Why the last attempt failed, and what to do.
    pub last_error: Option<String>,
    /// The peer outside: where it is, else where it is looked for; `null`: it may come from anywhere.
    pub remote: Option<String>,
    /// The IKE SA, where there is one.
    pub ike_sa: Option<IkeSaStatus>,
    pub children: Vec<SiteChildStatus>,
}

/// How a site stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SiteState {
    /// The IKE SA stands.
    Established,
    /// It is being set up.
    Connecting,
    /// The last attempt failed; it is tried again.
    Failed,
    /// The peer has to begin.
    Waiting,
    /// Traffic, or the peer, makes it begin.
    Trapped,
    /// A command took it down; its traffic goes nowhere.
    Down,
}

/// An IKE SA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "fields of the JSON")]
pub struct IkeSaStatus {
    pub initiator: bool,
    pub local: String,
    pub local_id: String,
    pub remote_id: String,
    /// Sixteen hexadecimal digits each.
    pub initiator_spi: String,
    pub responder_spi: String,
    /// In strongSwan's notation.
    pub proposal: String,
    pub local_nat: bool,
    pub remote_nat: bool,
    /// Of its keys.
    pub age_s: u64,
    /// Since the peer proved who it is.
    pub established_s: u64,
    /// How often it got new keys since.
    pub rekeyed: u64,
    /// Until this side begins to renew the keys; `null` while it does, and where only the peer does it.
    pub rekey_in_s: Option<u64>,
    /// Until it ends if its keys are not renewed.
    pub expires_in_s: Option<u64>,
    /// Until this side begins an IKE SA from scratch, in which both prove anew who they are; `null` where it does not.
    pub reauth_in_s: Option<u64>,
    /// Whether a postquantum preshared key is mixed into the keys (RFC 8784).
    pub ppk: bool,
}

/// A child of a site: with `sa`, it is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteChildStatus {
    pub name: String,
    pub state: SiteChildState,
    pub start: SiteStart,
    /// Name in `twinmesh sa`.
    pub sa: Option<String>,
    /// Packets that would have left without protection, and were dropped.
    pub blocked: u64,
    /// Packets that wait for the SAs.
    pub waiting: u64,
    /// Of the SAs, eight hexadecimal digits.
    pub spi_in: Option<String>,
    pub spi_out: Option<String>,
    pub suite: Option<String>,
    /// As negotiated, or as configured.
    pub local_ts: Vec<String>,
    pub remote_ts: Vec<String>,
    pub age_s: Option<u64>,
    /// As of the IKE SA.
    pub rekey_in_s: Option<u64>,
    pub expires_in_s: Option<u64>,
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// How often it got new keys.
    pub rekeyed: u64,
}

/// Who begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SiteStart {
    Start,
    Trap,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SiteChildState {
    Installed,
    None,
}
