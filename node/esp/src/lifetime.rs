//! How long an SA may be used (RFC 4301 §4.4.2.1): soft, then hard.

use std::time::Duration;

/// What is counted; `None` is without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub bytes: Option<u64>,
    pub packets: Option<u64>,
    /// Since the SA was made.
    pub time: Option<Duration>,
}

/// At the soft limit the SA is to be replaced, at the hard one it stops. Without limits by default: they are
/// local in IKEv2, and whoever negotiated the SA knows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lifetime {
    pub soft: Limits,
    pub hard: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LifetimeState {
    Fresh,
    /// Time to rekey; packets still pass.
    Soft,
    /// Over; nothing passes.
    Hard,
}

/// What an SA has used up of each limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
    pub(crate) age: Duration,
}

impl Limits {
    fn reached(&self, used: Used) -> bool {
        self.bytes.is_some_and(|limit| used.bytes >= limit)
            || self.packets.is_some_and(|limit| used.packets >= limit)
            || self.time.is_some_and(|limit| used.age >= limit)
    }
}

impl Lifetime {
    /// With each soft limit brought forward by `fraction` (0 to 1, from the caller's random source) of the
    /// margin between soft and hard, so that the two ends, or thousands of SAs made in the same second, do not
    /// all rekey at once. The margin is at most half of the soft limit, also where there is no hard one.
    #[must_use]
    pub fn with_jitter(mut self, fraction: f64) -> Self {
        let parts = parts(fraction);
        let earlier = |soft: Option<u64>, hard: Option<u64>| {
            soft.map(|soft| {
                let margin = hard.map_or(soft / 2, |hard| hard.saturating_sub(soft).min(soft / 2));
                soft - scale(margin, parts)
            })
        };
        self.soft.bytes = earlier(self.soft.bytes, self.hard.bytes);
        self.soft.packets = earlier(self.soft.packets, self.hard.packets);
        let microseconds =
            |time: Option<Duration>| time.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        self.soft.time =
            earlier(microseconds(self.soft.time), microseconds(self.hard.time)).map(Duration::from_micros);
        self
    }

    pub(crate) fn state(&self, used: Used) -> LifetimeState {
        if self.hard.reached(used) {
            LifetimeState::Hard
        } else if self.soft.reached(used) {
            LifetimeState::Soft
        } else {
            LifetimeState::Fresh
        }
    }

    pub(crate) fn is_over(&self, used: Used) -> bool {
        self.hard.reached(used)
    }

    /// Whether it ends at all.
    pub(crate) fn is_limited(&self) -> bool {
        self.hard != Limits::default()
    }
}

/// Last sequence number of an SA (RFC 4303 §2.2.1).
pub(crate) const fn sequence_limit(esn: bool) -> u64 {
    if esn { u64::MAX } else { 0xffff_ffff }
}

/// Of the sequence numbers: soft when an eighth is left, hard when none is.
pub(crate) const fn state_of_space(last: u64, esn: bool) -> LifetimeState {
    let limit = sequence_limit(esn);
    if last >= limit {
        LifetimeState::Hard
    } else if last >= limit - limit / 8 {
        LifetimeState::Soft
    } else {
        LifetimeState::Fresh
    }
}

const PARTS: u64 = 1 << 16;

/// A fraction in parts of 65,536; what is no number counts as 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "clamped to 0 to 1 before, so at most 65,536, and a cast of NaN gives 0"
)]
fn parts(fraction: f64) -> u64 {
    (fraction.clamp(0.0, 1.0) * PARTS as f64) as u64
}

/// Without an intermediate that overflows.
const fn scale(value: u64, parts: u64) -> u64 {
    value / PARTS * parts + value % PARTS * parts / PARTS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one_hour() -> Lifetime {
        Lifetime {
            soft: Limits { bytes: Some(1000), packets: Some(100), time: Some(Duration::from_hours(1)) },
            hard: Limits { bytes: Some(1200), packets: Some(120), time: Some(Duration::from_mins(75)) },
        }
    }

    #[test]
    fn each_limit_alone_ends_the_life() {
        let life = one_hour();
        let used = Used::default();
        assert_eq!(life.state(used), LifetimeState::Fresh);
        for (soft, hard) in [
            (Used { bytes: 1000, ..used }, Used { bytes: 1200, ..used }),
            (Used { packets: 100, ..used }, Used { packets: 120, ..used }),
            (Used { age: Duration::from_hours(1), ..used }, Used { age: Duration::from_mins(75), ..used }),
        ] {
            assert_eq!(life.state(soft), LifetimeState::Soft);
            assert_eq!(life.state(hard), LifetimeState::Hard);
        }
    }

    #[test]
    fn without_limits_it_lasts_for_ever() {
        let used = Used { bytes: u64::MAX, packets: u64::MAX, age: Duration::MAX };
        assert_eq!(Lifetime::default().state(used), LifetimeState::Fresh);
    }

    #[test]
    fn jitter_brings_the_soft_limit_forward_by_up_to_the_margin() {
        assert_eq!(one_hour().with_jitter(0.0), one_hour());
        let soft = one_hour().with_jitter(1.0).soft;
        assert_eq!(soft.bytes, Some(800));
        assert_eq!(soft.packets, Some(80));
        assert_eq!(soft.time, Some(Duration::from_mins(45)));
        let alone = Lifetime { soft: one_hour().soft, hard: Limits::default() };
        assert_eq!(alone.with_jitter(1.0).soft.bytes, Some(500));
        assert_eq!(one_hour().with_jitter(f64::NAN), one_hour());
    }

    proptest! {
        #[test]
        fn jitter_never_moves_a_limit_later_nor_below_half(
            soft in any::<u64>(), hard in any::<Option<u64>>(), fraction in any::<f64>(),
        ) {
            let life = Lifetime {
                soft: Limits { bytes: Some(soft), ..Limits::default() },
                hard: Limits { bytes: hard, ..Limits::default() },
            };
            let moved = life.with_jitter(fraction).soft.bytes.unwrap();
            prop_assert!(moved <= soft && moved >= soft / 2);
        }
    }
}
