//! The replay window and the inference of the high half against a slow model.
//!
//! The model keeps every number that was accepted. What `low` stands for it finds by trying out: of all
//! numbers that end in `low`, the only one within the 2³² that begin at the window's lower edge.

use std::collections::BTreeSet;

use proptest::prelude::*;
use twinmesh_esp::{DropReason, ReplayWindow};

struct Model {
    seen: BTreeSet<u64>,
    top: u64,
    size: u64,
    esn: bool,
}

impl Model {
    fn edge(&self) -> i128 {
        i128::from(self.top) - i128::from(self.size) + 1
    }

    fn sequence(&self, low: u32) -> Option<u64> {
        if !self.esn {
            return Some(low.into());
        }
        let subspaces = i128::from(self.top >> 32) - 2..=i128::from(self.top >> 32) + 2;
        let mut found = subspaces
            .map(|high| (high << 32) + i128::from(low))
            .filter(|n| (0..1 << 32).contains(&(n - self.edge())));
        let (only, other) = (found.next(), found.next());
        assert!(only.is_some() && other.is_none(), "2³² numbers in a row have every low half once");
        only.and_then(|only| only.try_into().ok())
    }

    fn precheck(&self, low: u32) -> Result<u64, DropReason> {
        let sequence = self.sequence(low).ok_or(DropReason::BehindWindow)?;
        if sequence == 0 { Err(DropReason::SequenceZero) } else { self.look(sequence).map(|()| sequence) }
    }

    fn look(&self, sequence: u64) -> Result<(), DropReason> {
        if i128::from(sequence) < self.edge() {
            Err(DropReason::BehindWindow)
        } else if self.seen.contains(&sequence) {
            Err(DropReason::Replayed)
        } else {
            Ok(())
        }
    }

    fn accept(&mut self, sequence: u64) -> Result<bool, DropReason> {
        self.look(sequence)?;
        self.seen.insert(sequence);
        let newest = sequence > self.top;
        self.top = self.top.max(sequence);
        Ok(newest)
    }
}

/// What the network delivers next, relative to the sender's last number.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The sender's next number, after so many lost ones.
    Next { lost: u64 },
    /// One that was sent so long ago: late, or a replay.
    Late { behind: u64 },
    /// A forger's: any low half, which never authenticates.
    Forged { low: u32 },
}

fn step(size: u64) -> impl Strategy<Value = Step> {
    let lost = prop_oneof![
        6 => 0u64..3,
        2 => 0..2 * size,
        1 => 60u64..70,
        1 => Just(1 << 20),
        // The most that the inference survives (RFC 4303 appendix A2.2).
        1 => (0..3u64).prop_map(move |less| (1 << 32) - size - 1 - less),
    ];
    prop_oneof![
        4 => lost.prop_map(|lost| Step::Next { lost }),
        4 => prop_oneof![0u64..5, 0..size + 3, size - 2..size + 3].prop_map(|behind| Step::Late { behind }),
        1 => prop_oneof![any::<u32>(), 0u32..70, (0u32..70).prop_map(|n| u32::MAX - n)]
            .prop_map(|low| Step::Forged { low }),
    ]
}

/// Near the beginning, both kinds of end, and a border between subspaces.
fn start(esn: bool) -> impl Strategy<Value = u64> {
    let subspace = 1u64 << 32;
    let near = move |at: u64| (0..200u64).prop_map(move |before| at.saturating_sub(before));
    if esn {
        prop_oneof![Just(0), near(subspace), near(3 * subspace), near(3 * subspace + 100), near(u64::MAX)]
            .boxed()
    } else {
        prop_oneof![Just(0), near(1 << 31), near(subspace - 1)].boxed()
    }
}

fn low_half(sequence: u64) -> u32 {
    u32::try_from(sequence & 0xffff_ffff).unwrap()
}

fn run(esn: bool, size: u32, top: u64, steps: &[Step]) -> Result<(), TestCaseError> {
    let window = ReplayWindow::with_top(size, top);
    let mut model = Model { seen: BTreeSet::new(), top, size: window.size(), esn };
    let mut last = top;
    let limit = if esn { u64::MAX } else { u64::from(u32::MAX) };
    for step in steps {
        let sent = match *step {
            Step::Next { lost } => last.checked_add(lost + 1).filter(|next| *next <= limit),
            Step::Late { behind } => last.checked_sub(behind),
            Step::Forged { low } => {
                prop_assert_eq!(window.precheck(low, esn), model.precheck(low), "{:?}", step);
                continue;
            }
        };
        let Some(sent) = sent else { continue };
        last = last.max(sent);
        let low = low_half(sent);
        let full = model.precheck(low);
        prop_assert_eq!(window.precheck(low, esn), full, "{:?}", step);
        // The ICV covers the whole number: a wrong guess ends here.
        if full == Ok(sent) {
            prop_assert_eq!(window.accept(sent), model.accept(sent), "{:?}", step);
        } else {
            prop_assert!(full.is_err() || i128::from(sent) < model.edge(), "{:?} misread", step);
        }
        // Another worker may have decided on an older window.
        prop_assert_eq!(window.accept(sent), model.accept(sent), "again, {:?}", step);
        prop_assert_eq!(window.top(), model.top);
        for behind in 0..model.size + 70 {
            let number = model.top.saturating_sub(behind);
            let low = low_half(number);
            prop_assert_eq!(window.precheck(low, esn), model.precheck(low), "{} after {:?}", number, step);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn trap_1_the_window_with_esn_equals_its_model(
        (top, size, steps) in (start(true), prop_oneof![Just(32u32), Just(64), Just(65), Just(320)])
            .prop_flat_map(|(top, size)| {
                (Just(top), Just(size), prop::collection::vec(step(size.next_multiple_of(64).into()), 1..60))
            }),
    ) {
        run(true, size, top, &steps)?;
    }

    #[test]
    fn trap_1_the_window_without_esn_equals_its_model(
        (top, size, steps) in (start(false), prop_oneof![Just(32u32), Just(64), Just(65), Just(320)])
            .prop_flat_map(|(top, size)| {
                (Just(top), Just(size), prop::collection::vec(step(size.next_multiple_of(64).into()), 1..60))
            }),
    ) {
        run(false, size, top, &steps)?;
    }
}

#[test]
fn the_widest_window_takes_what_is_65_535_late() {
    let window = ReplayWindow::new(65_536);
    assert_eq!(window.accept(1 << 33), Ok(true));
    assert_eq!(window.accept((1 << 33) - 65_535), Ok(false));
    assert_eq!(window.accept((1 << 33) - 65_536), Err(DropReason::BehindWindow));
}
