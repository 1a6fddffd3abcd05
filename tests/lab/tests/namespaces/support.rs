//! What the tests share.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use twinmesh_lab::{Host, Lab, Options};

/// Patience with a machine that has much else to do.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A lab in a folder of its own.
pub struct TestLab {
    pub lab: Lab,
    _root: TempDir,
}

impl TestLab {
    pub fn up(scenario: &str) -> Self {
        let root = TempDir::new().unwrap();
        let options = Options { root: Some(root.path().to_owned()), ..Options::default() };
        match Lab::up(scenario, options) {
            Ok(lab) => Self { lab, _root: root },
            Err(error) => panic!("{error}"),
        }
    }

    pub fn host(&self, name: &str) -> Host<'_> {
        self.lab.host(name)
    }

    /// Runs a shell command in a host.
    pub fn run(&self, host: &str, command: &str) -> Output {
        self.host(host).command("sh").args(["-c", command]).output().unwrap()
    }

    /// Runs a shell command in a host that has to succeed; returns what it wrote.
    #[track_caller]
    pub fn must(&self, host: &str, command: &str) -> String {
        let output = self.run(host, command);
        let text = both(&output);
        assert!(output.status.success(), "{host}: {command}\n{text}");
        text
    }
}

/// A helper program of the tests, from `examples/`: Cargo builds it beside this test binary,
/// `<target>/debug/deps/x` and `<target>/debug/examples/name`.
#[track_caller]
pub fn helper(name: &str) -> PathBuf {
    let executable = std::env::current_exe().unwrap();
    let profile = executable.ancestors().nth(2).unwrap();
    let path = profile.join("examples").join(name);
    assert!(
        path.is_file(),
        "{} is missing: build it with `cargo build -p twinmesh-lab --examples` (and the tests' --profile, if any)",
        path.display()
    );
    path
}

/// What a program wrote to its output and error.
pub fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Waits until a condition holds.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The `twinmesh-lab` binary with labs in a folder of the test's own.
pub struct CommandLine {
    pub root: TempDir,
}

impl CommandLine {
    pub fn new() -> Self {
        Self { root: TempDir::new().unwrap() }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinmesh-lab"));
        command.args(arguments).env("TWINMESH_LAB_DIR", self.labs());
        command
    }

    pub fn labs(&self) -> PathBuf {
        self.root.path().join("labs")
    }

    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that has to succeed; returns what it wrote.
    #[track_caller]
    pub fn must(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", both(&output));
        both(&output)
    }

    /// Runs a command that has to fail with this status; returns what it wrote.
    #[track_caller]
    pub fn fails(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", both(&output));
        both(&output)
    }

    /// Writes a scenario's file.
    pub fn file(&self, name: &str, scenario: &str) -> String {
        let path = self.root.path().join(name);
        std::fs::write(&path, scenario).unwrap();
        path.display().to_string()
    }

    /// The state of a lab, as written on disk.
    pub fn state(&self, lab: &str) -> Option<twinmesh_lab::folder::State> {
        state(&self.labs(), lab)
    }

    /// Names of the folders of labs.
    pub fn folders(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.labs()).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }
}

impl Drop for CommandLine {
    fn drop(&mut self) {
        // Also after a failed test.
        for name in self.folders() {
            let _ = twinmesh_lab::down(&self.labs(), &name);
        }
    }
}

pub fn state(root: &Path, lab: &str) -> Option<twinmesh_lab::folder::State> {
    serde_json::from_slice(&std::fs::read(root.join(lab).join("state.json")).ok()?).ok()
}

/// Processes of the machine that were started for labs under this folder.
pub fn processes_of(root: &Path) -> Vec<i32> {
    let root = root.display().to_string();
    let mine = i32::try_from(std::process::id()).unwrap();
    let belongs = |pid: i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let text = String::from_utf8_lossy(&environment);
        text.split('\0').any(|it| it.starts_with("TWINMESH_LAB_FOLDER=") && it.contains(&root))
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != mine && belongs(*pid)).collect()
}

/// Two hosts on one network.
pub const PAIR: &str = r#"
name = "pair"
[network.lan]
subnets = ["192.0.2.0/24", "2001:db8:1::/64"]
[host.a]
network = "lan"
[host.b]
network = "lan"
"#;
