//! Which peers a turn looks at: those that something happened to, and those whose time has come. All others cost nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use twinmesh_control::NodeId;

#[derive(Debug, Default)]
pub(in crate::daemon) struct Agenda {
    touched: BTreeSet<NodeId>,
    due: BTreeSet<(Instant, NodeId)>,
    /// The same by peer.
    times: BTreeMap<NodeId, Instant>,
}

impl Agenda {
    /// Something happened to it.
    pub(in crate::daemon) fn touch(&mut self, id: NodeId) {
        self.touched.insert(id);
    }

    /// When it is to be looked at again.
    pub(in crate::daemon) fn schedule(&mut self, id: NodeId, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.times.insert(id, at),
            None => self.times.remove(&id),
        };
        before.map(|before| self.due.remove(&(before, id)));
        self.due.extend(at.map(|at| (at, id)));
    }

    /// Those to look at now, each of which is to be scheduled afterwards.
    pub(in crate::daemon) fn take(&mut self, now: Instant) -> BTreeSet<NodeId> {
        let mut ids = std::mem::take(&mut self.touched);
        ids.extend(self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id));
        ids
    }

    /// Those that something happened to since the last turn.
    pub(in crate::daemon) fn touched(&self) -> impl Iterator<Item = NodeId> {
        self.touched.iter().copied()
    }

    pub(in crate::daemon) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_turn_looks_at_what_is_due_or_was_touched_and_at_no_idle_pair() {
        let (start, mut agenda) = (Instant::now(), Agenda::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        for id in 0..10_000 {
            agenda.schedule(NodeId(id), Some(at(100 + id)));
        }
        assert_eq!(agenda.take(at(99)), [].into());
        agenda.touch(NodeId(7));
        assert_eq!(agenda.take(at(101)), [0, 1, 7].map(NodeId).into());
        agenda.schedule(NodeId(0), None);
        agenda.schedule(NodeId(1), Some(at(50_000)));
        agenda.schedule(NodeId(7), Some(at(102)));
        assert_eq!(agenda.poll_timeout(), Some(at(102)), "the later time of the same peer does not count");
        assert_eq!(agenda.take(at(102)), [2, 7].map(NodeId).into());
    }
}
