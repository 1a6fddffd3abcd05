//! Outputs in words.

use std::fmt;

use super::DeleteReason;

impl fmt::Display for DeleteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested => "ended here",
            Self::ByPeer => "deleted by the peer",
            Self::Rekeyed => "another has taken its place",
            Self::Redundant => "both ends rekeyed at once, and the other one stays",
            Self::PeerDead => "the peer answers no longer",
            Self::Replaced => "the peer has begun anew",
            Self::Expired => "its lifetime ended before it had new keys",
            Self::IkeSaGone => "its IKE SA ended",
            Self::Inconsistent => "the two ends do not agree on it",
        })
    }
}
