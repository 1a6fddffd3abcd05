//! The ratios that the design asks for, as far as a run has what they compare.

use serde::Serialize;

use super::Outcome;
use crate::figure::Figure;

/// A figure, and what it is to be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Goal {
    pub(crate) name: String,
    pub(crate) measured: f64,
    pub(crate) wanted: String,
    pub(crate) reached: bool,
}

impl Goal {
    pub(crate) fn new(name: String, measured: f64, wanted: String, reached: bool) -> Self {
        Self { name, measured: super::rounded(measured), wanted, reached }
    }
}

/// On which side of the bound.
#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    Below(f64),
}

/// Of `ours` to `theirs`.
struct Ratio {
    figure: Figure,
    ours: &'static str,
    theirs: &'static str,
    bound: Bound,
}

const WIREGUARD: &str = "twinmesh-wireguard";
const AES: &str = "twinmesh-esp-aes128gcm16";
const NULL: &str = "twinmesh-null";
const GO: &str = "wireguard-go";

/// Short for a line of the table below.
const fn ratio(figure: Figure, ours: &'static str, theirs: &'static str, bound: Bound) -> Ratio {
    Ratio { figure, ours, theirs, bound }
}

const RATIOS: [Ratio; 13] = [
    ratio(Figure::Tcp1, WIREGUARD, GO, Bound::AtLeast(2.0)),
    ratio(Figure::Tcp1, WIREGUARD, "boringtun", Bound::AtLeast(6.0)),
    ratio(Figure::Tcp1, WIREGUARD, "gotatun", Bound::AtLeast(4.0)),
    ratio(Figure::Tcp1, AES, GO, Bound::AtLeast(4.0)),
    ratio(Figure::Tcp1, AES, "strongswan-libipsec", Bound::AtLeast(15.0)),
    ratio(Figure::Tcp1, AES, NULL, Bound::AtLeast(0.7)),
    ratio(Figure::Tcp1, WIREGUARD, NULL, Bound::AtLeast(0.45)),
    ratio(Figure::Cpu, WIREGUARD, GO, Bound::Below(0.5)),
    ratio(Figure::Cpu, AES, GO, Bound::Below(0.25)),
    ratio(Figure::PingLoadMedian, WIREGUARD, GO, Bound::Below(1.0)),
    ratio(Figure::PingLoadTail, WIREGUARD, GO, Bound::Below(1.0)),
    ratio(Figure::PingLoadMedian, AES, GO, Bound::Below(1.0)),
    ratio(Figure::PingLoadTail, AES, GO, Bound::Below(1.0)),
];

/// Those whose two sides were measured.
pub(super) fn of(results: &[Outcome]) -> Vec<Goal> {
    let value = |name: &str, figure: Figure| {
        let outcome = results.iter().find(|outcome| outcome.name == name)?;
        outcome.figures.get(&figure).copied()
    };
    let goal = |ratio: &Ratio| {
        let measured = value(ratio.ours, ratio.figure)? / value(ratio.theirs, ratio.figure)?;
        let (wanted, reached) = match ratio.bound {
            Bound::AtLeast(bound) => (format!("≥ {bound}"), measured >= bound),
            Bound::Below(bound) => (format!("< {bound}"), measured < bound),
        };
        let name = format!("{} of {} to {}", ratio.figure.key(), ratio.ours, ratio.theirs);
        Some(Goal::new(name, measured, wanted, reached))
    };
    RATIOS.iter().filter_map(goal).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::outcome;
    use super::*;

    #[test]
    fn a_goal_is_judged_only_where_both_sides_were_measured() {
        let results = [
            outcome(WIREGUARD, &[(Figure::Tcp1, 3.0), (Figure::Cpu, 3.0)]),
            outcome(GO, &[(Figure::Tcp1, 2.0), (Figure::Cpu, 7.0)]),
        ];
        let goals = of(&results);
        let [throughput, cpu] = goals.as_slice() else { panic!("{goals:?}") };
        assert_eq!((throughput.measured, throughput.reached), (1.5, false));
        assert_eq!(throughput.wanted, "≥ 2");
        assert!(cpu.reached && cpu.name.contains("cpu_s_per_GB"), "{cpu:?}");
    }
}
