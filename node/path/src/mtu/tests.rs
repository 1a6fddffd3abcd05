use proptest::prelude::*;

use super::*;

/// A path that carries so much, and loses so many percent of the round trips.
struct Link {
    width: u16,
    loss: u32,
    random: fastrand::Rng,
}

impl Link {
    fn new(width: u16, loss: u32, seed: u64) -> Self {
        Self { width, loss, random: fastrand::Rng::with_seed(seed) }
    }

    /// Bytes that were sent.
    fn run(&mut self, search: &mut SizeSearch, now: &mut Instant, duration: Duration) -> usize {
        let end = *now + duration;
        let round_trip = Duration::from_millis(20);
        let mut sent = 0;
        while *now < end {
            for size in search.attempt(round_trip * 2, *now) {
                let id = self.random.u128(..).into();
                search.sends(id, size);
                sent += usize::from(size);
                if size <= self.width && self.random.u32(0..100) >= self.loss {
                    search.answers(id, *now + round_trip);
                }
            }
            *now = search.due().unwrap_or(*now).max(*now + round_trip);
        }
        sent
    }
}

fn is_found(mtu: u16, width: u16) -> bool {
    mtu <= width && mtu + STEP + 4 > width
}

#[test]
fn the_largest_size_is_taken_at_the_first_answer_and_confirmed_from_then_on() {
    let mut now = Instant::now();
    let mut search = SizeSearch::new(576, 1500);
    let sent = Link::new(1500, 0, 1).run(&mut search, &mut now, Duration::from_mins(1));
    assert_eq!((search.mtu(), sent), (1500, 1500 * 12));
}

#[test]
fn a_narrower_path_is_found_within_three_seconds_and_a_wider_one_in_ten_minutes() {
    let mut now = Instant::now();
    let mut search = SizeSearch::new(576, 1500);
    let mut link = Link::new(1500, 0, 1);
    link.run(&mut search, &mut now, Duration::from_secs(30));
    for width in [1400, 1280, 1411, 900] {
        link.width = width;
        link.run(&mut search, &mut now, CONFIRM + Duration::from_secs(3));
        assert!(search.mtu() <= width, "{} of {width}", search.mtu());
        link.run(&mut search, &mut now, Duration::from_secs(5));
        assert!(is_found(search.mtu(), width), "{} of {width}", search.mtu());
        link.width = 1500;
        link.run(&mut search, &mut now, RAISE + Duration::from_secs(10));
        assert_eq!(search.mtu(), 1500);
    }
}

#[test]
fn a_changed_network_or_another_limit_begins_anew() {
    let mut now = Instant::now();
    let mut search = SizeSearch::new(576, 1500);
    let mut link = Link::new(1300, 0, 1);
    link.run(&mut search, &mut now, Duration::from_secs(10));
    assert!(is_found(search.mtu(), 1300));
    link.width = 9000;
    search.restart();
    link.run(&mut search, &mut now, Duration::from_secs(1));
    assert_eq!(search.mtu(), 1500);
    search.set_limit(9000);
    link.run(&mut search, &mut now, Duration::from_secs(1));
    assert_eq!(search.mtu(), 9000);
}

#[test]
fn a_path_that_answers_nothing_tells_nothing_of_sizes() {
    let mut now = Instant::now();
    let mut search = SizeSearch::new(576, 1500);
    let mut link = Link::new(1500, 0, 1);
    link.run(&mut search, &mut now, Duration::from_secs(1));
    link.loss = 100;
    link.run(&mut search, &mut now, Duration::from_secs(10));
    assert_eq!(search.mtu(), 1500);
}

proptest! {
    #[test]
    fn any_width_is_found_at_any_loss(width in 576..=9000_u16, limit in 576..=9000_u16, loss in 0..50_u32, seed: u64) {
        let mut now = Instant::now();
        let mut search = SizeSearch::new(576, limit);
        Link::new(width, loss, seed).run(&mut search, &mut now, Duration::from_secs(30));
        let width = width.min(limit);
        prop_assert!(search.mtu() <= width.max(576));
        prop_assert!(is_found(search.mtu(), width), "{} of {}", search.mtu(), width);
    }
}
