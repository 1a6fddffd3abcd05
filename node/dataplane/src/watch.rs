//! Which peers the timers look at each tick: those that something happened to. The others cost a short look now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use twinmesh_wireguard::PeerIndex;

/// The calls of all peers of a data plane, for its timers.
#[derive(Default)]
pub(crate) struct Watchlist(Mutex<Vec<PeerIndex>>);

impl Watchlist {
    /// Those that have called since they were last taken.
    pub(crate) fn take(&self) -> Vec<PeerIndex> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// Whether one peer is looked at each tick.
pub(crate) struct Watch {
    peer: PeerIndex,
    is_watched: AtomicBool,
    list: Arc<Watchlist>,
}

impl Watch {
    pub(crate) const fn new(peer: PeerIndex, list: Arc<Watchlist>) -> Self {
        Self { peer, is_watched: AtomicBool::new(false), list }
    }

    /// Something happened to it. Costs one look at a flag but for the first time.
    pub(crate) fn call(&self) {
        if !self.is_watched.load(Ordering::Relaxed) && !self.is_watched.swap(true, Ordering::AcqRel) {
            self.list.0.lock().push(self.peer);
        }
    }

    /// The timers have nothing to do for it. Calls up to now are over: look once more afterwards.
    pub(crate) fn end(&self) {
        self.is_watched.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_listed_once_until_its_watch_has_ended() {
        let list = Arc::new(Watchlist::default());
        let index = PeerIndex::of_receiver(0x100);
        let watch = Watch::new(index, Arc::clone(&list));
        watch.call();
        watch.call();
        assert_eq!(list.take(), [index]);
        watch.call();
        assert_eq!(list.take(), []);
        watch.end();
        watch.call();
        assert_eq!(list.take(), [index]);
    }
}
