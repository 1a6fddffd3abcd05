//! What processes have used, as /proc has it.

use std::fs;

use anyhow::{Context as _, Result};
use twinmesh_lab::process::Process;

/// User and system time of all of them.
pub(crate) fn cpu_seconds(processes: &[Process]) -> Result<f64> {
    processes.iter().map(|process| cpu_of(&read(*process, "stat")?)).sum()
}

/// Resident memory of one of them, now.
pub(crate) fn memory_kb(process: Process) -> Result<f64> {
    kilobytes(&read(process, "status")?, "VmRSS:")
}

/// The most resident memory that one of them ever had.
pub(crate) fn peak_memory_kb(processes: &[Process]) -> Result<f64> {
    let peaks = processes.iter().map(|process| kilobytes(&read(*process, "status")?, "VmHWM:"));
    let peaks = peaks.collect::<Result<Vec<f64>>>()?;
    peaks.into_iter().max_by(f64::total_cmp).context("no process")
}

fn read(process: Process, file: &str) -> Result<String> {
    let path = process.proc(file);
    fs::read_to_string(&path).with_context(|| format!("a tunnel's process has ended: {}", path.display()))
}

fn cpu_of(stat: &str) -> Result<f64> {
    // The name in parentheses may contain anything; utime and stime are fields 14 and 15 (proc(5)).
    let (_, fields) = stat.rsplit_once(')').context("no process's stat")?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks =
        || fields.next().context("a short stat")?.parse::<u32>().context("a stat with another meaning");
    // In hundredths of a second on every Linux of today.
    Ok(f64::from(ticks()? + ticks()?) / 100.0)
}

fn kilobytes(status: &str, field: &str) -> Result<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    let value = value.with_context(|| format!("no {field}"))?;
    Ok(value.trim().trim_end_matches("kB").trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4711 (a (strange) na me) S 1 4711 4711 0 -1 4194560 1210 0 0 0 \
                        250 150 7 8 20 0 5 0 123456 1234567 890 18446744073709551615";

    #[test]
    fn user_and_system_time_are_added() {
        assert_eq!(cpu_of(STAT).ok(), Some(4.0));
        assert!(cpu_of("4711 (short) S 1").is_err());
        assert!(cpu_of("").is_err());
    }

    #[test]
    fn memory_is_in_kilobytes() {
        let status = "Name:\tx\nVmPeak:\t  99 kB\nVmHWM:\t   20480 kB\nVmRSS:\t 7 kB\n";
        assert_eq!(kilobytes(status, "VmHWM:").ok(), Some(20_480.0));
        assert_eq!(kilobytes(status, "VmRSS:").ok(), Some(7.0));
        assert!(kilobytes("Name:\tkthreadd\n", "VmHWM:").is_err());
    }

    #[test]
    fn this_program_has_used_some_of_both() {
        let own = Process::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(cpu_seconds(&[own, own]).unwrap() >= 0.0);
        assert!(peak_memory_kb(&[own]).unwrap() > 0.0);
    }
}
