//! What happened to the tunnels of each peer, for `twinmesh explain`: the last of it, in words.

use std::collections::{BTreeMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use twinmesh_control::NodeId;

use crate::api::Happening;

/// Of one peer: enough for a night of trouble.
const MOST_HAPPENINGS: usize = 32;
/// More peers are not kept in mind: the one that was quiet for the longest time goes.
const MOST_PEERS: usize = 1_000;

/// Bounded, whatever happens how often.
#[derive(Debug, Default)]
pub(super) struct History(BTreeMap<NodeId, VecDeque<Happening>>);

impl History {
    /// Something happened now. Of the same news twice in a row only the last is kept.
    pub(super) fn note(&mut self, peer: NodeId, text: impl Into<String>) {
        self.note_at(SystemTime::now(), peer, text.into());
    }

    fn note_at(&mut self, at: SystemTime, peer: NodeId, text: String) {
        if !self.0.contains_key(&peer)
            && self.0.len() >= MOST_PEERS
            && let Some(quiet) = self.quietest()
        {
            self.0.remove(&quiet);
        }
        let time = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let happened = self.0.entry(peer).or_default();
        if happened.back().is_some_and(|last| last.text == text) {
            happened.pop_back();
        } else if happened.len() >= MOST_HAPPENINGS {
            happened.pop_front();
        }
        happened.push_back(Happening { time_ms, text });
    }

    /// The oldest first.
    pub(super) fn of(&self, peer: NodeId) -> Vec<Happening> {
        self.0.get(&peer).into_iter().flatten().cloned().collect()
    }

    /// Another network has other nodes by these numbers.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn quietest(&self) -> Option<NodeId> {
        let newest = |(peer, happened): (&NodeId, &VecDeque<Happening>)| {
            (happened.back().map(|last| last.time_ms), *peer)
        };
        self.0.iter().map(newest).min().map(|(_, peer)| peer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn second(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn the_last_happenings_of_a_peer_are_kept_in_their_order() {
        let mut history = History::default();
        for number in 0..100 {
            history.note_at(second(number), NodeId(7), format!("news {number}"));
        }
        let kept = history.of(NodeId(7));
        assert_eq!(kept.len(), MOST_HAPPENINGS);
        assert_eq!(kept.last(), Some(&Happening { time_ms: 99_000, text: "news 99".to_owned() }));
        assert!(kept.is_sorted_by_key(|happening| happening.time_ms));
        assert_eq!(history.of(NodeId(8)), []);
    }

    #[test]
    fn the_same_news_again_is_told_once_with_its_last_time() {
        let mut history = History::default();
        for (at, text) in [(1, "up"), (2, "up"), (3, "down"), (4, "up")] {
            history.note_at(second(at), NodeId(7), text.to_owned());
        }
        let told: Vec<_> =
            history.of(NodeId(7)).into_iter().map(|told| (told.time_ms / 1000, told.text)).collect();
        assert_eq!(told, [(2, "up".to_owned()), (3, "down".to_owned()), (4, "up".to_owned())]);
    }

    #[test]
    fn of_too_many_peers_the_one_that_was_quiet_longest_is_forgotten() {
        let mut history = History::default();
        for peer in 0..MOST_PEERS as u64 {
            history.note_at(second(peer), NodeId(peer), "up".to_owned());
        }
        history.note_at(second(9_999), NodeId(0), "moved".to_owned());
        history.note_at(second(10_000), NodeId(77_777), "up".to_owned());
        assert_eq!(history.0.len(), MOST_PEERS);
        assert_eq!((history.of(NodeId(0)).len(), history.of(NodeId(1)).len()), (2, 0));
    }
}
