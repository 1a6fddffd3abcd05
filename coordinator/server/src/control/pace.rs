//! How often a node may say that it is elsewhere: each time goes to the disk and to all its peers.

use std::time::Duration;

use tokio::time::Instant;

/// Changes at once: a node that starts learns of its addresses one after the other.
const BURST: u32 = 10;
/// Then one in so long.
const INTERVAL: Duration = Duration::from_secs(2);

/// What one node has used up.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the last of the changes so far would have come at one each interval.
    used_until: Option<Instant>,
}

impl Pace {
    /// When the next change may be told.
    pub(super) fn next(&self, now: Instant) -> Instant {
        let used_until = self.used_until.unwrap_or(now);
        used_until.checked_sub(INTERVAL * (BURST - 1)).map_or(now, |at| at.max(now))
    }

    /// A change is told.
    pub(super) fn spend(&mut self, now: Instant) {
        self.used_until = Some(self.used_until.map_or(now, |until| until.max(now)) + INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_one_in_each_interval() {
        let start = Instant::now();
        let mut pace = Pace::default();
        for _ in 0..BURST {
            assert_eq!(pace.next(start), start);
            pace.spend(start);
        }
        for number in 1..5 {
            let due = pace.next(start);
            assert_eq!(due, start + INTERVAL * number);
            pace.spend(due);
        }
        // All of the burst is there again after a rest.
        let later = start + INTERVAL * 100;
        for _ in 0..BURST {
            assert_eq!(pace.next(later), later);
            pace.spend(later);
        }
        assert_eq!(pace.next(later), later + INTERVAL);
    }
}
