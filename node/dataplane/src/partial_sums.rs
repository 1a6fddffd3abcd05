//! Whether checksums of TCP and UDP travel partial to a peer and from it. Each direction is agreed on by itself, inside
//! each session of WireGuard and each pair of SAs, by the flag of a probe:
//!
//! ```text
//!   sender                                                receiver
//!   whole ──── request, flagged ("may they be partial?") ──► takes them from here on
//!   partial from here on ◄──── answer, flagged ("yes") ─────  in what sealed the answer
//! ```
//!
//! So nothing partial is sent before the receiver takes it, and nothing to a program that has started again, whatever its
//! version: sessions end with the process that holds their keys. Who does not know the flag never agrees.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use twinmesh_packet::Sums;

use crate::status::PartialChecksums;

/// While nothing is agreed on and something is sent, it is asked for again: at first so soon…
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// …and at last so seldom: a peer of an older version never agrees.
const LONGEST_INTERVAL: Duration = Duration::from_mins(1);

/// What was agreed on in one pair of SAs.
#[derive(Debug, Default)]
pub(crate) struct Agreed {
    sends: AtomicBool,
    takes: AtomicBool,
}

impl Agreed {
    /// From the start and both ways, by hand.
    pub(crate) fn by_hand(partial: bool) -> Self {
        Self { sends: AtomicBool::new(partial), takes: AtomicBool::new(partial) }
    }

    /// The peer takes them.
    pub(crate) fn send(&self) {
        self.sends.store(true, Ordering::Relaxed);
    }

    /// The peer is about to be told that it may send them.
    pub(crate) fn take(&self) {
        self.takes.store(true, Ordering::Relaxed);
    }

    pub(crate) fn sends(&self) -> bool {
        self.sends.load(Ordering::Relaxed)
    }

    /// How checksums come in by it.
    pub(crate) fn incoming(&self) -> Sums {
        sums(self.takes.load(Ordering::Relaxed))
    }

    pub(crate) fn status(&self) -> PartialChecksums {
        PartialChecksums { sent: self.sends(), taken: self.takes.load(Ordering::Relaxed) }
    }
}

/// Of one peer, what holds for all its sessions.
#[derive(Debug, Default)]
pub(crate) struct PartialSums {
    /// This end asks, and answers yes.
    wanted: AtomicBool,
    /// It asked at least once, so the peer may take whole checksums for partial ones.
    asked: AtomicBool,
    /// A whole one was made that had better been partial.
    missed: AtomicBool,
    questions: Mutex<Questions>,
}

#[derive(Debug, Default)]
struct Questions {
    next: Option<Instant>,
    /// What was waited last.
    interval: Duration,
}

impl PartialSums {
    /// Whether to ask, and to answer yes. What was answered already is kept until its session ends: the peer relies on it.
    pub(crate) fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    pub(crate) fn wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// How a packet's checksum goes out by what the peer agreed to or not.
    pub(crate) fn outgoing(&self, agreed: bool) -> Sums {
        if !self.wanted() {
            return Sums::Full;
        }
        if !agreed && !self.missed.load(Ordering::Relaxed) {
            self.missed.store(true, Ordering::Relaxed);
        }
        sums(agreed)
    }

    /// The flag of a request that is about to be sealed.
    pub(crate) fn asks(&self) -> bool {
        let asks = self.wanted();
        if asks {
            self.asked.store(true, Ordering::Relaxed);
        }
        asks
    }

    /// Whether no packet may go to the peer whose checksum it would take for a partial one and so make right.
    pub(crate) fn guards(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// The peer agreed: in its next session it is asked at once.
    pub(crate) fn agreed(&self) {
        *self.questions.lock() = Questions::default();
        self.missed.store(false, Ordering::Relaxed);
    }

    /// Whether to ask now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        if !self.missed.load(Ordering::Relaxed) || !self.wanted() {
            return false;
        }
        let mut questions = self.questions.lock();
        if questions.next.is_some_and(|next| now < next) {
            return false;
        }
        self.missed.store(false, Ordering::Relaxed);
        questions.interval = (questions.interval * 2).clamp(ASK_INTERVAL, LONGEST_INTERVAL);
        questions.next = Some(now + questions.interval);
        true
    }
}

/// In the notes of a session of WireGuard ([`twinmesh_wireguard::Peer::note`]): the peer takes them.
pub(crate) const SENDS: u8 = 1;
/// There too: the peer is told that it may send them.
pub(crate) const TAKES: u8 = 2;

pub(crate) const fn sums(partial: bool) -> Sums {
    if partial { Sums::Partial } else { Sums::Full }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_for_while_whole_checksums_are_made_in_vain() {
        let (sums, start) = (PartialSums::default(), Instant::now());
        assert_eq!(sums.outgoing(true), Sums::Full, "not wanted");
        assert!(!sums.is_due(start));
        sums.want(true);
        assert!(!sums.is_due(start), "nothing is sent");
        assert_eq!(sums.outgoing(false), Sums::Full);
        assert!(sums.is_due(start));
        assert!(!sums.is_due(start + ASK_INTERVAL), "nothing more is sent");
        assert_eq!(sums.outgoing(true), Sums::Partial);
        assert!(!sums.is_due(start + 3 * ASK_INTERVAL), "agreed");
    }

    #[test]
    fn who_never_agrees_is_asked_ever_more_seldom_and_who_did_at_once_in_the_next_session() {
        let (sums, start) = (PartialSums::default(), Instant::now());
        sums.want(true);
        let asked = |seconds: u64| {
            sums.outgoing(false);
            sums.is_due(start + Duration::from_secs(seconds))
        };
        let when: Vec<u64> = (0..200).filter(|second| asked(*second)).collect();
        assert_eq!(when, [0, 1, 3, 7, 15, 31, 63, 123, 183]);
        sums.agreed();
        sums.outgoing(false);
        assert!(sums.is_due(start + Duration::from_secs(184)));
    }

    #[test]
    fn who_has_asked_guards_for_good() {
        let sums = PartialSums::default();
        assert_eq!((sums.asks(), sums.guards()), (false, false));
        sums.want(true);
        assert_eq!((sums.asks(), sums.guards()), (true, true));
        sums.want(false);
        assert_eq!((sums.asks(), sums.guards()), (false, true));
    }
}
