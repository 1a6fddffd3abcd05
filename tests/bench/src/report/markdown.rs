//! Tables for people.

use super::{Goal, Outcome, Report};
use crate::figure::Figure;

/// Whom the others are compared with.
const REFERENCE: &str = "wireguard-go";
/// What is worth a comparison.
const COMPARED: [Figure; 8] = [
    Figure::Tcp1,
    Figure::Tcp4,
    Figure::Tcp1Reverse,
    Figure::Udp,
    Figure::UdpSmall,
    Figure::PingLoadTail,
    Figure::Cpu,
    Figure::Memory,
];
/// A figure that was not measured.
const NONE: &str = "–";

pub(super) fn page(report: &Report) -> String {
    let machine = &report.machine;
    let head = format!(
        "{} cores of {}, Linux {}; revision {}, {}. Medians of {} rounds; throughput over {} s each.",
        machine.cores,
        machine.cpu,
        machine.kernel,
        report.revision,
        report.date,
        report.rounds,
        report.seconds
    );
    let mut parts = vec![head, figures(&report.results)];
    parts.extend(ratios(&report.results));
    parts.extend(goals(&report.goals));
    parts.push(programs(&report.results));
    let left_out: Vec<String> =
        report.left_out.iter().map(|it| format!("{}: {}", it.name, it.reason)).collect();
    parts.extend(list("Left out", &left_out));
    parts.extend(list("Failed", &report.problems));
    parts.join("\n\n") + "\n"
}

/// All figures; of the first one with what lies between the rounds.
fn figures(results: &[Outcome]) -> String {
    let measured = |figure: &Figure| results.iter().any(|outcome| outcome.figures.contains_key(figure));
    let columns: Vec<Figure> = Figure::ALL.into_iter().filter(measured).collect();
    let headings: Vec<&str> = columns.iter().map(|figure| figure.heading()).collect();
    let row = |outcome: &Outcome| {
        let cells = columns.iter().map(|figure| {
            let value = outcome.figures.get(figure).map(|value| figure.show(*value));
            let value = value.unwrap_or_else(|| NONE.to_owned());
            match (figure, outcome.spread.get(figure)) {
                (Figure::Tcp1, Some([low, high])) => {
                    format!("{value} ({}–{})", figure.show(*low), figure.show(*high))
                }
                _ => value,
            }
        });
        cells.collect()
    };
    table("", &headings, results, row)
}

/// As multiples of the reference's; `None` where that was not measured.
fn ratios(results: &[Outcome]) -> Option<String> {
    let reference = results.iter().find(|outcome| outcome.name == REFERENCE)?;
    let columns: Vec<Figure> =
        COMPARED.into_iter().filter(|figure| reference.figures.contains_key(figure)).collect();
    let headings: Vec<&str> = columns.iter().map(|figure| unitless(*figure)).collect();
    let row = |outcome: &Outcome| {
        let cells = columns.iter().map(|figure| {
            let ratio = outcome.figures.get(figure).zip(reference.figures.get(figure));
            ratio
                .filter(|(_, theirs)| **theirs > 0.0)
                .map_or_else(|| NONE.to_owned(), |(ours, theirs)| format!("{:.2} ×", ours / theirs))
        });
        cells.collect()
    };
    Some(table(&format!("× {REFERENCE}"), &headings, results, row))
}

fn unitless(figure: Figure) -> &'static str {
    let heading = figure.heading();
    heading
        .strip_suffix(", Gb/s")
        .or_else(|| heading.rsplit_once(", ms").map(|(name, _)| name))
        .unwrap_or(heading)
}

pub(crate) fn goals(goals: &[Goal]) -> Option<String> {
    let rows = goals.iter().map(|goal| {
        let reached = if goal.reached { "yes" } else { "no" };
        format!("| {} | {} | {:.2} | {reached} |", goal.name, goal.wanted, goal.measured)
    });
    let rows: Vec<String> = rows.collect();
    (!rows.is_empty())
        .then(|| format!("| goal | wanted | measured | reached |\n|---|--:|--:|---|\n{}", rows.join("\n")))
}

fn programs(results: &[Outcome]) -> String {
    let versions = results.iter().filter_map(|outcome| {
        let version = outcome.version.as_ref()?;
        Some(format!("{} ({version})", outcome.name))
    });
    format!("Programs: {}.", versions.collect::<Vec<_>>().join(", "))
}

fn list(title: &str, lines: &[String]) -> Option<String> {
    (!lines.is_empty()).then(|| format!("{title}:\n\n- {}", lines.join("\n- ")))
}

fn table(
    corner: &str,
    headings: &[&str],
    results: &[Outcome],
    row: impl Fn(&Outcome) -> Vec<String>,
) -> String {
    let rule = format!("|---|{}", "--:|".repeat(headings.len()));
    let rows = results.iter().map(|outcome| format!("| {} | {} |", outcome.name, row(outcome).join(" | ")));
    let head = format!("| {corner} | {} |", headings.join(" | "));
    [head, rule].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn tables_have_the_figures_the_ratios_and_who_is_missing() {
        let page = page(&report());
        for line in [
            "2 cores of Some CPU, Linux 6.18; revision 0123456789, 2026-11-28T10:00:00Z. Medians of 5 rounds; \
             throughput over 3 s each.",
            "|  | TCP, 1 stream, Gb/s | CPU s per GB | memory, MiB |",
            "| twinmesh-wireguard | 4.20 (3.78–4.62) | 3.00 | 20.0 |",
            "| wireguard-go | 2.00 (1.80–2.20) | 7.00 | – |",
            "| × wireguard-go | TCP, 1 stream | CPU s per GB |",
            "| twinmesh-wireguard | 2.10 × | 0.43 × |",
            "| tcp1 of twinmesh-wireguard to wireguard-go | ≥ 2 | 2.10 | yes |",
            "- gotatun: there is no gotatun",
            "- round 1 of 5: wireguard-go: ping: no answer",
        ] {
            assert!(page.lines().any(|it| it == line), "no line `{line}` in\n{page}");
        }
    }

    #[test]
    fn without_the_reference_there_are_no_ratios() {
        let mut report = report();
        report.results.retain(|outcome| outcome.name != REFERENCE);
        assert!(!page(&report).contains('×'));
    }
}
