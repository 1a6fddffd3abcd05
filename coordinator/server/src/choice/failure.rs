//! Protocols that failed between two nodes, and for how long they are avoided.

use twinmesh_control::{FailedProtocol, FailureCode, NodeId, Protocol, TunnelReport};

use crate::name::is_word;

/// A protocol that fails for the first time is avoided for so long, in seconds, and for twice as long after each further
/// time: what fails now and then does not change the protocol now and then.
const FIRST: i64 = 10 * 60;
const LONGEST: i64 = 24 * 60 * 60;
/// How long after it may be used again a failure counts as one of several.
const MEMORY: i64 = 24 * 60 * 60;

/// A protocol that failed between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// WireGuard or ESP.
    pub protocol: Protocol,
    pub code: FailureCode,
    /// The end that said so.
    pub reporter: NodeId,
    /// How often it failed, this time included, since it was last forgotten.
    pub times: u32,
    /// Unix time.
    pub failed_at: i64,
    /// Unix time at which it may be tried again.
    pub until: i64,
    /// Until then; afterwards it is only remembered.
    pub is_avoided: bool,
}

impl Failure {
    /// What a node says of a protocol that is not avoided. `before` is what is remembered of it.
    fn new(said: &FailedProtocol, reporter: NodeId, before: Option<&Self>, now: i64) -> Self {
        let before = before.filter(|before| before.is_remembered(now));
        let times = before.map_or(1, |before| before.times.saturating_add(1));
        // The eighth doubling is over the longest time already.
        let hold = (FIRST << (times - 1).min(8)).min(LONGEST);
        Self {
            protocol: said.protocol.clone(),
            code: said.code.clone(),
            reporter,
            times,
            failed_at: now,
            until: now.saturating_add(hold),
            is_avoided: true,
        }
    }

    /// Whether the next one is one of several.
    pub fn is_remembered(&self, now: i64) -> bool {
        self.is_avoided || now < self.until.saturating_add(MEMORY)
    }

    /// The same after its time.
    #[must_use]
    pub fn ended(&self) -> Self {
        Self { is_avoided: false, ..self.clone() }
    }

    /// What the node saw, as part of a sentence.
    pub fn words(&self) -> &'static str {
        match self.code {
            FailureCode::NoHandshake => "no answer to the handshake",
            FailureCode::NoAnswer => "keys were agreed, but nothing came back",
            FailureCode::NotUpInTime => "not up in time",
            FailureCode::NotAgreed => "no agreement on algorithms or identities",
            FailureCode::Other(_) => "a cause that this version does not know",
        }
    }
}

/// The failure that a tunnel's report tells, if it counts. It does if the chosen protocol failed under the very choice
/// that is in force, and the node now sends by the other one, which works: of a peer that is away, both fail, and no
/// protocol is to blame. One that is avoided already is not counted again.
pub fn counted(
    tunnel: &TunnelReport,
    chosen: (&Protocol, twinmesh_control::Generation),
    known: &[Failure],
    reporter: NodeId,
    now: i64,
) -> Option<Failure> {
    let (protocol, generation) = chosen;
    let works = other(protocol)?;
    let other_failed = tunnel.failed.iter().any(|failed| failed.protocol == works);
    if tunnel.protocol != works || other_failed {
        return None;
    }
    let said = tunnel.failed.iter().find(|said| {
        said.protocol == *protocol && said.generation == generation && is_word(said.code.as_str())
    })?;
    let before = known.iter().find(|failure| failure.protocol == *protocol);
    let is_new = before.is_none_or(|before| !before.is_avoided);
    is_new.then(|| Failure::new(said, reporter, before, now))
}

/// What can stand in for a protocol.
pub(super) fn other(protocol: &Protocol) -> Option<Protocol> {
    match protocol {
        Protocol::Wireguard => Some(Protocol::Esp),
        Protocol::Esp => Some(Protocol::Wireguard),
        Protocol::None | Protocol::Other(_) => None,
    }
}
