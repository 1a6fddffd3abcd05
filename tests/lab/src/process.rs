//! Processes as /proc shows them, so that a reused pid is never taken for one of ours.

use std::fs;
use std::io;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process, told from a later one with the same pid by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Pid as this process's /proc shows it.
    pub pid: i32,
    /// Clock ticks since boot, field 22 of /proc/PID/stat.
    pub start: u64,
}

/// State letter and start time from /proc/PID/stat.
fn stat(pid: i32) -> Option<(char, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything; what follows the last one is plain.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // `state` is field 3, so field 22 is the nineteenth after it.
    Some((state, fields.nth(18)?.parse().ok()?))
}

impl Process {
    /// The process that has this pid now; `None` if there is none, or only its remains.
    pub fn of(pid: i32) -> Option<Self> {
        stat(pid).filter(|(state, _)| !matches!(state, 'Z' | 'X')).map(|(_, start)| Self { pid, start })
    }

    /// Whether it still runs.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal; a process that is gone is no error.
    ///
    /// # Errors
    /// The process belongs to somebody else.
    pub fn signal(self, signal: Signal) -> io::Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A file of its /proc folder.
    pub fn proc(self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid))
    }
}

/// The only child of a process, once it has one.
pub(crate) fn first_child(pid: i32) -> Option<Process> {
    all_pids().into_iter().find(|child| status_field(*child, "PPid:") == Some(pid)).and_then(Process::of)
}

/// The process that has pid `inner` in the pid namespace of `init`.
pub(crate) fn in_namespace_of(init: Process, inner: i32) -> Option<Process> {
    let namespace = fs::read_link(init.proc("ns/pid")).ok()?;
    all_pids()
        .into_iter()
        .filter(|pid| fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|it| it == namespace))
        .find(|pid| status_field(*pid, "NSpid:") == Some(inner))
        .and_then(Process::of)
}

/// All processes of the pid namespace of `init`, as (pid inside, process).
pub(crate) fn all_in_namespace_of(init: Process) -> Vec<(i32, Process)> {
    let Ok(namespace) = fs::read_link(init.proc("ns/pid")) else { return Vec::new() };
    all_pids()
        .into_iter()
        .filter(|pid| fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|it| it == namespace))
        .filter_map(|pid| Some((status_field(pid, "NSpid:")?, Process::of(pid)?)))
        .collect()
}

fn all_pids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The last number of a line of /proc/PID/status: of `NSpid:` the innermost pid.
fn status_field(pid: i32, field: &str) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field))?.split_ascii_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_time() {
        let own = Process::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.is_alive());
        assert!(!Process { start: own.start + 1, ..own }.is_alive());
    }

    #[test]
    fn a_process_that_has_ended_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        child.wait().unwrap();
        assert_eq!(Process::of(pid), None);
    }
}
