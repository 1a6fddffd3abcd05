//! Which relay is home: the nearest, but not another one every time that two are about as near.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Transport;

/// A relay must be nearer by a quarter, and by so much, to be worth a change…
const WORTH: Duration = Duration::from_millis(5);
/// …and stay so for so long, which is two rounds of measuring.
const STEADY: Duration = Duration::from_secs(45);
/// After UDP has failed, it is not home again before.
const FIRST_REST: Duration = Duration::from_secs(10);
const LONGEST_REST: Duration = Duration::from_mins(5);

/// A relay that would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) server: SocketAddr,
    pub(super) round_trip: Duration,
}

/// What the choice remembers.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// A nearer relay, and since when.
    nearer: Option<(SocketAddr, Instant)>,
    /// Until when UDP rests, and how long.
    rest: Option<(Instant, Duration)>,
    /// Since when UDP is home.
    steady: Option<Instant>,
}

impl Choice {
    /// The nearest candidate.
    pub(super) fn nearest(candidates: &[Candidate]) -> Option<Candidate> {
        candidates.iter().copied().min_by_key(|candidate| candidate.round_trip)
    }

    /// A candidate by UDP that is worth leaving a home by UDP that answers.
    pub(super) fn better(
        &mut self,
        home: SocketAddr,
        candidates: &[Candidate],
        now: Instant,
    ) -> Option<SocketAddr> {
        let here = candidates.iter().find(|candidate| candidate.server == home)?.round_trip;
        let worth = |candidate: &Candidate| {
            candidate.round_trip < here * 3 / 4 && candidate.round_trip + WORTH < here
        };
        let Some(nearest) = Self::nearest(candidates).filter(worth) else {
            self.nearer = None;
            return None;
        };
        match self.nearer {
            Some((server, since)) if server == nearest.server => {
                (since + STEADY <= now).then_some(nearest.server)
            }
            Some(_) | None => {
                self.nearer = Some((nearest.server, now));
                None
            }
        }
    }

    /// When [`Self::better`] may find otherwise without news.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let nearer = self.nearer.map(|(_, since)| since + STEADY);
        let rest = self.rest.map(|(until, _)| until);
        nearer.into_iter().chain(rest).filter(|at| *at > now).min()
    }

    /// There is another home.
    pub(super) fn settled(&mut self, transport: Transport, now: Instant) {
        self.nearer = None;
        self.steady = (transport == Transport::Udp).then_some(now);
    }

    /// UDP no longer passes to any relay: the sooner that happens again, the longer it rests.
    pub(super) fn udp_failed(&mut self, now: Instant) {
        let lasted = self.steady.take().map(|since| now.saturating_duration_since(since));
        let length = match self.rest {
            Some((_, length)) if lasted.is_some_and(|lasted| lasted < LONGEST_REST) => {
                (length * 2).min(LONGEST_REST)
            }
            Some(_) | None => FIRST_REST,
        };
        self.rest = Some((now + length, length));
    }

    /// Whether a home by TLS may be left for UDP.
    pub(super) fn may_use_udp(&self, now: Instant) -> bool {
        self.rest.is_none_or(|(until, _)| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(last: u8, millis: u64) -> Candidate {
        Candidate { server: ([192, 0, 2, last], 3478).into(), round_trip: Duration::from_millis(millis) }
    }

    #[test]
    fn a_nearer_relay_becomes_home_only_if_it_stays_nearer() {
        let (start, mut choice) = (Instant::now(), Choice::default());
        let home = candidate(1, 100);
        let mut better = |seconds, other: Candidate| {
            choice.better(home.server, &[home, other], start + Duration::from_secs(seconds))
        };
        assert_eq!(better(0, candidate(2, 80)), None, "not by a quarter");
        assert_eq!(better(30, candidate(2, 20)), None);
        assert_eq!(better(60, candidate(2, 90)), None, "it was for a moment");
        assert_eq!(better(90, candidate(2, 20)), None);
        assert_eq!(better(134, candidate(2, 20)), None);
        assert_eq!(better(135, candidate(2, 20)), Some(candidate(2, 20).server));
    }

    #[test]
    fn near_relays_do_not_take_turns_for_a_millisecond() {
        let (start, mut choice) = (Instant::now(), Choice::default());
        let candidates = [candidate(1, 6), candidate(2, 2)];
        for seconds in 0..200 {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(choice.better(candidates[0].server, &candidates, now), None);
        }
    }

    #[test]
    fn udp_that_fails_again_soon_rests_longer_each_time_and_a_steady_one_is_trusted_again() {
        let (mut now, mut choice) = (Instant::now(), Choice::default());
        let mut rests = Vec::new();
        for lasted in [10, 10, 10, 10, 10, 10, 400] {
            choice.settled(Transport::Udp, now);
            now += Duration::from_secs(lasted);
            choice.udp_failed(now);
            let rest = (0..1000).find(|seconds| choice.may_use_udp(now + Duration::from_secs(*seconds)));
            rests.push(rest.unwrap());
            now += Duration::from_secs(rest.unwrap());
        }
        assert_eq!(rests, [10, 20, 40, 80, 160, 300, 10]);
    }
}
