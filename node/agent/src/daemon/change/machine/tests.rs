use std::time::Instant;

use proptest::prelude::*;

use super::*;

fn wish(carrier: Carrier, generation: u64) -> Wish {
    Wish { carrier, generation: Generation(generation), other_allowed: true }
}

fn steps(change: &mut Change) -> Vec<Step> {
    std::iter::from_fn(|| change.poll_step()).collect()
}

/// Runs the timers until then, and gives what was to be done.
fn run(change: &mut Change, until: Instant) -> Vec<Step> {
    let mut all = steps(change);
    while let Some(at) = change.poll_timeout().filter(|at| *at <= until) {
        change.handle_timeout(at);
        all.extend(steps(change));
    }
    all
}

#[test]
fn the_new_engine_is_opened_proven_and_sent_by_and_the_old_one_closed_later() {
    let start = Instant::now();
    let mut change = Change::new(wish(Carrier::Esp, 1));
    assert_eq!(steps(&mut change), [Step::Open(Carrier::Esp), Step::Send(Carrier::Esp)]);
    change.set_wish(start, wish(Carrier::WireGuard, 2));
    let opened = steps(&mut change);
    assert_eq!(opened, [Step::Open(Carrier::WireGuard), Step::Probe(Carrier::WireGuard)]);
    assert_eq!((change.sending(), change.generation()), (Carrier::Esp, Generation(1)));
    let proven = start + Duration::from_secs(1);
    run(&mut change, proven);
    change.proven(proven, Carrier::WireGuard);
    assert_eq!(steps(&mut change), [Step::Send(Carrier::WireGuard)]);
    assert_eq!(change.generation(), Generation(2));
    assert_eq!(run(&mut change, proven + Duration::from_secs(29)), []);
    assert_eq!(run(&mut change, proven + GRACE), [Step::Close(Carrier::Esp)]);
    // The peer has not changed yet.
    change.is_used(proven + GRACE, Carrier::Esp);
    assert!(change.is_open(Carrier::Esp));
    assert_eq!(run(&mut change, proven + GRACE + USED), [Step::Close(Carrier::Esp)]);
}

#[test]
fn what_is_not_up_in_ten_seconds_has_failed_and_the_old_one_stays_until_it_comes() {
    let start = Instant::now();
    let mut change = Change::new(wish(Carrier::WireGuard, 1));
    steps(&mut change);
    change.set_wish(start, wish(Carrier::Esp, 2));
    let failed = Step::Failed(Carrier::Esp, Failure::NotUpInTime);
    assert!(!run(&mut change, start + Duration::from_secs(9)).contains(&failed));
    let later = run(&mut change, start + Duration::from_mins(10));
    assert_eq!(later.iter().filter(|step| **step == failed).count(), 1);
    assert!(later.len() < 60, "it is asked ever more seldom: {}", later.len());
    assert_eq!(change.sending(), Carrier::WireGuard);
    change.proven(start + Duration::from_mins(11), Carrier::Esp);
    assert_eq!(steps(&mut change), [Step::Recovered(Carrier::Esp), Step::Send(Carrier::Esp)]);
}

#[test]
fn the_other_engine_stands_in_for_a_silent_one_and_it_is_gone_back_to_after_some_time_only() {
    let start = Instant::now();
    let mut change = Change::new(wish(Carrier::Esp, 1));
    steps(&mut change);
    change.silent(start, Carrier::Esp);
    let broken = steps(&mut change);
    assert_eq!(broken[..2], [Step::Failed(Carrier::Esp, Failure::Silent), Step::Renew(Carrier::Esp)]);
    assert!(broken.contains(&Step::Probe(Carrier::WireGuard)));
    change.proven(start, Carrier::WireGuard);
    assert_eq!(change.sending(), Carrier::WireGuard);
    change.proven(start + Duration::from_secs(1), Carrier::Esp);
    assert_eq!(change.sending(), Carrier::WireGuard, "no flapping");
    change.proven(start + FIRST_HOLD, Carrier::Esp);
    assert_eq!(change.sending(), Carrier::Esp);
    // The second time it takes longer.
    let again = start + FIRST_HOLD * 2;
    change.silent(again, Carrier::Esp);
    change.proven(again, Carrier::WireGuard);
    change.proven(again + FIRST_HOLD, Carrier::Esp);
    assert_eq!(change.sending(), Carrier::WireGuard);
}

#[test]
fn what_the_peer_calls_for_is_opened_for_a_while_unless_it_is_not_allowed() {
    let start = Instant::now();
    let mut change = Change::new(wish(Carrier::WireGuard, 1));
    steps(&mut change);
    change.called(start, Carrier::Esp);
    change.called(start + Duration::from_secs(1), Carrier::Esp);
    assert_eq!(steps(&mut change), [Step::Open(Carrier::Esp)]);
    assert_eq!(run(&mut change, start + GRACE.saturating_sub(Duration::from_secs(1))), []);
    assert_eq!(run(&mut change, start + GRACE), [Step::Close(Carrier::Esp)]);
    // It is sent by once this end's own engine fails, and then stays.
    change.called(start + GRACE, Carrier::Esp);
    change.silent(start + GRACE, Carrier::WireGuard);
    change.proven(start + GRACE, Carrier::Esp);
    assert_eq!(change.sending(), Carrier::Esp);
    run(&mut change, start + GRACE * 3);
    assert!(change.is_open(Carrier::Esp));
    let mut strict = Change::new(Wish { other_allowed: false, ..wish(Carrier::WireGuard, 1) });
    steps(&mut strict);
    strict.called(start, Carrier::Esp);
    assert_eq!(steps(&mut strict), []);
}

#[test]
fn compliance_takes_what_is_not_allowed_at_once_and_lets_nothing_stand_in() {
    let start = Instant::now();
    let mut change = Change::new(wish(Carrier::WireGuard, 1));
    steps(&mut change);
    change.set_wish(start, Wish { other_allowed: false, ..wish(Carrier::Esp, 2) });
    let done = steps(&mut change);
    assert_eq!(done, [Step::Open(Carrier::Esp), Step::Send(Carrier::Esp), Step::Close(Carrier::WireGuard)]);
    change.silent(start, Carrier::Esp);
    assert!(!run(&mut change, start + Duration::from_mins(1)).contains(&Step::Probe(Carrier::WireGuard)));
    change.proven(start, Carrier::WireGuard);
    assert_eq!(change.sending(), Carrier::Esp);
}

#[test]
fn a_complaint_of_the_peer_is_believed_only_if_probes_have_no_answer() {
    let start = Instant::now();
    let mut change = Change::new(wish(Carrier::Esp, 1));
    steps(&mut change);
    change.doubted(start, Carrier::Esp);
    assert_eq!(steps(&mut change), [Step::Probe(Carrier::Esp)]);
    change.proven(start, Carrier::Esp);
    assert_eq!(run(&mut change, start + Duration::from_mins(1)), []);
    change.doubted(start, Carrier::Esp);
    let failed = Step::Failed(Carrier::Esp, Failure::Silent);
    assert!(run(&mut change, start + DOUBT).contains(&failed));
}

/// Two ends of one link on which either engine may work or not.
struct Link {
    ends: [Change; 2],
    /// Of WireGuard and ESP.
    works: [bool; 2],
    now: Instant,
}

impl Link {
    fn works(&self, carrier: Carrier) -> bool {
        self.works[usize::from(carrier == Carrier::Esp)]
            && (carrier == Carrier::WireGuard || self.ends.iter().all(|end| end.is_open(carrier)))
    }

    /// A tenth of a second: timers, probes and their answers, and the silence of what sends and does not work.
    fn tick(&mut self, quiet: &mut [u32; 2]) {
        self.now += Duration::from_millis(100);
        for (end, quiet) in quiet.iter_mut().enumerate() {
            let sending = self.ends[end].sending();
            *quiet = if self.works(sending) { 0 } else { *quiet + 1 };
            if *quiet == 25 {
                self.ends[end].silent(self.now, sending);
            }
            if self.ends[end].poll_timeout().is_some_and(|at| at <= self.now) {
                self.ends[end].handle_timeout(self.now);
            }
            for step in steps(&mut self.ends[end]) {
                match step {
                    Step::Probe(carrier) if self.works(carrier) => self.ends[end].proven(self.now, carrier),
                    Step::Close(carrier) if self.ends[1 - end].sending() == carrier => {
                        self.ends[end].is_used(self.now, carrier);
                    }
                    Step::Send(_) => *quiet = 0,
                    Step::Open(_)
                    | Step::Close(_)
                    | Step::Probe(_)
                    | Step::Renew(_)
                    | Step::Failed(..)
                    | Step::Recovered(_) => {}
                }
            }
        }
    }
}

proptest! {
    /// Wishes reach the two ends at different times, and engines break and heal.
    #[test]
    fn an_end_changes_only_to_what_works_and_both_come_to_what_is_wished(
        events in prop::collection::vec((0u8..6, 1u32..300), 1..30),
        last in any::<bool>(),
    ) {
        let now = Instant::now();
        let first = wish(Carrier::WireGuard, 0);
        let mut link = Link { ends: [Change::new(first), Change::new(first)], works: [true; 2], now };
        let mut quiet = [0; 2];
        let mut wished = first;
        for (generation, (event, ticks)) in (1..).zip(events) {
            match event {
                0 | 1 => {
                    wished = wish(wished.carrier.other(), generation);
                    link.ends[usize::from(event)].set_wish(link.now, wished);
                }
                2 | 3 => link.ends[usize::from(event) - 2].set_wish(link.now, wished),
                _ => link.works[usize::from(event) - 4] ^= true,
            }
            for _ in 0..ticks {
                let before = [0, 1].map(|end| link.ends[end].sending());
                link.tick(&mut quiet);
                for (end, before) in before.into_iter().enumerate() {
                    let after = link.ends[end].sending();
                    prop_assert!(after == before || link.works(after), "changed to what does not work");
                }
            }
        }
        link.works = [true; 2];
        let carrier = if last { Carrier::Esp } else { Carrier::WireGuard };
        for end in &mut link.ends {
            end.set_wish(link.now, wish(carrier, 1000));
        }
        for _ in 0..1200 {
            link.tick(&mut quiet);
        }
        for end in &link.ends {
            prop_assert_eq!((end.sending(), end.generation()), (carrier, Generation(1000)));
            prop_assert!(end.is_open(carrier) && !end.is_open(carrier.other()));
        }
    }
}
