//! A running mesh and what a test does to it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use twinmesh_lab::{IpVersion, Lab, LinkChange, Options, Signal};

use crate::background::{BackgroundPing, Capture, quiet};
use crate::wait_for;

/// How long a program may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(10);
const THREE_NODES: &str = "three-nodes.toml";

/// Runs a test on a mesh of its own; `name` makes its lab recognisable in `twinmesh-lab list`. If the test fails,
/// logs and captures are kept in `target/lab/`.
///
/// # Panics
/// The mesh does not come up, or the test returns an error.
pub fn on_mesh(name: &str, test: impl FnOnce(&mut Mesh) -> Result<()>) {
    on_scenario(THREE_NODES, name, test);
}

/// Runs a test on another scenario of `tests/scenarios`.
///
/// # Panics
/// As [`on_mesh`].
pub fn on_scenario(file: &str, name: &str, test: impl FnOnce(&mut Mesh) -> Result<()>) {
    let options = Options { name: Some(format!("e2e-{name}-{}", std::process::id())), ..Options::default() };
    let mut mesh = match Mesh::of(file, options) {
        Ok(mesh) => mesh,
        Err(error) => panic!("{error:#}"),
    };
    // Panicking while the mesh is in scope tells the lab to keep its logs.
    if let Err(error) = test(&mut mesh) {
        panic!("{error:#}");
    }
}

/// A scenario that is up: `three-nodes.toml` with all three nodes joined, unless a test has one of its own.
pub struct Mesh {
    lab: Lab,
}

/// A join token.
pub struct Token {
    pub text: String,
    pub id: String,
}

impl Mesh {
    /// Brings the three nodes up in a lab with these options.
    pub fn with(options: Options) -> Result<Self> {
        Self::of(THREE_NODES, options)
    }

    /// Brings another scenario of `tests/scenarios` up.
    pub fn of(file: &str, options: Options) -> Result<Self> {
        let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(file);
        let lab = Lab::up(scenario.as_path(), options).context("bringing the lab up")?;
        Ok(Self { lab })
    }

    /// The lab that it runs in.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// A command inside a host. Commands on `hub` find the coordinator's data by themselves.
    pub fn command(&self, host: &str, arguments: &[&str]) -> Result<Command> {
        let (program, arguments) = arguments.split_first().context("an empty command")?;
        let host = self.lab.find_host(host)?;
        let mut command = host.command(program);
        command.args(arguments).env("TWINMESH_COORDINATOR_DATA", host.folder().join("coordinator"));
        Ok(command)
    }

    /// Runs a command to its end.
    pub fn output(&self, host: &str, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(host, arguments)?.output()?)
    }

    /// Runs a command that must succeed; what it printed.
    pub fn run(&self, host: &str, arguments: &[&str]) -> Result<String> {
        let output = self.output(host, arguments)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{host}: {}: {}\n{text}{error}", arguments.join(" "), output.status)
    }

    /// Runs a command that must fail with status 1; its standard error.
    pub fn fails(&self, host: &str, arguments: &[&str]) -> Result<String> {
        let output = self.output(host, arguments)?;
        ensure!(output.status.code() == Some(1), "{host}: {}: {}", arguments.join(" "), output.status);
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Runs a command that prints JSON.
    pub fn json(&self, host: &str, arguments: &[&str]) -> Result<Value> {
        let text = self.run(host, arguments)?;
        serde_json::from_str(&text).with_context(|| format!("{} printed: {text}", arguments.join(" ")))
    }

    /// Starts a command whose end the caller waits for.
    pub fn spawn(&self, host: &str, arguments: &[&str]) -> Result<Child> {
        Ok(quiet(&mut self.command(host, arguments)?)?)
    }

    /// `twinmesh status --json` of a node.
    pub fn status(&self, node: &str) -> Result<Value> {
        self.json(node, &["twinmesh", "status", "--json"])
    }

    /// One peer in a node's status.
    pub fn peer(&self, node: &str, peer: &str) -> Result<Value> {
        let status = self.status(node)?;
        let peers = status["peers"].as_array().context("no peers in the status")?;
        let found = peers.iter().find(|entry| entry["name"] == peer);
        found.cloned().with_context(|| format!("{node} has no peer {peer}: {status}"))
    }

    /// How many packets a node has dropped for a reason.
    pub fn drops(&self, node: &str, reason: &str) -> Result<u64> {
        Ok(self.status(node)?["drops"][reason].as_u64().unwrap_or(0))
    }

    /// A node's addresses in the mesh, IPv4 first.
    pub fn overlay_addresses(&self, node: &str) -> Result<Vec<IpAddr>> {
        let addresses: Vec<IpAddr> = serde_json::from_value(self.status(node)?["addresses"].clone())?;
        ensure!(addresses.len() == 2, "{node} has the addresses {addresses:?}");
        Ok(addresses)
    }

    /// Pings until an answer comes.
    pub fn pings_within(&self, from: &str, to: IpAddr, deadline: Duration) -> Result<()> {
        let to = to.to_string();
        let start = Instant::now();
        wait_for(&format!("{to} to answer {from}"), deadline, || {
            self.run(from, &["ping", "-c", "1", "-W", "0.5", &to]).ok()
        })?;
        // The last look began in time; the answer must have come in time too.
        ensure!(start.elapsed() <= deadline + Duration::from_millis(500), "{:?}", start.elapsed());
        Ok(())
    }

    /// Starts a ping, ten a second, for that long.
    pub fn ping_in_background(&self, from: &str, to: IpAddr, duration: Duration) -> Result<BackgroundPing> {
        BackgroundPing::start(self, from, to, duration)
    }

    /// Captures what crosses a host's underlay.
    pub fn capture(&self, host: &str, filter: &str) -> Result<Capture> {
        Capture::start(self, host, filter)
    }

    /// Kills a node's agent as a crash would.
    pub fn kill_agent(&mut self, node: &str) -> Result<()> {
        let agent = self.lab.find_host(node)?.program("agent")?;
        agent.signal(Signal::SIGKILL)?;
        agent.wait(PATIENCE).context("the agent does not end")?;
        Ok(())
    }

    /// Starts a node's agent again, and waits until it answers.
    pub fn start_agent(&mut self, node: &str) -> Result<()> {
        self.lab.find_host(node)?.restart("agent")?;
        wait_for("the agent to answer", PATIENCE, || self.status(node).ok())?;
        Ok(())
    }

    /// Starts a node's agent again, with further flags.
    pub fn restart_agent_with(&mut self, node: &str, flags: &[&str]) -> Result<()> {
        self.kill_agent(node)?;
        let host = self.lab.find_host(node)?;
        let state = host.folder().join("state").display().to_string();
        let argv = [&["twinmesh", "agent", "--state", &state], flags].concat();
        host.spawn("agent", &argv, &[("RUST_LOG", "info,twinmesh_agent=debug")])?;
        wait_for("the agent to run its tunnels", PATIENCE, || {
            (self.status(node).ok()?["state"] == "running").then_some(())
        })
    }

    /// Writes a file into a host's folder; its path.
    pub fn write(&self, host: &str, name: &str, text: &str) -> Result<String> {
        let path = self.lab.find_host(host)?.folder().join(name);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path.display().to_string())
    }

    /// A host's first address outside the mesh, by IPv4 or IPv6.
    pub fn outer_address(&self, host: &str, version: IpVersion) -> Result<IpAddr> {
        let address = self.lab.find_host(host)?.address(version);
        address.with_context(|| format!("{host} has no address of that version"))
    }

    /// The pid of a node's agent, as the node sees it.
    pub fn agent_pid(&self, node: &str) -> Result<String> {
        Ok(self.status(node)?["pid"].to_string())
    }

    /// The folder of a node's state.
    pub fn state_dir(&self, node: &str) -> Result<String> {
        Ok(self.lab.find_host(node)?.folder().join("state").display().to_string())
    }

    /// Ends the coordinator in order.
    pub fn stop_coordinator(&mut self) -> Result<()> {
        let status = self.lab.find_host("hub")?.program("coordinator")?.stop(PATIENCE)?;
        ensure!(status == 0, "the coordinator ended with status {status}");
        Ok(())
    }

    /// Starts the coordinator again.
    pub fn start_coordinator(&mut self) -> Result<()> {
        self.lab.find_host("hub")?.restart("coordinator")?;
        Ok(())
    }

    /// Gives a node's underlay other addresses, in the same networks.
    pub fn move_node(&self, node: &str) -> Result<()> {
        let script = "
            for family in 4 6; do
              old=$(ip -$family -o address show dev eth0 scope global | awk '{ print $4; exit }')
              gateway=$(ip -$family route show default | awk '{ print $3; exit }')
              [ $family = 4 ] && new=${old%.*}.77/${old#*/} || new=${old%::*}::77/${old#*/}
              ip -$family address del $old dev eth0
              [ $family = 4 ] && ip address add $new dev eth0 || ip address add $new dev eth0 nodad
              ip -$family route replace default via $gateway
            done";
        self.run(node, &["sh", "-ec", script])?;
        Ok(())
    }

    /// Makes a router forget its NAT mappings, as if it had been switched off and on.
    pub fn forget_nat(&mut self, router: &str) -> Result<()> {
        Ok(self.lab.nat_forget(router)?)
    }

    /// Changes the link of a host's `eth0`.
    pub fn change_link(&mut self, host: &str, change: LinkChange) -> Result<()> {
        Ok(self.lab.link(host, "eth0", &[change])?)
    }

    /// Makes a join token, with further arguments of `token create`.
    pub fn token(&self, arguments: &[&str]) -> Result<Token> {
        let create = [&["twinmesh-coordinator", "token", "create", "--json"], arguments].concat();
        let created = self.json("hub", &create)?;
        let text = created["secret"].as_str().context("no secret")?.to_owned();
        Ok(Token { text, id: created["token"]["id"].to_string() })
    }
}
