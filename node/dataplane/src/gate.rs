//! What becomes of packets while there is no tunnel for them: dropped and their senders told, or the first ones kept
//! until one stands.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::guard::GuardAction;

/// Packets that are kept at one gate.
const MOST_KEPT: usize = 16;
/// What waited longer has been sent again by its sender, or is not wanted any more.
const PATIENCE: Duration = Duration::from_secs(10);
/// The agent is called at most so often from one gate.
const CALL_INTERVAL: Duration = Duration::from_secs(1);
/// ICMP errors at once, and after how long the next one may follow (RFC 1812 §4.3.2.8, RFC 4443 §2.4 f).
const BURST: u32 = 20;
const ANSWER_INTERVAL: Duration = Duration::from_millis(100);

/// Where packets arrive that nothing can carry now.
pub(crate) struct Gate {
    calls: AtomicBool,
    dropped: AtomicU64,
    state: Mutex<State>,
}

struct State {
    kept: VecDeque<(Instant, Box<[u8]>)>,
    called: Option<Instant>,
    answers: Bucket,
}

/// Tokens, one for each error.
struct Bucket {
    left: u32,
    refilled: Instant,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    /// It is gone.
    Dropped,
    /// It is gone, and its sender is to know.
    Refused,
    Kept,
    /// Kept, and the agent is to know.
    Called,
}

impl Gate {
    /// `dropped`: what a former gate in its place has counted.
    pub(crate) fn new(action: GuardAction, dropped: u64, now: Instant) -> Self {
        Self {
            calls: AtomicBool::new(action == GuardAction::Call),
            dropped: AtomicU64::new(dropped),
            state: Mutex::new(State {
                kept: VecDeque::new(),
                called: None,
                answers: Bucket { left: BURST, refilled: now },
            }),
        }
    }

    pub(crate) fn act(&self, action: GuardAction) {
        let calls = action == GuardAction::Call;
        if self.calls.swap(calls, Ordering::Relaxed) != calls {
            self.release();
        }
    }

    /// A packet has come here instead of to a tunnel. Never waits: where another worker is at it, the packet is
    /// dropped.
    pub(crate) fn meet(&self, packet: &[u8], now: Instant) -> Met {
        let Some(mut state) = self.state.try_lock() else {
            self.count(1);
            return Met::Dropped;
        };
        if !self.calls.load(Ordering::Relaxed) {
            self.count(1);
            return if state.answers.take(now) { Met::Refused } else { Met::Dropped };
        }
        let before = state.kept.len();
        state.kept.retain(|(since, _)| now.saturating_duration_since(*since) < PATIENCE);
        self.count(before - state.kept.len());
        let room = state.kept.len() < MOST_KEPT;
        if room {
            state.kept.push_back((now, packet.into()));
        } else {
            self.count(1);
        }
        let due = |called| now.saturating_duration_since(called) >= CALL_INTERVAL;
        match (state.called.is_none_or(due), room) {
            (true, _) => {
                state.called = Some(now);
                Met::Called
            }
            (false, true) => Met::Kept,
            (false, false) => Met::Dropped,
        }
    }

    /// A tunnel stands: what it shall send.
    pub(crate) fn take(&self, now: Instant) -> Vec<Box<[u8]>> {
        let mut state = self.state.lock();
        state.called = None;
        let kept = std::mem::take(&mut state.kept);
        let all = kept.len();
        let fresh: Vec<_> = kept
            .into_iter()
            .filter(|(since, _)| now.saturating_duration_since(*since) < PATIENCE)
            .map(|(_, packet)| packet)
            .collect();
        self.count(all - fresh.len());
        fresh
    }

    /// Drops what is kept.
    pub(crate) fn release(&self) {
        let mut state = self.state.lock();
        state.called = None;
        self.count(state.kept.len());
        state.kept.clear();
    }

    fn count(&self, packets: usize) {
        self.dropped.fetch_add(packets as u64, Ordering::Relaxed);
    }

    /// Packets that went nowhere, and those that wait.
    pub(crate) fn counts(&self) -> (u64, usize) {
        (self.dropped.load(Ordering::Relaxed), self.state.lock().kept.len())
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let intervals =
            now.saturating_duration_since(self.refilled).as_millis() / ANSWER_INTERVAL.as_millis();
        if intervals > 0 {
            self.refilled = now;
            self.left = self.left.saturating_add(u32::try_from(intervals).unwrap_or(BURST)).min(BURST);
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(action: GuardAction, now: Instant) -> Gate {
        Gate::new(action, 0, now)
    }

    #[test]
    fn the_first_packets_are_kept_for_the_tunnel_and_call_once_a_second() {
        let start = Instant::now();
        let gate = gate(GuardAction::Call, start);
        assert_eq!(gate.meet(&[1], start), Met::Called);
        for number in 2..=16 {
            assert_eq!(gate.meet(&[number], start), Met::Kept);
        }
        assert_eq!(gate.meet(&[17], start), Met::Dropped);
        assert_eq!(gate.meet(&[18], start + CALL_INTERVAL), Met::Called);
        assert_eq!(gate.counts(), (2, 16));
        let sent = gate.take(start + CALL_INTERVAL);
        assert!(sent.iter().map(|packet| packet[0]).eq(1..=16));
        assert_eq!(gate.meet(&[19], start + CALL_INTERVAL), Met::Called, "the tunnel has gone again");
    }

    #[test]
    fn what_waited_too_long_is_not_sent_and_makes_room() {
        let start = Instant::now();
        let gate = gate(GuardAction::Call, start);
        for number in 0..16 {
            gate.meet(&[number], start);
        }
        gate.meet(&[16], start + PATIENCE);
        assert_eq!(gate.counts().0, 16);
        assert_eq!(gate.take(start + 2 * PATIENCE), Vec::<Box<[u8]>>::new());
        assert_eq!(gate.counts().0, 17);
    }

    #[test]
    fn senders_are_told_at_a_bounded_rate() {
        let start = Instant::now();
        let gate = gate(GuardAction::Refuse, start);
        let told = |at: Instant| (0..100).filter(|_| gate.meet(&[0], at) == Met::Refused).count();
        assert_eq!(told(start), 20);
        assert_eq!(told(start + 3 * ANSWER_INTERVAL), 3);
        assert_eq!(told(start + Duration::from_mins(1)), 20);
        assert_eq!(gate.counts().0, 300);
    }

    #[test]
    fn a_gate_that_is_to_refuse_lets_go_of_what_it_kept() {
        let start = Instant::now();
        let gate = gate(GuardAction::Call, start);
        gate.meet(&[1], start);
        gate.act(GuardAction::Refuse);
        assert_eq!(gate.counts(), (1, 0));
        assert_eq!(gate.meet(&[2], start), Met::Refused);
    }
}
