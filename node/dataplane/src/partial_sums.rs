//! Whether checksums of TCP and UDP travel partial to a peer and from it. Each direction is agreed on by itself, by the flag
//! of a probe inside the tunnel:
//!
//! ```text
//!   sender                                                receiver
//!   whole ──── request, flagged ("may they be partial?") ──► takes them from here on
//!   partial from here on ◄──── answer, flagged ("yes") ─────
//! ```
//!
//! So nothing partial is sent before the receiver takes it. It holds for one pair of SAs; in WireGuard, for the sender
//! until the next session is confirmed, and for the receiver some sessions longer. So nothing partial is sent to a program
//! that has started again, whatever its version: its keys are new. Who does not know the flag never agrees.
//!
//! A session alone would not do: where both ends of WireGuard begin one at the same time, one may send in this and the
//! other in that.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    pub(crate) wireguard: SessionSums,
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

    /// The peer is about to be asked.
    pub(crate) fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
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

/// Of the sessions of WireGuard with one peer. It changes under the lock of the peer's session only.
#[derive(Debug, Default)]
pub(crate) struct SessionSums {
    /// How many sessions had been confirmed ([`twinmesh_wireguard::Peer::sessions`]) when the peer agreed; 0: never.
    sends: AtomicU64,
    /// When it was last told that it may send them; 0: never.
    takes: AtomicU64,
}

/// As many sessions stand beside each other in `boringtun`, and packets of each may be under way.
const SESSIONS_KEPT: u64 = 8;

impl SessionSums {
    /// The keys are others, and sessions are counted anew.
    pub(crate) fn forget(&self) {
        self.sends.store(0, Ordering::Relaxed);
        self.takes.store(0, Ordering::Relaxed);
    }

    /// The peer agreed to a question that was asked when so many sessions had been confirmed.
    pub(crate) fn send(&self, asked: u64) {
        self.sends.store(asked, Ordering::Relaxed);
    }

    /// The peer is about to be told that it may send them.
    pub(crate) fn take(&self, sessions: u64) {
        self.takes.store(sessions, Ordering::Relaxed);
    }

    pub(crate) fn sends(&self, sessions: u64) -> bool {
        let sends = self.sends.load(Ordering::Relaxed);
        sends != 0 && sends == sessions
    }

    /// How checksums come in.
    pub(crate) fn incoming(&self, sessions: u64) -> Sums {
        let takes = self.takes.load(Ordering::Relaxed);
        sums(takes != 0 && sessions.wrapping_sub(takes) <= SESSIONS_KEPT)
    }

    pub(crate) fn status(&self, sessions: u64) -> PartialChecksums {
        PartialChecksums { sent: self.sends(sessions), taken: self.incoming(sessions) == Sums::Partial }
    }
}

pub(crate) const fn sums(partial: bool) -> Sums {
    if partial { Sums::Partial } else { Sums::Full }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_agreed_on_in_wireguard_is_sent_until_the_next_session_and_taken_for_some_more() {
        let sums = SessionSums::default();
        assert_eq!((sums.sends(0), sums.incoming(0)), (false, Sums::Full), "nothing was asked");
        sums.send(3);
        sums.take(3);
        assert_eq!((sums.sends(3), sums.incoming(3)), (true, Sums::Partial));
        assert_eq!((sums.sends(4), sums.incoming(4)), (false, Sums::Partial));
        assert_eq!(sums.incoming(3 + SESSIONS_KEPT), Sums::Partial);
        assert_eq!(sums.incoming(4 + SESSIONS_KEPT), Sums::Full);
        // An answer that was long under way.
        sums.send(3);
        assert!(!sums.sends(5));
        sums.forget();
        assert_eq!((sums.sends(3), sums.incoming(3)), (false, Sums::Full));
    }

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
        sums.want(true);
        assert!(!sums.guards());
        sums.ask();
        sums.want(false);
        assert!(sums.guards());
    }
}
