//! What happens as time passes.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use twinmesh_wireguard::{PeerIndex, PublicKey};

use super::Control;
use crate::peer_slot::PeerSlot;
use crate::table::Table;

/// Fine enough to find a lost peer within 2 s; for peers that something happened to.
const TICK: Duration = Duration::from_millis(100);

/// How soon a narrower path is seen: a short look at each ESP tunnel, and some system calls for what was sent to.
const PATHS_INTERVAL: Duration = Duration::from_secs(1);

/// How often all peers are looked at, for what no worker has told of; some 1.4 µs for each.
const ROUND: Duration = Duration::from_secs(5);

impl Control {
    /// Runs the timers until told to stop; unparked then.
    pub(crate) fn run_timers(&self) {
        let mut next = Instant::now() + TICK;
        let mut next_paths = Instant::now();
        let mut next_round = next_paths;
        let mut watched = HashSet::new();
        while !self.shared.stop.load(Ordering::Acquire) {
            let now = Instant::now();
            if now < next {
                thread::park_timeout(next - now);
                continue;
            }
            next = now + TICK;
            self.shared.device.tick();
            let table = self.shared.table.load();
            if now >= next_round {
                next_round = now + ROUND;
                self.look_at_all(&table);
            }
            let again = now >= next_paths;
            if again {
                next_paths = now + PATHS_INTERVAL;
                let tunnels = table.esp.tunnels().iter();
                tunnels.for_each(|tunnel| self.look_at_esp_way(tunnel, &table.relays, now));
            }
            watched.extend(self.watchlist.take());
            self.look_at_watched(&mut watched, &table, again, now);
        }
    }

    /// Peers that inner packets went to or came from since this was last asked.
    pub(crate) fn take_used(&self) -> Vec<PublicKey> {
        let used = std::mem::take(&mut *self.used.lock());
        let table = self.shared.table.load();
        used.into_iter().filter_map(|peer| table.by_index(peer)).map(|slot| slot.key).collect()
    }

    fn look_at_all(&self, table: &Table) {
        for slot in table.peers() {
            if slot.is_at_rest() {
                self.look_at_way(slot, &table.relays, true);
            } else {
                slot.watch.call();
            }
        }
    }

    fn look_at_watched(&self, watched: &mut HashSet<PeerIndex>, table: &Table, again: bool, now: Instant) {
        watched.retain(|index| {
            // What a removed peer leaves goes.
            let Some(slot) = table.by_index(*index) else { return false };
            self.look_at(slot, table, again, now);
            if !slot.is_at_rest() {
                return true;
            }
            slot.watch.end();
            // What happened since then has called in vain.
            if !slot.is_at_rest() {
                slot.watch.call();
            }
            false
        });
    }

    fn look_at(&self, slot: &PeerSlot, table: &Table, again: bool, now: Instant) {
        self.port.act_on(slot, &table.relays, |peer, out| peer.tick(out, now));
        self.look_at_engines(slot, &table.relays, now);
        self.look_at_way(slot, &table.relays, again);
        if slot.engines.take_used() {
            self.used.lock().insert(slot.index);
        }
    }
}
