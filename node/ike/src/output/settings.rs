//! Settings of the whole engine.

use std::time::Duration;

use crate::config::ConnectionConfig;

/// Of the whole engine. What concerns one peer is in its `ConnectionConfig`.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    pub retransmission: Retransmission,
    pub half_open: HalfOpenLimits,
    /// Between keepalives, while this node is behind a NAT and sends nothing else (RFC 3948 §4).
    pub keepalive: Duration,
    /// Largest IP packet that carries an IKE message; a larger message is sent in fragments (RFC 7383 §2.5.1).
    pub fragment_size: usize,
    /// Says INITIAL_CONTACT in the first exchange with a peer.
    pub initial_contact: bool,
}

/// Retransmission of requests: after `first`, then each time `factor` tenths longer, `tries` times in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retransmission {
    pub first: Duration,
    /// In tenths: 18 is a factor of 1.8.
    pub factor: u32,
    pub longest: Duration,
    pub tries: u32,
}

/// Against floods of IKE_SA_INIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HalfOpenLimits {
    /// Cookies are asked for from so many half-open IKE SAs on.
    pub cookie_from: usize,
    /// The same, of one remote address.
    pub cookie_from_per_address: usize,
    /// No further half-open IKE SA.
    pub total: usize,
    pub per_address: usize,
    /// A responder waits so long for IKE_AUTH.
    pub lifetime: Duration,
}

impl EngineConfig {
    pub(crate) fn retransmission_to(&self, connection: &ConnectionConfig) -> Retransmission {
        connection.retransmission.unwrap_or(self.retransmission)
    }

    /// The smallest, where it is not yet known which of these connections it is.
    pub(crate) fn fragment_size_to<'a>(
        &self,
        connections: impl IntoIterator<Item = &'a ConnectionConfig>,
    ) -> usize {
        let sizes = connections.into_iter().map(|it| it.fragment_size.unwrap_or(self.fragment_size));
        sizes.min().unwrap_or(self.fragment_size)
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            retransmission: Retransmission::default(),
            half_open: HalfOpenLimits::default(),
            keepalive: Duration::from_secs(20),
            fragment_size: 1280,
            initial_contact: true,
        }
    }
}

impl Default for Retransmission {
    /// As strongSwan, but for the longest wait: 4 s, 7.2 s, 13 s, 23 s, 42 s, given up after 149 s.
    fn default() -> Self {
        Self { first: Duration::from_secs(4), factor: 18, longest: Duration::from_mins(1), tries: 5 }
    }
}

impl Default for HalfOpenLimits {
    fn default() -> Self {
        Self {
            cookie_from: 30,
            cookie_from_per_address: 3,
            total: 4096,
            per_address: 16,
            lifetime: Duration::from_secs(30),
        }
    }
}
