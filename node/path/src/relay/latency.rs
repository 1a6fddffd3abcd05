//! How far each relay is: binding requests (RFC 8489), which a relay answers to everybody.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stun_types::message::TransactionId;

use crate::message::{Answer, request};

/// Requests of one round, and the time between two.
const REQUESTS: usize = 4;
const INTERVAL: Duration = Duration::from_millis(200);
/// A round without any answer goes on for so long.
const MOST_REQUESTS: usize = 12;
/// Between two rounds; sooner where a relay does not answer.
const PAUSE: Duration = Duration::from_secs(30);
const PAUSE_OF_SILENT: Duration = Duration::from_secs(5);
/// Without an answer for so long, UDP does not pass there.
const SILENCE: Duration = Duration::from_secs(2);

/// One relay's distance.
#[derive(Debug)]
pub(super) struct Latency {
    pub(super) server: SocketAddr,
    /// Of this round.
    asked: Vec<(TransactionId, Instant)>,
    best: Option<Duration>,
    /// Of the last round that had an answer.
    round_trip: Option<Duration>,
    /// When the first request without any answer since was sent.
    unanswered: Option<Instant>,
    due: Instant,
}

impl Latency {
    pub(super) fn new(server: SocketAddr, now: Instant) -> Self {
        Self { server, asked: Vec::new(), best: None, round_trip: None, unanswered: None, due: now }
    }

    /// A round begins now, if none is under way.
    pub(super) fn measure(&mut self, now: Instant) {
        if self.due > now + INTERVAL {
            self.due = now;
        }
    }

    /// What was known is of another network.
    pub(super) fn forget(&mut self, now: Instant) {
        *self = Self::new(self.server, now);
    }

    /// The shortest round trip lately; `None` if it does not answer.
    pub(super) fn round_trip(&self, now: Instant) -> Option<Duration> {
        let shortest = self.best.into_iter().chain(self.round_trip).min();
        shortest.filter(|_| !self.is_silent(now))
    }

    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.unanswered.is_some_and(|since| since + SILENCE <= now)
    }

    /// Whether it is not known yet if it answers.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.round_trip(now).is_none() && !self.is_silent(now)
    }

    pub(super) fn poll_timeout(&self, now: Instant) -> Instant {
        let silent = self.unanswered.map(|since| since + SILENCE).filter(|at| *at > now);
        silent.map_or(self.due, |silent| silent.min(self.due))
    }

    /// The next request, if it is due.
    pub(super) fn poll_request(&mut self, random: &mut fastrand::Rng, now: Instant) -> Option<Vec<u8>> {
        if self.due > now {
            return None;
        }
        let enough = if self.best.is_some() { REQUESTS } else { MOST_REQUESTS };
        if self.asked.len() >= enough {
            self.asked.clear();
            if self.best.is_some() {
                self.unanswered = None;
            }
            self.round_trip = self.best.take().or(self.round_trip);
            self.due = now + if self.unanswered.is_some() { PAUSE_OF_SILENT } else { PAUSE };
            return None;
        }
        let id: TransactionId = random.u128(..).into();
        self.asked.push((id, now));
        self.unanswered.get_or_insert(now);
        self.due = now + INTERVAL;
        Some(request(id))
    }

    /// An answer came in; false if it is to none of these requests.
    pub(super) fn handle_answer(&mut self, answer: &Answer, now: Instant) -> bool {
        let Some((_, sent)) = self.asked.iter().find(|(id, _)| *id == answer.id) else { return false };
        let round_trip = now.saturating_duration_since(*sent);
        self.best = Some(self.best.map_or(round_trip, |best| best.min(round_trip)));
        self.unanswered = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    /// Asks until the pause; the requests' times.
    fn round(latency: &mut Latency, start: Instant, answer_after: Option<u64>) -> Vec<u128> {
        let (mut random, mut asked, mut now) = (fastrand::Rng::with_seed(1), Vec::new(), latency.due);
        while latency.poll_request(&mut random, now).is_some() {
            asked.push(now.duration_since(start).as_millis());
            if let Some(millis) = answer_after {
                let id = latency.asked.last().unwrap().0;
                let mapped = "203.0.113.1:9".parse().unwrap();
                assert!(latency.handle_answer(&Answer { id, mapped, other: None }, at(now, millis)));
            }
            now = latency.due;
        }
        asked
    }

    #[test]
    fn the_shortest_of_four_round_trips_counts_until_the_next_round() {
        let start = Instant::now();
        let mut latency = Latency::new("192.0.2.1:3478".parse().unwrap(), start);
        assert_eq!(round(&mut latency, start, Some(7)), [0, 200, 400, 600]);
        assert_eq!(latency.round_trip(at(start, 700)), Some(Duration::from_millis(7)));
        assert_eq!(latency.poll_timeout(at(start, 800)), at(start, 30_800));
        round(&mut latency, start, Some(9));
        assert_eq!(latency.round_trip(at(start, 32_000)), Some(Duration::from_millis(9)));
    }

    #[test]
    fn a_relay_that_never_answers_is_silent_after_two_seconds_and_asked_again_soon() {
        let start = Instant::now();
        let mut latency = Latency::new("192.0.2.1:3478".parse().unwrap(), start);
        assert_eq!(round(&mut latency, start, None).len(), 12);
        assert!(!latency.is_silent(at(start, 1999)) && latency.is_silent(at(start, 2000)));
        assert_eq!(latency.poll_timeout(at(start, 2400)), at(start, 7400));
        round(&mut latency, start, Some(5));
        assert_eq!(latency.round_trip(at(start, 8000)), Some(Duration::from_millis(5)));
    }
}
