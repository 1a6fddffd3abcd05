//! Whatever nodes report, a pair changes its protocol seldom.

use proptest::collection::vec;
use proptest::prelude::*;
use twinmesh_control::{FailedProtocol, FailureCode, Generation, TunnelReport};

use super::facts::case;
use super::*;

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;

/// A pair, and what the coordinator knows of it.
struct Run {
    case: Case,
    generation: Generation,
    changes: Vec<(i64, Protocol)>,
}

impl Run {
    fn new(ends: &str) -> Self {
        Self { case: case(ends, "agent", "-"), generation: Generation(1), changes: Vec::new() }
    }

    fn choice(&self) -> Choice {
        chosen(&self.case)
    }

    fn change(&mut self, now: i64, failure: Failure) {
        let before = self.choice().protocol;
        self.case.failures.retain(|known| known.protocol != failure.protocol);
        self.case.failures.push(failure);
        let after = self.choice().protocol;
        if after != before {
            self.generation.0 += 1;
            self.changes.push((now, after));
        }
    }

    /// A node sends by one protocol and says what of all has failed.
    fn report(&mut self, now: i64, sends_by: &Protocol, failed: &[Protocol], generation: Generation) -> bool {
        let over = self.case.failures.iter().filter(|known| known.is_avoided && known.until <= now);
        for ended in over.map(Failure::ended).collect::<Vec<_>>() {
            self.change(now, ended);
        }
        let failed = failed.iter().map(|protocol| FailedProtocol {
            protocol: protocol.clone(),
            generation,
            code: FailureCode::NoAnswer,
            text: String::new(),
        });
        let tunnel = TunnelReport {
            peer: NodeId(2),
            protocol: sends_by.clone(),
            generation,
            endpoint: None,
            path: None,
            failed: failed.collect(),
            handshake_age: None,
            received: 0,
            sent: 0,
        };
        let chosen = self.choice().protocol;
        let new = counted(&tunnel, (&chosen, self.generation), &self.case.failures, NodeId(1), now);
        let counts = new.is_some();
        if let Some(failure) = new {
            self.change(now, failure);
        }
        counts
    }
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Wireguard), Just(Protocol::Esp)]
}

proptest! {
    #[test]
    fn a_pair_does_not_flap_whatever_its_ends_report(
        esp in any::<bool>(),
        reports in vec((1_i64..20 * MINUTE, protocol(), vec(protocol(), 0..3), 0_u64..3), 1..400),
    ) {
        let mut run = Run::new(if esp { "agent, prefers esp" } else { "agent" });
        let mut now = 0;
        for (pause, sends_by, failed, back) in reports {
            now += pause;
            let generation = Generation(run.generation.0.saturating_sub(back));
            run.report(now, &sends_by, &failed, generation);
        }
        // Of each protocol at most 10, 20, 40, … 1280 minutes on the first days, then one a day; each is a change and a
        // change back.
        let days = usize::try_from(now / DAY).unwrap() + 1;
        let most = 2 * 2 * (7 + days);
        prop_assert!(run.changes.len() <= most, "{} changes in {days} days", run.changes.len());
    }
}

#[test]
fn a_protocol_that_fails_again_and_again_is_tried_ever_more_seldom() {
    let mut run = Run::new("agent");
    for minute in 0..10 * 24 * 60 {
        // WireGuard never works; the nodes say so of the choice that they are told.
        let generation = run.generation;
        run.report(minute * MINUTE, &Protocol::Esp, &[Protocol::Wireguard], generation);
    }
    let tries: Vec<i64> = run.changes.iter().map(|(at, _)| at / MINUTE).collect();
    // At the end of its time WireGuard is chosen, fails within the same minute, and is avoided for twice as long.
    let away: Vec<i64> = tries.chunks_exact(2).map(|pair| pair[1] - pair[0]).take(9).collect();
    assert_eq!(away, [10, 20, 40, 80, 160, 320, 640, 1280, 1440]);
}

#[test]
fn a_day_after_its_end_a_failure_is_forgotten() {
    let mut run = Run::new("agent");
    let fail = |run: &mut Run, now| {
        let generation = run.generation;
        run.report(now, &Protocol::Esp, &[], generation);
        let generation = run.generation;
        assert!(run.report(now, &Protocol::Esp, &[Protocol::Wireguard], generation));
        let [failure] = &run.case.failures[..] else { panic!("{:?}", run.case.failures) };
        ((failure.until - failure.failed_at) / MINUTE, failure.until)
    };
    let (first, end) = fail(&mut run, 0);
    let (second, end) = fail(&mut run, end + DAY - MINUTE);
    let (third, _) = fail(&mut run, end + DAY);
    assert_eq!((first, second, third), (10, 20, 10));
}

#[test]
fn only_what_blames_the_chosen_protocol_counts() {
    let (wireguard, esp) = (Protocol::Wireguard, Protocol::Esp);
    let both = [wireguard.clone(), esp.clone()];
    let counts = |sends_by: &Protocol, failed: &[Protocol], generation| {
        Run::new("agent").report(0, sends_by, failed, Generation(generation))
    };
    assert!(counts(&esp, &both[..1], 1));
    // The peer is away.
    assert!(!counts(&esp, &both, 1) && !counts(&wireguard, &both, 1));
    // Nothing has taken over.
    assert!(!counts(&wireguard, &both[..1], 1));
    // Of another choice than the present one.
    assert!(!counts(&esp, &both[..1], 0) && !counts(&esp, &both[..1], 2));
    // Nobody chose it.
    assert!(!counts(&wireguard, &both[1..], 1));
    // Once.
    let mut run = Run::new("agent");
    assert!(run.report(0, &esp, &both[..1], Generation(1)));
    let generation = run.generation;
    assert!(!run.report(1, &esp, &both[..1], generation) && !run.report(2, &esp, &both[..1], Generation(1)));
}

#[test]
fn when_each_failed_after_the_other_the_preferred_one_is_kept() {
    let mut run = Run::new("agent");
    assert!(run.report(0, &Protocol::Esp, &[Protocol::Wireguard], Generation(1)));
    assert_eq!(run.choice().protocol, Protocol::Esp);
    let generation = run.generation;
    assert!(run.report(1, &Protocol::Wireguard, &[Protocol::Esp], generation));
    let choice = run.choice();
    assert_eq!(choice.protocol, Protocol::Wireguard);
    assert!(choice.reasons.iter().any(|reason| reason.code == ReasonCode::FailedKept));
}
