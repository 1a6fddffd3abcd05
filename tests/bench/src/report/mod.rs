//! The report: as JSON for programs, as Markdown for people.

mod goals;
pub(crate) mod markdown;

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

pub(crate) use self::goals::Goal;
use crate::arguments::RunArguments;
use crate::figure::Figure;
use crate::machine::{self, Machine};
use crate::places::Places;
use crate::run::Entrant;
use crate::statistics::{median, spread};

/// A candidate that was not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) name: &'static str,
    pub(crate) reason: String,
}

/// Of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    date: String,
    revision: String,
    machine: Machine,
    seconds: u16,
    rounds: u16,
    results: Vec<Outcome>,
    goals: Vec<Goal>,
    left_out: Vec<LeftOut>,
    problems: Vec<String>,
}

/// One candidate's figures.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    name: &'static str,
    version: Option<String>,
    /// Medians.
    figures: BTreeMap<Figure, f64>,
    spread: BTreeMap<Figure, [f64; 2]>,
}

impl Report {
    pub(crate) fn new(
        arguments: &RunArguments,
        entrants: &[Entrant],
        left_out: Vec<LeftOut>,
        problems: Vec<String>,
    ) -> Result<Self> {
        let measured = entrants.iter().filter(|entrant| !entrant.samples.is_empty());
        let results: Vec<Outcome> = measured.map(Outcome::of).collect();
        Ok(Self {
            date: machine::date()?,
            revision: machine::revision(),
            machine: Machine::this()?,
            seconds: arguments.seconds,
            rounds: arguments.rounds,
            goals: goals::of(&results),
            results,
            left_out,
            problems,
        })
    }

    pub(crate) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    pub(crate) fn markdown(&self) -> String {
        markdown::page(self)
    }

    /// Writes `report.json` and `report.md`.
    pub(crate) fn write(&self, places: &Places) -> Result<()> {
        let folder = places.reports();
        fs::create_dir_all(&folder)?;
        for (name, text) in [("report.json", self.json()? + "\n"), ("report.md", self.markdown())] {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

impl Outcome {
    fn of(entrant: &Entrant) -> Self {
        let values = |figure: Figure| -> Vec<f64> {
            entrant.samples.iter().filter_map(|sample| sample.get(&figure).copied()).collect()
        };
        let all = || Figure::ALL.into_iter();
        Self {
            name: entrant.candidate.name(),
            version: entrant.version().map(str::to_owned),
            figures: all().filter_map(|figure| Some((figure, median(&values(figure))?))).collect(),
            spread: all().filter_map(|figure| Some((figure, spread(&values(figure))?))).collect(),
        }
    }
}

impl Serialize for Outcome {
    /// The figures stand beside the name.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serde_json::Map::new();
        object.insert("name".to_owned(), self.name.into());
        object.insert("version".to_owned(), self.version.clone().into());
        for (figure, value) in &self.figures {
            object.insert(figure.key().to_owned(), rounded(*value).into());
        }
        let spread = self.spread.iter();
        let spread =
            spread.map(|(figure, ends)| (figure.key().to_owned(), ends.map(rounded).to_vec().into()));
        object.insert("spread".to_owned(), Value::Object(spread.collect()));
        object.serialize(serializer)
    }
}

/// What lies beyond a thousandth is noise.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two candidates, and one that was left out.
    pub(crate) fn report() -> Report {
        let results = vec![
            outcome(
                "twinmesh-wireguard",
                &[(Figure::Tcp1, 4.2), (Figure::Cpu, 3.0), (Figure::Memory, 20_480.0)],
            ),
            outcome("wireguard-go", &[(Figure::Tcp1, 2.0), (Figure::Cpu, 7.0)]),
        ];
        Report {
            date: "2026-11-28T10:00:00Z".to_owned(),
            revision: "0123456789".to_owned(),
            machine: Machine {
                cpu: "Some CPU".to_owned(),
                cores: 2,
                kernel: "6.18".to_owned(),
                memory_kb: 24_000_000,
            },
            seconds: 3,
            rounds: 5,
            goals: goals::of(&results),
            results,
            left_out: vec![LeftOut { name: "gotatun", reason: "there is no gotatun".to_owned() }],
            problems: vec!["round 1 of 5: wireguard-go: ping: no answer".to_owned()],
        }
    }

    pub(super) fn outcome(name: &'static str, figures: &[(Figure, f64)]) -> Outcome {
        let spread = figures.iter().map(|(figure, value)| (*figure, [value * 0.9, value * 1.1]));
        Outcome {
            name,
            version: Some("1.0".to_owned()),
            spread: spread.collect(),
            figures: figures.iter().copied().collect(),
        }
    }

    #[test]
    fn json_has_the_figures_beside_the_name_and_the_spread_below() {
        let json: Value = serde_json::from_str(&report().json().unwrap()).unwrap();
        let first = &json["results"][0];
        assert_eq!(first["name"], "twinmesh-wireguard");
        assert_eq!(first["tcp1"], 4.2);
        assert_eq!(first["cpu_s_per_GB"], 3.0);
        assert_eq!(first["rss_kb"], 20_480.0);
        assert_eq!(first["spread"]["tcp1"], serde_json::json!([3.78, 4.62]));
        assert!(first.get("tcp4").is_none(), "not measured, so not there");
        assert_eq!(json["machine"]["cores"], 2);
        assert_eq!(json["left_out"][0]["reason"], "there is no gotatun");
        assert_eq!(json["goals"][0]["reached"], true);
    }
}
