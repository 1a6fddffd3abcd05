use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::{HUB, Hub, Lan, Namespace, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_twinmesh");

/// A machine with an agent; the agent ends before its namespace.
pub struct Node {
    agent: Option<Child>,
    arguments: &'static [&'static str],
    pub folder: TempDir,
    pub namespace: Namespace,
}

impl Node {
    pub fn new(lan: &Lan, number: u8) -> Self {
        Self::with_arguments(lan, number, &[])
    }

    /// Its agent gets further arguments.
    pub fn with_arguments(lan: &Lan, number: u8, arguments: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut node = Self { agent: None, arguments, folder, namespace: lan.attach(number) };
        node.start();
        node
    }

    /// A node that has joined.
    pub fn joined(lan: &Lan, hub: &Hub, number: u8) -> Self {
        let node = Self::new(lan, number);
        let output = node.up(hub, number);
        assert!(output.status.success(), "{output:?}");
        node
    }

    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = self.agent_command("state", "socket", "mesh0");
        command.args(self.arguments);
        self.agent = Some(command.stderr(log).spawn().unwrap());
        until("the local socket", || self.twinmesh(&["status"]).status.success().then_some(()));
    }

    pub fn agent_command(&self, state: &str, socket: &str, tun: &str) -> Command {
        let mut command = self.namespace.command(PROGRAM);
        command.args(["agent", "--tun", tun, "--workers", "1"]);
        command.arg("--state").arg(self.folder.path().join(state));
        command.arg("--socket").arg(self.folder.path().join(socket));
        command
    }

    /// The same for a shell.
    pub fn agent_line(&self, state: &str, socket: &str, tun: &str) -> String {
        let folder = self.folder.path().display();
        format!("{PROGRAM} agent --tun {tun} --state {folder}/{state} --socket {folder}/{socket}")
    }

    /// What a further agent says that has to refuse.
    pub fn refused_agent(&self, state: &str, socket: &str, tun: &str) -> String {
        let mut agent = self.agent_command(state, socket, tun).stderr(Stdio::piped()).spawn().unwrap();
        until("the refusal of an agent", || agent.try_wait().unwrap());
        refusal(&agent.wait_with_output().unwrap())
    }

    /// SIGTERM, and the end.
    pub fn stop(&mut self) -> ExitStatus {
        let mut agent = self.agent.take().unwrap();
        kill(Pid::from_raw(agent.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        until("the end of the agent", || agent.try_wait().unwrap())
    }

    /// SIGKILL.
    pub fn crash(&mut self) {
        let mut agent = self.agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    pub fn restart(&mut self) {
        assert!(self.stop().success());
        self.start();
    }

    pub fn pid(&self) -> String {
        self.status()["pid"].to_string()
    }

    pub fn twinmesh(&self, arguments: &[&str]) -> Output {
        let mut command = self.namespace.command(PROGRAM);
        command.args(arguments).arg("--socket").arg(self.folder.path().join("socket")).output().unwrap()
    }

    /// The answer to bytes that are sent to the local socket as they are.
    pub fn says(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.folder.path().join("socket")).unwrap();
        stream.write_all(request).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer
    }

    pub fn up(&self, hub: &Hub, number: u8) -> Output {
        let (token, name) = (hub.token(), format!("node-{number}"));
        self.twinmesh(&["up", "--coordinator", HUB, "--token", &token, "--hostname", &name])
    }

    pub fn status(&self) -> Value {
        let output = self.twinmesh(&["status", "--json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn until_status(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        until(what, || Some(self.status()).filter(&holds))
    }

    /// Whether the TUN device is there.
    pub fn has_tun(&self) -> bool {
        self.namespace.sh("ip link show mesh0").status.success()
    }

    pub fn pings(&self, address: &str) -> bool {
        self.namespace.sh(&format!("ping -c 1 -W 1 {address}")).status.success()
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().unwrap();
            agent.wait().unwrap();
        }
        if std::thread::panicking() {
            eprintln!("the agent's log:\n{}", fs::read_to_string(self.log()).unwrap_or_default());
        }
    }
}

/// Standard error of a program that had to fail.
pub fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}
