use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::DEADLINE;

const PROGRAM: &str = env!("CARGO_BIN_EXE_twinmesh-coordinator");

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// `serve`, as a process of its own on ports of its own.
pub struct Program {
    child: Child,
    /// The data folder as this process sees it.
    pub data: PathBuf,
    log: PathBuf,
}

impl Program {
    pub fn serve(folder: &Path) -> Self {
        Self::start(folder, Command::new(PROGRAM), |_| folder.join("data"))
    }

    /// In a mount namespace whose data folder is a disk of that size.
    pub fn serve_on_small_disk(folder: &Path, size: &str) -> Self {
        let data = folder.join("data");
        fs::create_dir(&data).unwrap();
        let mount =
            format!("mount -t tmpfs -o size={size} small {} && exec {PROGRAM} \"$@\"", data.display());
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount, "sh"]);
        Self::start(folder, command, |child| {
            Path::new("/proc").join(child.id().to_string()).join("root").join(data.strip_prefix("/").unwrap())
        })
    }

    fn start(folder: &Path, mut command: Command, seen_data: impl Fn(&Child) -> PathBuf) -> Self {
        let log = folder.join("log");
        command.args(["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--stun", "127.0.0.1:0"]);
        command.args(["--advertise", "hub.test", "--data"]).arg(folder.join("data"));
        let file = fs::File::create(&log).unwrap();
        let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        let mut program = Self { data: seen_data(&child), child, log };
        let mut ended = None;
        wait("the coordinator to serve", || {
            ended = program.child.try_wait().unwrap();
            ended.is_some() || program.log().contains("the coordinator serves")
        });
        assert_eq!(ended, None, "{}", program.log());
        program
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn api(&self) -> super::Api {
        let read = |name: &str| fs::read_to_string(self.data.join(name)).unwrap();
        super::Api { address: read("http-address").parse().unwrap(), token: Some(read("api-token")) }
    }

    /// A command that finds its server by the data folder.
    pub fn command(&self, arguments: &[&str]) -> Output {
        run(&[arguments, &["--data", self.data.to_str().unwrap()]].concat())
    }

    /// Standard output of a command that does its work.
    #[track_caller]
    pub fn must(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard error of a command that fails.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// SIGTERM, and the end.
    pub fn stop(mut self) -> ExitStatus {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        let mut ended = None;
        wait("the coordinator's end", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that has ended already is gone.
        self.child.kill().ok();
        self.child.wait().ok();
        if thread::panicking() {
            eprintln!("the coordinator's log:\n{}", self.log());
        }
    }
}

fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {DEADLINE:?}");
        thread::sleep(std::time::Duration::from_millis(10));
    }
}
