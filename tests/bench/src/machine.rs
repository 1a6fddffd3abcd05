//! The machine that it runs on, and the source that was built.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::places;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) memory_kb: u64,
}

impl Machine {
    pub(crate) fn this() -> Result<Self> {
        let read = |file| fs::read_to_string(file).with_context(|| format!("reading {file}"));
        let kernel = read("/proc/sys/kernel/osrelease")?.trim().to_owned();
        let memory_kb = memory_of(&read("/proc/meminfo")?).unwrap_or(0);
        let cores = std::thread::available_parallelism()?.get();
        Ok(Self { cpu: model_of(&read("/proc/cpuinfo")?), cores, kernel, memory_kb })
    }
}

/// Not every architecture names it.
fn model_of(cpuinfo: &str) -> String {
    let model = cpuinfo.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    model.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn memory_of(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().trim_end_matches("kB").trim().parse().ok()
}

/// Now, as RFC 3339 has it.
pub(crate) fn date() -> Result<String> {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0)?;
    Ok(now.format(&Rfc3339)?)
}

/// Of the source; `unknown` where it is no git work tree.
pub(crate) fn revision() -> String {
    let describe = ["describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"];
    let output = Command::new("git").arg("-C").arg(places::source()).args(describe).output();
    let said = output.ok().filter(|output| output.status.success());
    let text = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named_as_the_kernel_names_it() {
        let cpuinfo =
            "processor\t: 0\nvendor_id\t: X\nmodel name\t: Some CPU: 9000 @ 2 GHz\n\nprocessor\t: 1\n";
        assert_eq!(model_of(cpuinfo), "Some CPU: 9000 @ 2 GHz");
        assert_eq!(model_of("processor\t: 0\n"), std::env::consts::ARCH);
    }

    #[test]
    fn memory_is_the_machines_total() {
        assert_eq!(memory_of("MemTotal:       24576000 kB\nMemFree: 1 kB\n"), Some(24_576_000));
        assert_eq!(memory_of("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn the_date_is_in_utc_without_fractions() {
        let date = date().unwrap();
        assert!(date.ends_with('Z') && !date.contains('.') && date.len() == 20, "{date}");
    }
}
