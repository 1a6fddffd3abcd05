//! Which packets are protected, pass as they are, or go nowhere: the ordered policies of RFC 4301 §4.4.1.

mod cover;
mod index;

use std::sync::Arc;

use crate::selector::{Flow, Selectors};
use index::Index;

/// What happens to a packet. `T` names the SAs that protect it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<T> {
    Protect(T),
    Bypass,
    Discard,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy<T> {
    pub selectors: Selectors,
    pub action: Action<T>,
}

/// An ordered list of policies, of which the first that matches decides. It does not change: a changed list is
/// built anew and published in place of the old one. A clone costs one reference count.
///
/// A look-up walks an index over addresses, protocol and ports, so its cost depends on how deeply policies are
/// nested around the packet's addresses, not on how many there are (`benches/spd.rs`: 100 and 10,000 policies).
pub struct Spd<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    policies: Vec<Policy<T>>,
    index: Index,
}

impl<T> Spd<T> {
    /// The first policy decides first.
    pub fn new(policies: Vec<Policy<T>>) -> Self {
        let index = Index::new(policies.iter().map(|policy| &policy.selectors));
        Self { shared: Arc::new(Shared { policies, index }) }
    }

    /// What to do with a packet that this node sends. `None` if no policy speaks of it, which RFC 4301 §5.1 wants
    /// discarded.
    pub fn lookup(&self, flow: &Flow) -> Option<&Action<T>> {
        self.position(flow).map(|(_, policy)| &policy.action)
    }

    /// What was agreed for a packet that this node receives (RFC 4301 §5.2 step 4).
    pub fn lookup_inbound(&self, flow: &Flow) -> Option<&Action<T>> {
        self.position_inbound(flow).map(|(_, policy)| &policy.action)
    }

    /// The policy that decides about a packet that this node sends, and its place in the list, for those who
    /// explain.
    pub fn position(&self, flow: &Flow) -> Option<(usize, &Policy<T>)> {
        self.find(&index::Key::outbound(flow), |selectors| selectors.allows_outbound(flow))
    }

    /// The same for a packet that this node receives.
    pub fn position_inbound(&self, flow: &Flow) -> Option<(usize, &Policy<T>)> {
        self.find(&index::Key::inbound(flow), |selectors| selectors.allows_inbound(flow))
    }

    /// All of them, in order.
    pub fn policies(&self) -> &[Policy<T>] {
        &self.shared.policies
    }

    fn find(&self, key: &index::Key, allows: impl Fn(&Selectors) -> bool) -> Option<(usize, &Policy<T>)> {
        let policy = |position| self.shared.policies.get(position);
        let found = self.shared.index.first(key, |at| policy(at).is_some_and(|at| allows(&at.selectors)));
        found.and_then(|position| Some((position, policy(position)?)))
    }
}

impl<T> Clone for Spd<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Default for Spd<T> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl<T> FromIterator<Policy<T>> for Spd<T> {
    fn from_iter<I: IntoIterator<Item = Policy<T>>>(policies: I) -> Self {
        Self::new(policies.into_iter().collect())
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Spd<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.shared.policies).finish()
    }
}

#[cfg(test)]
mod tests;
