//! One direction of an impaired link: when each frame arrives, if it does. No clock, no I/O.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use crate::scenario::{Impairment, Rate};

/// A frame waits for the link's rate no longer than this; the queue's tail is dropped. Same as the
/// queue of a plain link with a rate.
const QUEUE: Duration = Duration::from_millis(50);
/// How much later than the others a reordered frame comes, at least.
const HOLD_BACK: Duration = Duration::from_millis(10);
/// Frames under way at once, whatever rate and delay say: bounds the memory.
const CAPACITY: usize = 50_000;

/// Frames under way in one direction.
#[derive(Debug)]
pub(super) struct Lane {
    impairment: Impairment,
    rate: Option<Rate>,
    random: fastrand::Rng,
    /// When the link has sent all it has taken.
    free_at: Option<Instant>,
    /// Arrival of the last frame that was not reordered; none may come before it.
    last: Option<Instant>,
    frames: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
    count: u64,
}

impl Lane {
    /// `direction` 0 or 1: the two directions draw different numbers from one seed.
    pub(super) fn new(impairment: Impairment, rate: Option<Rate>, direction: u64) -> Self {
        Self {
            impairment,
            rate,
            random: fastrand::Rng::with_seed(impairment.seed.wrapping_mul(2).wrapping_add(direction)),
            free_at: None,
            last: None,
            frames: BinaryHeap::new(),
            count: 0,
        }
    }

    /// Changes what happens to frames from now on; those under way are not touched.
    pub(super) fn change(&mut self, impairment: Impairment, rate: Option<Rate>, direction: u64) {
        if impairment.seed != self.impairment.seed {
            self.random = fastrand::Rng::with_seed(impairment.seed.wrapping_mul(2).wrapping_add(direction));
        }
        (self.impairment, self.rate) = (impairment, rate);
    }

    /// Takes a frame that was sent at `now`: loses, delays, doubles it.
    pub(super) fn push(&mut self, frame: &[u8], now: Instant) {
        // All numbers are drawn for every frame, so that a change of one property does not change what
        // the others decide.
        let [lost, doubled, reordered, spread] = [(); 4].map(|()| self.random.f64());
        let Some(sent) = self.transmit(frame.len(), now) else { return };
        if lost < self.impairment.loss.probability() || self.frames.len() >= CAPACITY {
            return;
        }
        let Impairment { delay, jitter, .. } = self.impairment;
        let earliest = delay.0.saturating_sub(jitter.0);
        let width = (delay.0 + jitter.0).saturating_sub(earliest);
        let mut due = sent + earliest + width.mul_f64(spread);
        if reordered < self.impairment.reorder.probability() {
            due += HOLD_BACK.max(delay.0 / 4);
        } else {
            due = self.last.map_or(due, |last| due.max(last));
            self.last = Some(due);
        }
        let copies = if doubled < self.impairment.duplicate.probability() { 2 } else { 1 };
        for _ in 0..copies {
            self.frames.push(Reverse((due, self.count, frame.to_vec())));
            self.count += 1;
        }
    }

    /// When the frame has left the sender, by the link's rate; `None` if the queue is full.
    fn transmit(&mut self, length: usize, now: Instant) -> Option<Instant> {
        let Some(Rate(rate)) = self.rate else { return Some(now) };
        let start = self.free_at.map_or(now, |free_at| free_at.max(now));
        if start.duration_since(now) > QUEUE {
            return None;
        }
        let bits = u64::try_from(length).unwrap_or(u64::MAX).saturating_mul(8);
        let sent = start + Duration::from_nanos(bits.saturating_mul(1_000_000_000) / rate.max(1));
        self.free_at = Some(sent);
        Some(sent)
    }

    /// When the next frame arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        self.frames.peek().map(|Reverse((due, ..))| *due)
    }

    /// The next frame that has arrived by `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.due().filter(|due| *due <= now)?;
        self.frames.pop().map(|Reverse((_, _, frame))| frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Percent, Span};

    /// Sends 1,000 frames, one each millisecond; returns (number, time under way) in order of arrival.
    fn arrivals(impairment: Impairment, rate: Option<Rate>) -> Vec<(u64, Duration)> {
        let start = Instant::now();
        let mut lane = Lane::new(impairment, rate, 0);
        let sent = |number: u64| start + Duration::from_millis(number);
        for number in 0..1000_u64 {
            lane.push(&number.to_be_bytes(), sent(number));
        }
        let mut arrived = Vec::new();
        while let Some(due) = lane.due() {
            let frame = lane.pop(due).unwrap();
            let number = u64::from_be_bytes(frame.try_into().unwrap());
            arrived.push((number, due - sent(number)));
        }
        arrived
    }

    fn is_sorted(arrived: &[(u64, Duration)]) -> bool {
        arrived.is_sorted_by_key(|(number, _)| *number)
    }

    #[test]
    fn a_frame_is_under_way_for_the_delay() {
        let delay = Span(Duration::from_millis(20));
        let arrived = arrivals(Impairment { delay, ..Impairment::default() }, None);
        assert_eq!(arrived.len(), 1000);
        assert!(arrived.iter().all(|(_, time)| *time == delay.0));
    }

    #[test]
    fn jitter_spreads_the_delay_and_keeps_the_order() {
        let (delay, jitter) = (Span(Duration::from_millis(20)), Span(Duration::from_millis(5)));
        let arrived = arrivals(Impairment { delay, jitter, ..Impairment::default() }, None);
        assert!(is_sorted(&arrived));
        let times = || arrived.iter().map(|(_, time)| *time);
        assert!(times().min().unwrap() >= Duration::from_millis(15));
        assert!(times().max().unwrap() <= Duration::from_millis(25));
        assert!(times().max().unwrap() > times().min().unwrap() + Duration::from_millis(5));
    }

    #[test]
    fn loss_and_duplication_take_their_share_and_the_same_seed_repeats_it() {
        let lossy = Impairment { loss: Percent(20.0), seed: 7, ..Impairment::default() };
        let arrived = arrivals(lossy, None);
        assert!((750..850).contains(&arrived.len()), "{}", arrived.len());
        assert_eq!(arrived, arrivals(lossy, None));
        assert_ne!(arrived, arrivals(Impairment { seed: 8, ..lossy }, None));
        let doubled = arrivals(Impairment { duplicate: Percent(10.0), ..Impairment::default() }, None);
        assert!((1050..1150).contains(&doubled.len()), "{}", doubled.len());
    }

    #[test]
    fn reordered_frames_are_overtaken() {
        let arrived = arrivals(Impairment { reorder: Percent(10.0), ..Impairment::default() }, None);
        assert_eq!(arrived.len(), 1000);
        let late = arrived.iter().filter(|(_, time)| *time >= HOLD_BACK).count();
        assert!((50..150).contains(&late), "{late}");
        assert!(!is_sorted(&arrived));
    }

    #[test]
    fn a_rate_lets_through_what_fits_and_drops_the_rest() {
        // Eight bytes each millisecond are 64 kbit/s, twice the rate.
        let arrived = arrivals(Impairment::default(), Some(Rate(32_000)));
        assert!((500..560).contains(&arrived.len()), "{}", arrived.len());
        assert!(arrived.iter().all(|(_, time)| *time <= QUEUE + Duration::from_millis(2)));
    }
}
