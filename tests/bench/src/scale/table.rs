//! The table for people.

use super::Report;
use crate::report::markdown;

pub(super) fn page(report: &Report) -> String {
    let machine = &report.machine;
    let head = format!(
        "{} cores of {}, Linux {}; revision {}, {}.",
        machine.cores, machine.cpu, machine.kernel, report.revision, report.date
    );
    let mut lines = vec![
        head,
        String::new(),
        "| | memory, MiB | KiB for each | CPU at rest, % | ping, ms | TCP, Gb/s | CPU s per GB |".to_owned(),
        "|---|--:|--:|--:|--:|--:|--:|".to_owned(),
    ];
    for row in &report.rows {
        // What one costs shows against the least of its series.
        let base = report.rows.iter().find(|other| other.series == row.series);
        let each = base.filter(|base| base.count < row.count).map(|base| {
            let more = f64::from(row.count - base.count);
            format!("{:.2}", (row.rss_kb - base.rss_kb) / more)
        });
        lines.push(format!(
            "| {} {} | {:.1} | {} | {:.1} | {:.2} | {:.2} | {:.2} |",
            row.count,
            row.series.unit(),
            row.rss_kb / 1024.0,
            each.as_deref().unwrap_or("–"),
            row.idle_cpu_percent,
            row.ping_ms,
            row.tcp1,
            row.cpu_s_per_gb
        ));
    }
    lines.extend(markdown::goals(&report.goals).into_iter().flat_map(|table| [String::new(), table]));
    for problem in &report.problems {
        lines.extend([String::new(), format!("Failed: {problem}")]);
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::Row;
    use super::super::growth::Series;
    use super::*;
    use crate::machine::Machine;
    use crate::report::Goal;

    #[test]
    fn the_cost_of_one_more_is_against_the_first_row_of_its_series() {
        let row = |series, count, rss_kb| Row {
            series,
            count,
            rss_kb,
            idle_cpu_percent: 0.5,
            ping_ms: 0.3,
            tcp1: 4.0,
            cpu_s_per_gb: 2.0,
        };
        let report = Report {
            date: "2026-11-28T10:00:00Z".to_owned(),
            revision: "0123456789".to_owned(),
            machine: Machine {
                cpu: "Some CPU".to_owned(),
                cores: 2,
                kernel: "6.18".to_owned(),
                memory_kb: 1,
            },
            seconds: 3,
            rows: vec![
                row(Series::IdlePeers, 0, 20_480.0),
                row(Series::IdlePeers, 1000, 26_480.0),
                row(Series::Routes, 10, 20_992.0),
            ],
            goals: vec![Goal::new("memory, MiB".to_owned(), 20.0, "≤ 20".to_owned(), true)],
            problems: vec!["busy tunnels: no answer".to_owned()],
        };
        let page = page(&report);
        for line in [
            "| 0 idle peers | 20.0 | – | 0.5 | 0.30 | 4.00 | 2.00 |",
            "| 1000 idle peers | 25.9 | 6.00 | 0.5 | 0.30 | 4.00 | 2.00 |",
            "| 10 routes | 20.5 | – | 0.5 | 0.30 | 4.00 | 2.00 |",
            "| memory, MiB | ≤ 20 | 20.00 | yes |",
            "Failed: busy tunnels: no answer",
        ] {
            assert!(page.lines().any(|it| it == line), "no line `{line}` in\n{page}");
        }
    }
}
