//! Relays: TURN servers (RFC 8656) that carry a pair's sealed packets where no direct path is found.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::Fingerprint;
use crate::open_enum::open_enum;

open_enum! {
    /// How a node speaks to a relay.
    RelayTransport {
        Udp = "udp",
        /// TURN over TLS over TCP (RFC 8656 §3.1), where UDP does not pass.
        Tls = "tls",
    }
}

/// The relays that a node may use from now on; replaces what was said before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relays {
    pub relays: Vec<RelayAccess>,
}

/// One relay, and the credential for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayAccess {
    pub address: SocketAddr,
    pub transport: RelayTransport,
    /// The key of the certificate that a TLS relay must show, see [`relay_client_config`](crate::relay_client_config).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    pub username: String,
    pub password: RelayPassword,
    /// Seconds until the credential ends; the coordinator sends another one in time.
    pub valid_for: u64,
}

/// Password of a relay's credential; does not appear in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RelayPassword(pub String);

impl fmt::Debug for RelayPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayPassword(…)")
    }
}

impl Drop for RelayPassword {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
