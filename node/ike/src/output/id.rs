//! What SAs are called here.

use std::fmt;

/// One IKE SA of this engine. Never given twice, and kept by no other SA: a rekeyed IKE SA has an id of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IkeSaId(pub(crate) u64);

/// One child SA (a pair of ESP SAs) of this engine. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildSaId(pub(crate) u64);

impl IkeSaId {
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for IkeSaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for ChildSaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
