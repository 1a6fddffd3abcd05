//! Namespaces by way of `unshare` and `nsenter`.
//!
//! One process, the lab's *init*, is pid 1 of a pid namespace; its network namespace holds the bridges.
//! Each node has a *holder*: a process that sleeps in the node's own network, mount and UTS namespace.
//! When init ends, the kernel ends everything in its pid namespace, and the namespaces go with it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use crate::error::LabError;
use crate::folder::{Folder, NodeState, State};
use crate::process::{self, Process};
use crate::tools;

/// Pid 1 of the lab. It does nothing before `go` arrives, so that a lab whose `up` was killed before it
/// wrote down the pid vanishes by itself. Until `detach` arrives the lab ends with whoever holds the
/// other end of its standard input. `wait` collects orphans.
const INIT: &str = r#"
exec 3<&0 </dev/null
echo hello
read -r line <&3 || exit 1
trap 'exit 0' TERM
for node in "$@"; do
  unshare --mount --net --uts --propagation private sh -c "$TWINMESH_LAB_HOLDER" holder "$node" 3<&- &
  echo "node $node $!"
done
( while read -r line <&3; do [ "$line" = detach ] && exit; done; kill -TERM 1 ) >/dev/null 2>&1 &
exec 3<&- >/dev/null 2>&1
while :; do wait; sleep 1; done
"#;

/// A node's holder: a /run, a /sys and an /etc/hosts of its own; a container may refuse /sys, which then
/// shows the machine's interfaces. The lab's folder stays visible if it lies under /run itself.
const HOLDER: &str = r#"
set -e
trap 'echo "failed $1"' EXIT
hostname "$1"
run=$TWINMESH_LAB_FOLDER/hosts.d/.run-$1
mkdir -p "$run"
mount -n -t tmpfs -o mode=755 tmpfs "$run"
case $TWINMESH_LAB_FOLDER in
  /run/*) inside=$run${TWINMESH_LAB_FOLDER#/run}; mkdir -p "$inside"; mount -n --rbind "$TWINMESH_LAB_FOLDER" "$inside" ;;
esac
mount -n --move "$run" /run
mount -n -t sysfs sysfs /sys 2>/dev/null || true
mount -n --bind "$TWINMESH_LAB_FOLDER/hosts" /etc/hosts
echo "ready $1"
exec sleep infinity >/dev/null 2>&1
"#;

/// How long namespaces may take to appear on a busy machine.
const NAMESPACE_DEADLINE: Duration = Duration::from_secs(30);

/// Bit of `CAP_SYS_ADMIN` in a capability set.
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// Whether namespaces can be made only inside a user namespace of our own.
pub(crate) fn needs_user_namespace() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    effective & CAP_SYS_ADMIN == 0
}

/// The lab's init, started but waiting for `go`.
#[derive(Debug)]
pub(crate) struct Init {
    pub(crate) process: Process,
    pub(crate) user_namespace: bool,
    /// `unshare`, which waits for init and ends with it.
    pub(crate) child: Child,
    /// Closing it ends the lab, unless `detach` was said.
    pub(crate) leash: ChildStdin,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Init {
    /// Starts init for these nodes. Its errors go to the lab's log.
    pub(crate) fn start(folder: &Folder, nodes: &[String]) -> Result<Self, LabError> {
        let user_namespace = needs_user_namespace();
        let log = folder.lab_log();
        let log_file = File::create(&log).map_err(LabError::io(log.display()))?;
        let mut command = Command::new("setsid");
        command.arg("unshare");
        if user_namespace {
            command.args(["--user", "--map-root-user"]);
        }
        command
            .args(["--fork", "--pid", "--mount-proc", "--mount", "--net", "--uts", "sh", "-c", INIT, "init"])
            .args(nodes)
            .env("PATH", tools::search_path())
            .env("TWINMESH_LAB_FOLDER", folder.path())
            .env("TWINMESH_LAB_HOLDER", HOLDER)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file);
        let mut child = command.spawn().map_err(LabError::io("setsid unshare"))?;
        let refused = || {
            let reason = std::fs::read_to_string(&log).unwrap_or_default();
            LabError::NamespacesRefused(reason.trim().to_owned())
        };
        let (Some(leash), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(refused());
        };
        let (sender, lines) = std::sync::mpsc::channel();
        // Ends when init and all holders have closed their end, or at the latest when the lab ends.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let hello = lines.recv_timeout(NAMESPACE_DEADLINE);
        let pid = i32::try_from(child.id()).unwrap_or_default();
        let process = hello.ok().and_then(|_| process::first_child(pid));
        let Some(process) = process else {
            drop(leash);
            let _ = child.wait();
            return Err(refused());
        };
        Ok(Self { process, user_namespace, child, leash, lines })
    }

    /// Lets init make the nodes. Returns name and pid inside of each holder.
    pub(crate) fn make_nodes(
        &mut self,
        folder: &Folder,
        count: usize,
    ) -> Result<Vec<(String, i32)>, LabError> {
        let failed = || {
            let message = std::fs::read_to_string(folder.lab_log()).unwrap_or_default();
            LabError::Setup { node: "the nodes' namespaces".to_owned(), message: message.trim().to_owned() }
        };
        self.say("go")?;
        let (mut pids, mut ready) = (Vec::new(), 0);
        while ready < count || pids.len() < count {
            let line = self.lines.recv_timeout(NAMESPACE_DEADLINE).map_err(|_| failed())?;
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next().and_then(|pid| pid.parse().ok())) {
                (Some("node"), Some(name), Some(pid)) => pids.push((name.to_owned(), pid)),
                (Some("ready"), _, _) => ready += 1,
                _ => return Err(failed()),
            }
        }
        Ok(pids)
    }

    /// Says a word to init.
    pub(crate) fn say(&mut self, word: &str) -> Result<(), LabError> {
        writeln!(self.leash, "{word}").map_err(LabError::io("the lab's first process"))
    }
}

/// Which namespaces to enter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Inside<'a> {
    /// Init's: the network namespace with the bridges.
    Backbone,
    /// A node's.
    Node(&'a NodeState),
}

/// `nsenter` into a place of the lab; the caller appends the program and its arguments. Keeps the
/// working directory where the place has it. The program ends when `nsenter` is killed.
pub(crate) fn enter(state: &State, folder: &Folder, inside: Inside<'_>) -> Command {
    let mut command = enter_bare(state, folder, inside);
    let directory = std::env::current_dir().unwrap_or_else(|_| "/".into());
    // /run is the node's own.
    let directory = if directory.starts_with("/run") { Path::new("/") } else { &directory };
    command.arg("env").arg(format!("--chdir={}", directory.display()));
    command.args(["setpriv", "--pdeathsig", "KILL", "--"]);
    command
}

/// Like [`enter`], but what it starts may outlive `nsenter`, and starts in `/`.
pub(crate) fn enter_bare(state: &State, folder: &Folder, inside: Inside<'_>) -> Command {
    let mut command = Command::new("nsenter");
    let target = match inside {
        Inside::Backbone => state.init,
        Inside::Node(node) => node.process,
    };
    if state.user_namespace {
        command.args(["--user", "--preserve-credentials"]);
    }
    command.args(["--mount", "--uts", "--net", "--pid", "--target"]).arg(target.pid.to_string());
    command.arg("--");
    environment(&mut command, state, folder, inside);
    command
}

/// Sets the variables that every program of a lab has.
pub(crate) fn environment(command: &mut Command, state: &State, folder: &Folder, inside: Inside<'_>) {
    // What the scenario calls `${bin}` comes first, so that `exec HOST -- twinmesh status` finds it.
    let bin = state.variables.get("bin").map(Path::new);
    command.env("PATH", tools::search_path_with(bin)).env("TWINMESH_LAB", &state.name);
    command.env("TWINMESH_LAB_FOLDER", folder.path());
    if let Inside::Node(node) = inside {
        command.env("TWINMESH_LAB_HOST", &node.name);
        command.env("TWINMESH_LAB_HOST_DIR", folder.host_dir(&node.name));
    }
}

/// Moves the calling process into a node; of the pid namespace only its children become part. The working
/// directory stays where the node has it.
pub(crate) fn join(state: &State, node: &NodeState) -> Result<(), LabError> {
    let directory = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let kinds = [
        ("user", CloneFlags::CLONE_NEWUSER),
        ("net", CloneFlags::CLONE_NEWNET),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("pid", CloneFlags::CLONE_NEWPID),
        ("mnt", CloneFlags::CLONE_NEWNS),
    ];
    let files =
        kinds.iter().filter(|(kind, _)| *kind != "user" || state.user_namespace).map(|(kind, flag)| {
            let path = node.process.proc("ns").join(kind);
            Ok((File::open(&path).map_err(LabError::io(path.display()))?, *flag))
        });
    // All are opened before the first is entered: afterwards /proc shows the lab's processes only.
    for (file, flag) in files.collect::<Result<Vec<_>, LabError>>()? {
        setns(file, flag).map_err(std::io::Error::from).map_err(LabError::io("entering the host"))?;
    }
    // /run is the node's own.
    let seen = directory.is_dir() && !directory.starts_with("/run");
    let inside = if seen { &directory } else { Path::new("/") };
    std::env::set_current_dir(inside).map_err(LabError::io(inside.display()))
}

/// Runs a shell script at a place of the lab; `what` is for the message if it fails.
pub(crate) fn run_script(
    state: &State,
    folder: &Folder,
    inside: Inside<'_>,
    what: &str,
    script: &str,
) -> Result<(), LabError> {
    let mut child = enter_bare(state, folder, inside)
        .args(["sh", "-e"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(LabError::io("nsenter"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A script that fails early closes the pipe; its own message says more than ours.
        let _ = stdin.write_all(script.as_bytes());
    }
    let output = child.wait_with_output().map_err(LabError::io("nsenter"))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(LabError::Setup { node: what.to_owned(), message })
}
