//! Programs that run in a node for as long as the lab is up, or until they are stopped.
//!
//! Each has a supervisor inside the lab: a shell that starts it, writes down its pid, waits for it and
//! writes down its exit status. So nothing outside has to stay, and a later command knows how it ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::error::LabError;
use crate::folder::{Folder, NodeState, State};
use crate::namespace::{self, Inside};
use crate::process::{self, Process};
use crate::scenario::{self, Ready};

/// Arguments: folder of the program's files, log, then the program and its arguments.
const SUPERVISOR: &str = r#"
files=$1 log=$2; shift 2
"$@" >>"$log" 2>&1 </dev/null &
echo $! >"$files/pid.new" && mv "$files/pid.new" "$files/pid"
wait $!
echo $? >"$files/exit.new" && mv "$files/exit.new" "$files/exit"
"#;

/// Leaves the supervisor to the lab's init and ends.
const DETACH: &str = r#"setsid sh -c "$0" supervisor "$@" </dev/null >/dev/null 2>&1 &"#;

const DEFAULT_DEADLINE: Duration = Duration::from_secs(15);
/// How long a supervisor may take to notice its program's end.
const SUPERVISOR_DEADLINE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(20);
/// Lines of a log that an error shows.
const LOG_TAIL: usize = 15;

/// A program on a node: `backbone` for the lab's own.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    folder: PathBuf,
    pub(crate) log: PathBuf,
}

/// How a program is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It runs.
    Running(Process),
    /// It has ended: exit status, or 128 + signal.
    Ended(i32),
}

impl Files {
    pub(crate) fn new(folder: &Folder, node: &str, program: &str) -> Self {
        Self { folder: folder.join("programs").join(node).join(program), log: folder.log(node, program) }
    }

    /// `None` if no such program was ever started.
    pub(crate) fn status(&self, init: Process) -> Option<Status> {
        let number = |file: &str| fs::read_to_string(self.folder.join(file)).ok()?.trim().parse().ok();
        if let Some(status) = number("exit") {
            return Some(Status::Ended(status));
        }
        let inner = number("pid")?;
        if let Some(process) = process::in_namespace_of(init, inner) {
            return Some(Status::Running(process));
        }
        // It ended a moment ago and its supervisor has yet to write down how, or was killed too.
        let deadline = Instant::now() + SUPERVISOR_DEADLINE;
        while number("exit").is_none() && init.is_alive() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        Some(Status::Ended(number("exit").unwrap_or(128 + 9)))
    }

    /// Starts a program, which must not run already, and returns when its pid is known.
    pub(crate) fn start(
        &self,
        state: &State,
        folder: &Folder,
        inside: Inside<'_>,
        argv: &[String],
        env: &[(String, String)],
    ) -> Result<Process, LabError> {
        fs::create_dir_all(&self.folder).map_err(LabError::io(self.folder.display()))?;
        for file in ["pid", "exit"] {
            let _ = fs::remove_file(self.folder.join(file));
        }
        let mut command = namespace::enter_bare(state, folder, inside);
        command.args(["sh", "-c", DETACH, SUPERVISOR]).arg(&self.folder).arg(&self.log).args(argv);
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let output = command.stdin(Stdio::null()).output().map_err(LabError::io("nsenter"))?;
        let failed = |message: String| LabError::Setup { node: self.log.display().to_string(), message };
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let deadline = Instant::now() + DEFAULT_DEADLINE;
        while Instant::now() < deadline {
            match self.status(state.init) {
                Some(Status::Running(process)) => return Ok(process),
                // Gone already: its remains answer to no signal, so any process stands for it.
                Some(Status::Ended(_)) => return Ok(Process { pid: 0, start: 0 }),
                None => thread::sleep(Duration::from_millis(2)),
            }
        }
        Err(failed("its supervisor did not start".to_owned()))
    }

    /// Sends a signal, if the program runs.
    pub(crate) fn signal(&self, init: Process, signal: Signal) -> Result<(), LabError> {
        match self.status(init) {
            Some(Status::Running(process)) => process.signal(signal).map_err(LabError::io("kill")),
            Some(Status::Ended(_)) | None => Ok(()),
        }
    }

    /// Waits until it has ended; `None` if it runs on.
    pub(crate) fn wait(&self, init: Process, timeout: Duration) -> Option<i32> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.status(init)? {
                Status::Ended(status) => return Some(status),
                Status::Running(_) if Instant::now() >= deadline => return None,
                Status::Running(_) => thread::sleep(POLL),
            }
        }
    }

    pub(crate) fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = self.log_text();
        let lines: Vec<&str> = log.lines().collect();
        let shown = lines.get(lines.len().saturating_sub(LOG_TAIL)..).unwrap_or_default();
        format!("its log, {}, ends with:\n{}", self.log.display(), shown.join("\n"))
    }
}

/// Names of the programs ever started on a node.
pub(crate) fn names(folder: &Folder, node: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder.join("programs").join(node)) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Replaces `${name}` by the variables' values.
pub(crate) fn expand(text: &str, variables: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        let Some((name, after)) = after.split_once('}') else { return Err(after.to_owned()) };
        expanded.push_str(&variables(name).ok_or_else(|| name.to_owned())?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// A program of the scenario, its variables replaced.
pub(crate) struct Prepared {
    name: String,
    argv: Vec<String>,
    env: Vec<(String, String)>,
    ready: Option<Ready>,
}

/// Replaces the variables of a scenario's program.
pub(crate) fn prepare(
    program: &scenario::Program,
    node: &str,
    folder: &Folder,
    variables: &std::collections::BTreeMap<String, String>,
) -> Result<Prepared, LabError> {
    let value = |name: &str| match name {
        "host" => Some(node.to_owned()),
        "host_dir" => Some(folder.host_dir(node).display().to_string()),
        "lab_dir" => Some(folder.path().display().to_string()),
        other => variables.get(other).cloned(),
    };
    let expand = |text: &str| {
        expand(text, &value).map_err(|variable| {
            let own = ["host", "host_dir", "lab_dir"].map(str::to_owned);
            LabError::UnknownVariable {
                program: program.name.clone(),
                variable,
                line: program.line,
                known: own.into_iter().chain(variables.keys().cloned()).collect(),
            }
        })
    };
    let env = program.env.iter().map(|(name, value)| Ok((name.clone(), expand(value)?)));
    let ready = program.ready.as_ref().map(|ready| {
        Ok::<_, LabError>(Ready {
            command: ready.command.as_deref().map(expand).transpose()?,
            file: ready.file.as_deref().map(expand).transpose()?,
            log: ready.log.as_deref().map(expand).transpose()?,
            ..ready.clone()
        })
    });
    Ok(Prepared {
        name: program.name.clone(),
        argv: vec!["sh".to_owned(), "-c".to_owned(), expand(&program.command)?],
        env: env.collect::<Result<_, LabError>>()?,
        ready: ready.transpose()?,
    })
}

/// Starts a program of the scenario and waits until it is ready.
pub(crate) fn start_and_wait(
    state: &State,
    folder: &Folder,
    node: &NodeState,
    program: &Prepared,
) -> Result<(), LabError> {
    let files = Files::new(folder, &node.name, &program.name);
    files.start(state, folder, Inside::Node(node), &program.argv, &program.env)?;
    let Some(ready) = &program.ready else { return Ok(()) };
    let patience = ready.deadline.map_or(DEFAULT_DEADLINE, |deadline| deadline.0);
    let deadline = Instant::now() + patience;
    loop {
        let ended = match files.status(state.init) {
            Some(Status::Ended(status)) => Some(status),
            Some(Status::Running(_)) | None => None,
        };
        let Some(condition) = unmet(state, folder, node, &files, ready) else { return Ok(()) };
        // A program may have made itself a daemon, or done its work: status 0 is no failure by itself.
        if let Some(status) = ended.filter(|status| *status != 0) {
            return Err(LabError::EndedEarly {
                host: node.name.clone(),
                program: program.name.clone(),
                status: status.to_string(),
                log: files.log_tail(),
            });
        }
        if Instant::now() >= deadline {
            return Err(LabError::NotReady {
                host: node.name.clone(),
                program: program.name.clone(),
                deadline: patience,
                condition,
                log: files.log_tail(),
            });
        }
        thread::sleep(POLL);
    }
}

/// The first condition that does not hold yet, in words.
fn unmet(state: &State, folder: &Folder, node: &NodeState, files: &Files, ready: &Ready) -> Option<String> {
    if let Some(port) = ready.tcp.filter(|port| !is_bound(node.process, "tcp", *port)) {
        return Some(format!("nothing listens on TCP port {port}"));
    }
    if let Some(port) = ready.udp.filter(|port| !is_bound(node.process, "udp", *port)) {
        return Some(format!("nothing has bound UDP port {port}"));
    }
    if let Some(text) = ready.log.as_ref().filter(|text| !files.log_text().contains(text.as_str())) {
        return Some(format!("its log does not contain `{text}`"));
    }
    if let Some(file) = ready.file.as_ref().filter(|file| !exists(node.process, file)) {
        return Some(format!("there is no file {file}"));
    }
    let command = ready.command.as_ref()?;
    let mut check = namespace::enter(state, folder, Inside::Node(node));
    check.args(["sh", "-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let holds = check.status().is_ok_and(|status| status.success());
    (!holds).then(|| format!("`{command}` does not succeed"))
}

/// Whether a file exists as a node sees it.
fn exists(holder: Process, file: &str) -> bool {
    let relative = Path::new(file).strip_prefix("/").unwrap_or(Path::new(file));
    fs::symlink_metadata(holder.proc("root").join(relative)).is_ok()
}

/// Whether a port is taken in a node's network namespace: state 0A is LISTEN, 07 an unconnected UDP socket.
fn is_bound(holder: Process, protocol: &str, port: u16) -> bool {
    let state = if protocol == "tcp" { "0A" } else { "07" };
    let suffix = format!(":{port:04X}");
    [protocol.to_owned(), format!("{protocol}6")].iter().any(|table| {
        let table = fs::read_to_string(holder.proc("net").join(table)).unwrap_or_default();
        table.lines().skip(1).any(|line| {
            let mut fields = line.split_ascii_whitespace();
            let local = fields.nth(1).unwrap_or_default();
            local.ends_with(&suffix) && fields.nth(1) == Some(state)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_unknown_ones_named() {
        let value = |name: &str| (name == "bin").then(|| "/b".to_owned());
        assert_eq!(expand("${bin}/x $HOME ${bin}", &value), Ok("/b/x $HOME /b".to_owned()));
        assert_eq!(expand("${nib}", &value), Err("nib".to_owned()));
        assert_eq!(expand("${bin", &value), Err("bin".to_owned()));
    }
}
