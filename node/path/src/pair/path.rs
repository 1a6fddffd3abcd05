//! What the engine says of a pair.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::settings::{Candidate, Kind};

/// The way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    pub remote: SocketAddr,
    pub kind: Kind,
    /// None: no check was answered yet.
    pub rtt: Option<Duration>,
    /// Longest IP packet that passes, in bytes: outside; of a relayed path inside.
    pub mtu: u16,
}

impl Path {
    /// Over relays, else direct.
    pub fn is_relayed(&self) -> bool {
        self.kind == Kind::Relayed
    }
}

/// Why a path is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A direct path was answered.
    Proven,
    /// The round trip of this direct path is shorter.
    Shorter,
    /// The one in use stopped answering.
    Lost,
    /// The one in use answered checks and passed nothing else.
    Silent,
    /// Nothing direct is proven, and the relay stands.
    Relay,
    /// Not used for long: the direct path is no longer kept open.
    Idle,
    /// Its address was withdrawn, or this node's relay ended.
    Withdrawn,
    /// The same path; what fits through it has changed.
    Size,
}

impl Why {
    /// The stable word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Shorter => "shorter",
            Self::Lost => "lost",
            Self::Silent => "silent",
            Self::Relay => "relay",
            Self::Idle => "idle",
            Self::Withdrawn => "withdrawn",
            Self::Size => "size",
        }
    }
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<I> {
    /// The path to take from now on; `None`: none is known.
    Path { id: I, path: Option<Path>, why: Why },
}

/// A pair, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairStatus {
    pub path: Option<Path>,
    /// When the path's address was chosen.
    pub since: Option<Instant>,
    pub in_use: bool,
    /// Direct paths died lately: none is taken before it has proven itself for so long.
    pub hold: Option<Duration>,
    pub candidates: Vec<CandidateStatus>,
}

/// A candidate, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandidateStatus {
    pub candidate: Candidate,
    pub state: Checked,
}

/// What came of the checks of one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// None was sent.
    Never,
    /// Being tried since then.
    Waiting {
        since: Option<Instant>,
    },
    Answered {
        rtt: Duration,
        at: Instant,
    },
    /// Tried, and silent; `last`: when it answered last.
    Silent {
        last: Option<Instant>,
    },
}

/// A datagram to send from the data port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    pub to: SocketAddr,
    pub datagram: Vec<u8>,
}

/// Whose a datagram was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled<I> {
    /// No check of any pair.
    NotOurs,
    /// A check of this peer's.
    Checked(I),
    /// Its answer to one of ours.
    Answered(I),
    /// It names a pair, and was not made by that peer, answers nothing that was asked, or comes from where nobody can be.
    Refused,
}
