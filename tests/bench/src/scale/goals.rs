//! What the design asks for of an agent with many peers, as far as it was measured.

use super::Row;
use super::growth::Series;
use crate::report::Goal;

/// MiB of an agent that is at rest and knows one peer.
const MEMORY: f64 = 20.0;
/// KiB for each idle peer more.
const MEMORY_OF_A_PEER: f64 = 8.0;
/// Of fewer peers memory is a matter of pages.
const LEAST_PEERS: u32 = 1000;
/// In one node.
const PEERS: u32 = 10_000;

pub(super) fn of(rows: &[Row]) -> Vec<Goal> {
    let idle = || rows.iter().filter(|row| row.series == Series::IdlePeers);
    let alone = idle().find(|row| row.count == 0);
    let most = idle().max_by_key(|row| row.count);
    let at_most = |name: &str, measured: f64, bound: f64| {
        Goal::new(name.to_owned(), measured, format!("≤ {bound}"), measured <= bound)
    };
    let of_agent = alone.map(|row| at_most("memory of an agent at rest, MiB", row.rss_kb / 1024.0, MEMORY));
    let of_peer = alone.zip(most).filter(|(_, most)| most.count >= LEAST_PEERS).map(|(alone, most)| {
        let each = (most.rss_kb - alone.rss_kb) / f64::from(most.count);
        at_most(&format!("memory of each of {} idle peers, KiB", most.count), each, MEMORY_OF_A_PEER)
    });
    let count = most.map(|row| {
        let name = "idle peers of one node".to_owned();
        Goal::new(name, row.count.into(), format!("≥ {PEERS}"), row.count >= PEERS)
    });
    [of_agent, of_peer, count].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(series: Series, count: u32, rss_kb: f64) -> Row {
        Row { series, count, rss_kb, idle_cpu_percent: 0.5, ping_ms: 0.3, tcp1: 4.0, cpu_s_per_gb: 2.0 }
    }

    #[test]
    fn memory_is_judged_alone_and_for_each_of_the_most_peers() {
        let goals = of(&[
            row(Series::IdlePeers, 0, 15_360.0),
            row(Series::IdlePeers, 1000, 90_000.0),
            row(Series::IdlePeers, 10_000, 105_360.0),
            row(Series::Routes, 0, 50_000.0),
        ]);
        let judged: Vec<_> = goals.iter().map(|goal| (goal.measured, goal.reached)).collect();
        assert_eq!(judged, [(15.0, true), (9.0, false), (10_000.0, true)]);
        assert_eq!(goals[1].name, "memory of each of 10000 idle peers, KiB");
        assert_eq!(goals[1].wanted, "≤ 8");
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        assert_eq!(of(&[row(Series::Routes, 0, 50_000.0)]), []);
        let few = of(&[row(Series::IdlePeers, 0, 30_000.0), row(Series::IdlePeers, 10, 30_000.0)]);
        let judged: Vec<_> = few.iter().map(|goal| (goal.name.as_str(), goal.reached)).collect();
        assert_eq!(judged, [("memory of an agent at rest, MiB", false), ("idle peers of one node", false)]);
    }
}
