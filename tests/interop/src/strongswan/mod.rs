//! strongSwan's charon in a host of the lab, with ESP in user space (`kernel-libipsec`).
//!
//! The host has a mount namespace of its own, so each charon finds its files at the usual places, where also
//! AppArmor expects them: `/etc/strongswan.conf`, `/etc/swanctl`, `/run/charon.vici`.

mod certificates;
mod configuration;
mod version;

pub use certificates::{Authority, KeyKind, KeyPair};
pub use configuration::{Authentication, Child, Connection, PostquantumSecret};
pub use version::Version;

use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use twinmesh_e2e::{Mesh, wait_for};
use twinmesh_lab::Signal;

const PROGRAM: &str = "charon";
const PATIENCE: Duration = Duration::from_secs(10);

/// A charon; it runs until it is killed or the lab ends.
pub struct Charon<'a> {
    mesh: &'a Mesh,
    host: &'a str,
    version: Version,
}

impl<'a> Charon<'a> {
    /// Starts the machine's own charon with these connections.
    ///
    /// # Errors
    /// As [`Charon::start_version`].
    pub fn start(mesh: &'a Mesh, host: &'a str, connections: &[Connection]) -> Result<Self> {
        Self::start_with(mesh, host, "", connections)
    }

    /// The same with further settings of charon, as `strongswan.conf` has them.
    ///
    /// # Errors
    /// As [`Charon::start_version`].
    pub fn start_with(
        mesh: &'a Mesh,
        host: &'a str,
        settings: &str,
        connections: &[Connection],
    ) -> Result<Self> {
        Self::start_version(mesh, host, Version::OfMachine, settings, connections)
    }

    /// Starts a charon of that version.
    ///
    /// # Errors
    /// It is not installed (`tests/setup.sh test` does that), or refuses its configuration.
    pub fn start_version(
        mesh: &'a Mesh,
        host: &'a str,
        version: Version,
        settings: &str,
        connections: &[Connection],
    ) -> Result<Self> {
        let charon = Self { mesh, host, version };
        mesh.run(host, &["sh", "-ec", &version.copy_files()?])
            .context("strongSwan is not installed: run tests/setup.sh test")?;
        mesh.write(host, "strongswan.conf", &configuration::strongswan_conf(settings))?;
        charon.run()?;
        charon.load(connections)?;
        Ok(charon)
    }

    /// Starts it again after [`Charon::kill`], with the files that it had.
    pub fn restart(&self) -> Result<()> {
        self.run()?;
        self.swanctl(&["--load-all"]).map(drop)
    }

    fn run(&self) -> Result<()> {
        self.mesh.lab().find_host(self.host)?.spawn(PROGRAM, &["sh", "-ec", &self.version.start()?], &[])?;
        wait_for("charon to answer", PATIENCE, || self.swanctl(&["--stats"]).ok())
            .with_context(|| self.log())?;
        Ok(())
    }

    /// Replaces its connections, keys and certificates.
    pub fn load(&self, connections: &[Connection]) -> Result<()> {
        for connection in connections {
            for (name, content) in connection.files() {
                self.mesh.write(self.host, &format!("swanctl/{name}"), content)?;
            }
        }
        let text = configuration::swanctl_conf(connections);
        self.mesh.write(self.host, "swanctl/swanctl.conf", &text)?;
        let said = self.swanctl(&["--load-all", "--clear"])?;
        ensure!(!said.contains("failed"), "{said}\n{text}");
        Ok(())
    }

    /// Runs `swanctl` with these arguments; what it printed.
    pub fn swanctl(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run_swanctl(arguments)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "swanctl {}: {text}{error}", arguments.join(" "));
        Ok(text)
    }

    fn run_swanctl(&self, arguments: &[&str]) -> Result<Output> {
        let root = self.version.root()?;
        let program =
            root.as_deref().map_or(vec!["swanctl"], |root| vec!["chroot", root, "/usr/sbin/swanctl"]);
        self.mesh.output(self.host, &[&program, arguments].concat())
    }

    /// Sets a child SA up, and the IKE SA under it.
    pub fn initiate(&self, child: &str) -> Result<()> {
        let seconds = PATIENCE.as_secs().to_string();
        self.swanctl(&["--initiate", "--child", child, "--timeout", &seconds]).map(drop)
    }

    /// Tries to; what charon says of its failure.
    pub fn fails_to_initiate(&self, child: &str) -> Result<String> {
        let seconds = PATIENCE.as_secs().to_string();
        let output = self.run_swanctl(&["--initiate", "--child", child, "--timeout", &seconds])?;
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success(), "it succeeded: {said}");
        Ok(said)
    }

    /// Rekeys a child and waits until the new SA is alone.
    pub fn rekey_child(&self, child: &str) -> Result<()> {
        let inbound =
            || Ok::<_, anyhow::Error>(self.sas()?.split("in  ").nth(1).map(|spi| spi[..8].to_owned()));
        let old = inbound()?;
        self.swanctl(&["--rekey", "--child", child])?;
        wait_for("a new SPI", PATIENCE, || (inbound().ok()? != old).then_some(()))
            .with_context(|| self.log())?;
        self.settles_with(1)
    }

    /// SPIs of its newest IKE SA, as `INITIATOR_i RESPONDER_r` with a star at its own.
    pub fn ike_spis(&self) -> Result<String> {
        let sas = self.sas()?;
        let line = sas.lines().find(|line| line.contains("ESTABLISHED")).context("no IKE SA")?;
        Ok(line.rsplit(", ").next().unwrap_or_default().to_owned())
    }

    /// The SAs in swanctl's notation, an IKE SA followed by its children.
    pub fn sas(&self) -> Result<String> {
        self.swanctl(&["--list-sas"])
    }

    /// How many SAs are in that state: `ESTABLISHED` for IKE SAs, `INSTALLED` for children.
    pub fn count(&self, state: &str) -> Result<usize> {
        Ok(self.sas()?.matches(state).count())
    }

    /// Waits for exactly one IKE SA with so many children, none of them on its way in or out.
    pub fn settles_with(&self, children: usize) -> Result<()> {
        let settled = || {
            let sas = self.sas().ok()?;
            let count = |text: &str| sas.matches(text).count();
            let whole =
                count("ESTABLISHED") == 1 && count("INSTALLED") == children && count("reqid") == children;
            whole.then_some(())
        };
        wait_for(&format!("one IKE SA with {children} children"), PATIENCE, settled)
            .with_context(|| self.sas().unwrap_or_default())
    }

    /// Waits until no SA is left.
    pub fn is_empty_within(&self, deadline: Duration) -> Result<()> {
        wait_for("charon to have no SA", deadline, || self.sas().ok()?.trim().is_empty().then_some(()))
            .with_context(|| self.sas().unwrap_or_default())
    }

    /// All that it has logged, decoded messages among it.
    pub fn log(&self) -> String {
        let host = self.mesh.lab().find_host(self.host);
        host.and_then(|host| Ok(host.program(PROGRAM)?.log())).unwrap_or_default()
    }

    /// Waits until its log contains a text.
    pub fn logs(&self, text: &str) -> Result<()> {
        wait_for(&format!("charon to log `{text}`"), PATIENCE, || self.log().contains(text).then_some(()))
    }

    /// Ends it as a crash would: no peer is told.
    pub fn kill(&self) -> Result<()> {
        let program = self.mesh.lab().find_host(self.host)?.program(PROGRAM)?;
        program.signal(Signal::SIGKILL)?;
        program.wait(PATIENCE).context("charon does not end")?;
        Ok(())
    }
}
