//! The lab as Rust tests see it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::error::LabError;
use crate::folder::{self, Folder, NodeState, Phase, State};
use crate::link::control::{self, LinkChange};
use crate::namespace::{self, Inside};
use crate::nat;
use crate::program::{self, Files, Status};
use crate::scenario::{IpVersion, Scenario};
use crate::{tools, up};

/// How to bring a lab up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Name of the lab; unset, the scenario's name with a part that makes it unique.
    pub name: Option<String>,
    /// Leave the lab up when [`Lab`] is dropped, and after this program's end.
    pub keep: bool,
    /// Folder that `${bin}` stands for; unset, that of this build's binaries.
    pub bin: Option<PathBuf>,
    /// Further `${variables}` for the scenario's commands.
    pub variables: BTreeMap<String, String>,
    /// Folder of all labs; unset, [`folder::root`].
    pub root: Option<PathBuf>,
}

/// A scenario's text, or the file that holds it.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    Text(&'a str),
    File(&'a Path),
}

impl<'a> From<&'a str> for Source<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a Path> for Source<'a> {
    fn from(file: &'a Path) -> Self {
        Self::File(file)
    }
}

impl<'a> From<&'a PathBuf> for Source<'a> {
    fn from(file: &'a PathBuf) -> Self {
        Self::File(file)
    }
}

impl Source<'_> {
    /// Reads and checks the scenario.
    ///
    /// # Errors
    /// The file cannot be read, or [`LabError::Scenario`].
    pub fn read(self) -> Result<Scenario, LabError> {
        Ok(self.read_with_text()?.0)
    }

    fn read_with_text(self) -> Result<(Scenario, String), LabError> {
        match self {
            Source::Text(text) => Ok((Scenario::parse(text, None)?, text.to_owned())),
            Source::File(file) => {
                let path = std::fs::canonicalize(file).map_err(LabError::io(file.display()))?;
                let text = std::fs::read_to_string(&path).map_err(LabError::io(file.display()))?;
                let mut scenario = Scenario::parse(&text, Some(file))?;
                scenario.file = Some(path);
                Ok((scenario, text))
            }
        }
    }
}

/// A lab that is up. Dropped, it is taken down, unless it was to be kept or was only opened. If the
/// test is failing then, its logs and captures are copied to `target/lab/TESTNAME/` first.
#[derive(Debug)]
pub struct Lab {
    folder: Folder,
    state: State,
    /// Set in the process that brought the lab up to take it down again.
    owned: Option<(Child, ChildStdin)>,
}

impl Lab {
    /// Brings a scenario up.
    ///
    /// # Errors
    /// [`LabError`]; nothing runs then.
    pub fn up<'a>(source: impl Into<Source<'a>>, options: Options) -> Result<Self, LabError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (scenario, text) = source.into().read_with_text()?;
        let root = options.root.unwrap_or_else(folder::root);
        up::sweep(&root);
        let name = options.name.unwrap_or_else(|| {
            format!("{}-{}-{}", scenario.name, std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
        });
        let folder = Folder::new(&root, &name)?;
        let variables = up::variables(&scenario, options.bin, options.variables);
        let started = up::up(&scenario, &text, &folder, variables, !options.keep);
        let started = started.inspect_err(|_| {
            // Nobody comes back for the folder of a test's lab.
            if !options.keep {
                keep_evidence(&folder);
                let _ = folder.remove();
            }
        })?;
        let owned = (!options.keep).then_some((started.child, started.leash));
        Ok(Self { folder, state: started.state, owned })
    }

    /// Opens a lab that is up already. Dropping it changes nothing.
    ///
    /// # Errors
    /// [`LabError::NotUp`], [`LabError::BadName`].
    pub fn open(root: &Path, name: &str) -> Result<Self, LabError> {
        let folder = Folder::new(root, name)?;
        let state = folder.load_up()?;
        Ok(Self { folder, state, owned: None })
    }

    /// Opens the lab of that name, or without one the only lab that is up.
    ///
    /// # Errors
    /// [`LabError::NoneUp`], [`LabError::SeveralUp`], and those of [`Lab::open`].
    pub fn select(root: &Path, name: Option<&str>) -> Result<Self, LabError> {
        if let Some(name) = name {
            return Self::open(root, name);
        }
        let mut up: Vec<Self> =
            Folder::all(root).iter().filter_map(|folder| Self::open(root, folder.name()).ok()).collect();
        match (up.pop(), up.is_empty()) {
            (Some(lab), true) => Ok(lab),
            (Some(lab), false) => {
                let names = up.iter().chain([&lab]).map(|lab| lab.name().to_owned());
                Err(LabError::SeveralUp(names.collect()))
            }
            (None, _) => Err(LabError::NoneUp),
        }
    }

    /// The lab's name.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// What is known of its processes and addresses.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The lab's folder.
    pub fn folder(&self) -> PathBuf {
        self.folder.path()
    }

    /// The pcap file of an interface whose packets the scenario captures.
    pub fn capture(&self, node: &str, interface: &str) -> PathBuf {
        self.folder.join(format!("captures/{node}-{interface}.pcap"))
    }

    /// A host or router.
    ///
    /// # Panics
    /// If the scenario has none of that name: a mistake in the test. [`Lab::find_host`] returns an error.
    pub fn host(&self, name: &str) -> Host<'_> {
        match self.find_host(name) {
            Ok(host) => host,
            Err(error) => panic!("{error}"),
        }
    }

    /// A host or router.
    ///
    /// # Errors
    /// [`LabError::UnknownNode`].
    pub fn find_host(&self, name: &str) -> Result<Host<'_>, LabError> {
        Ok(Host { lab: self, node: self.state.node(name)? })
    }

    /// Makes a router forget all its NAT mappings, as if it had been switched off and on.
    ///
    /// # Errors
    /// [`LabError::NoNat`], [`LabError::UnknownNode`].
    pub fn nat_forget(&mut self, router: &str) -> Result<(), LabError> {
        let _lock = self.folder.lock()?;
        self.state = self.folder.load_up()?;
        let scenario = self.scenario()?;
        let no_nat = || LabError::NoNat(router.to_owned());
        self.state.node(router)?;
        let node = scenario.node(router).ok_or_else(no_nat)?;
        let settings = node.router.as_ref().ok_or_else(no_nat)?;
        if !IpVersion::BOTH.iter().any(|version| settings.nat_of(*version).translates()) {
            return Err(no_nat());
        }
        let mut nodes = self.state.nodes.iter_mut();
        let holder = nodes.find(|node| node.name == router).ok_or_else(no_nat)?;
        holder.nat_generation = holder.nat_generation.wrapping_add(1);
        let ruleset = nat::ruleset(node, settings, holder.nat_generation);
        let script = format!("nft -f - <<'END'\n{ruleset}END\n");
        let holder = holder.clone();
        namespace::run_script(&self.state, &self.folder, Inside::Node(&holder), router, &script)?;
        self.folder.save(&self.state)
    }

    /// Changes the link of an interface.
    ///
    /// # Errors
    /// [`LabError::UnknownInterface`], [`LabError::PlainLink`].
    pub fn link(&mut self, node: &str, interface: &str, changes: &[LinkChange]) -> Result<(), LabError> {
        let _lock = self.folder.lock()?;
        self.state = self.folder.load_up()?;
        control::change(&self.folder, &mut self.state, node, interface, changes)
    }

    /// The scenario, as it was when the lab came up.
    fn scenario(&self) -> Result<Scenario, LabError> {
        Source::File(&self.folder.join(folder::SCENARIO)).read()
    }

    /// Takes the lab down.
    ///
    /// # Errors
    /// Its processes do not end or its folder cannot be removed.
    pub fn down(mut self) -> Result<(), LabError> {
        self.take_down()
    }

    fn take_down(&mut self) -> Result<(), LabError> {
        let down = up::down(&self.folder);
        if let Some((mut child, leash)) = self.owned.take() {
            drop(leash);
            let _ = child.wait();
        }
        down.map(|_| ())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.owned.is_some() {
            if std::thread::panicking() {
                keep_evidence(&self.folder);
            }
            // A destructor has nobody to tell; the next lab sweeps what is left.
            let _ = self.take_down();
        }
    }
}

/// Copies logs and captures to `target/lab/TESTNAME/`, in place of those of an earlier run.
fn keep_evidence(folder: &Folder) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("unnamed").replace("::", "-");
    let Some(target) = tools::target_folder() else { return };
    let place = target.join("lab").join(test);
    let _ = std::fs::remove_dir_all(&place);
    for part in ["logs", "captures"] {
        let to = place.join(part);
        let Ok(files) = std::fs::read_dir(folder.join(part)) else { continue };
        let _ = std::fs::create_dir_all(&to);
        for file in files.flatten() {
            // Evidence is a help, not a duty: a full disk shall not hide the test's own failure.
            let _ = std::fs::copy(file.path(), to.join(file.file_name()));
        }
    }
}

/// A host or router of a lab.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    lab: &'a Lab,
    node: &'a NodeState,
}

impl<'a> Host<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        &self.node.name
    }

    /// A command that runs inside the host, in the current folder. Its exit status is that of the
    /// program; killing the child kills the program.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = namespace::enter(&self.lab.state, &self.lab.folder, Inside::Node(self.node));
        command.arg(program);
        command
    }

    /// Moves this whole program into the host, for good, and returns the start of a command that runs
    /// there as a direct child: no `nsenter` stands between, so that terminal and signals work as usual.
    /// For programs with a single thread only: the kernel lets no others change their user namespace.
    ///
    /// # Errors
    /// The host is gone, or the program has other threads.
    pub fn enter(&self) -> Result<Command, LabError> {
        namespace::join(&self.lab.state, self.node)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        let directory = std::env::current_dir().unwrap_or_else(|_| "/".into());
        command.current_dir(directory);
        namespace::environment(&mut command, &self.lab.state, &self.lab.folder, Inside::Node(self.node));
        Ok(command)
    }

    /// The host's first address of an IP version.
    pub fn address(&self, version: IpVersion) -> Option<IpAddr> {
        let addresses = self.node.interfaces.iter().flat_map(|interface| &interface.addresses);
        addresses.map(ipnet::IpNet::addr).find(|address| IpVersion::of(*address) == version)
    }

    /// A folder for the state of programs on this host, `$TWINMESH_LAB_HOST_DIR` there.
    pub fn folder(&self) -> PathBuf {
        self.lab.folder.host_dir(&self.node.name)
    }

    /// Starts a program that runs on until it is stopped or the lab ends; its output goes to a log.
    /// `argv` is the program and its arguments, `env` is added to its environment.
    ///
    /// # Errors
    /// [`LabError::ProgramRuns`] if one of that name runs.
    pub fn spawn(
        &self,
        name: &str,
        argv: &[&str],
        env: &[(&str, &str)],
    ) -> Result<RunningProgram<'a>, LabError> {
        let program = self.named(name);
        if program.is_running() {
            let (host, program) = (self.node.name.clone(), name.to_owned());
            return Err(LabError::ProgramRuns { host, program });
        }
        let argv: Vec<String> = argv.iter().map(|&it| it.to_owned()).collect();
        let env: Vec<_> = env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        program.files.start(&self.lab.state, &self.lab.folder, Inside::Node(self.node), &argv, &env)?;
        Ok(program)
    }

    /// A program that the scenario or [`Host::spawn`] has started.
    ///
    /// # Errors
    /// [`LabError::UnknownProgram`].
    pub fn program(&self, name: &str) -> Result<RunningProgram<'a>, LabError> {
        let program = self.named(name);
        match program.files.status(self.lab.state.init) {
            Some(_) => Ok(program),
            None => Err(LabError::UnknownProgram { host: self.node.name.clone(), program: name.to_owned() }),
        }
    }

    /// Starts a program of the scenario again, after it has ended, and waits until it is ready.
    ///
    /// # Errors
    /// [`LabError::UnknownProgram`], [`LabError::ProgramRuns`], [`LabError::NotReady`].
    pub fn restart(&self, name: &str) -> Result<RunningProgram<'a>, LabError> {
        let (host, program) = (self.node.name.clone(), name.to_owned());
        if self.named(name).is_running() {
            return Err(LabError::ProgramRuns { host, program });
        }
        let scenario = self.lab.scenario()?;
        let programs = scenario.node(&self.node.name).map_or(&[][..], |node| &node.programs);
        let written =
            programs.iter().find(|it| it.name == name).ok_or(LabError::UnknownProgram { host, program })?;
        let (state, folder) = (&self.lab.state, &self.lab.folder);
        let prepared = program::prepare(written, &self.node.name, folder, &state.variables)?;
        program::start_and_wait(state, folder, self.node, &prepared)?;
        Ok(self.named(name))
    }

    /// All programs ever started on it, by name.
    pub fn programs(&self) -> Vec<RunningProgram<'a>> {
        let names = program::names(&self.lab.folder, &self.node.name);
        names.iter().map(|name| self.named(name)).collect()
    }

    fn named(&self, name: &str) -> RunningProgram<'a> {
        let files = Files::new(&self.lab.folder, &self.node.name, name);
        RunningProgram { lab: self.lab, name: name.to_owned(), files }
    }
}

/// A program started in a host; it runs on when this handle is dropped.
#[derive(Debug)]
pub struct RunningProgram<'a> {
    lab: &'a Lab,
    name: String,
    files: Files,
}

impl RunningProgram<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it runs, or how it ended; `None` if it never started.
    pub fn status(&self) -> Option<Status> {
        self.files.status(self.lab.state.init)
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        matches!(self.status(), Some(Status::Running(_)))
    }

    /// What it has written to its standard output and error.
    pub fn log(&self) -> String {
        self.files.log_text()
    }

    /// Waits until its log contains a text; `false` if it does not in time.
    pub fn wait_for_log(&self, text: &str, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        while !self.log().contains(text) {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }

    /// Sends it a signal; nothing happens if it has ended.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result<(), LabError> {
        self.files.signal(self.lab.state.init, signal)
    }

    /// Asks it to end, and kills it if it has not after `patience`. Returns its exit status, or 128 + signal.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn stop(&self, patience: Duration) -> Result<i32, LabError> {
        self.signal(Signal::SIGTERM)?;
        if let Some(status) = self.files.wait(self.lab.state.init, patience) {
            return Ok(status);
        }
        self.signal(Signal::SIGKILL)?;
        Ok(self.files.wait(self.lab.state.init, patience).unwrap_or(128 + 9))
    }

    /// Waits until it has ended; `None` if it runs on.
    pub fn wait(&self, timeout: Duration) -> Option<i32> {
        self.files.wait(self.lab.state.init, timeout)
    }
}

/// A line of `list`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Summary {
    pub name: String,
    /// `up`, `starting`, or `down` for what an interrupted or failed run left.
    pub status: &'static str,
    pub scenario: Option<PathBuf>,
    pub nodes: usize,
    /// Pid of the program with whose end the lab ends, while it runs.
    pub owner: Option<i32>,
    pub folder: PathBuf,
}

/// All labs with a folder under `root`.
pub fn list(root: &Path) -> Vec<Summary> {
    let summary = |folder: Folder| {
        let state = folder.load();
        let status = match state.as_ref().filter(|state| state.is_alive()).map(|state| state.phase) {
            Some(Phase::Up) => "up",
            Some(Phase::Starting) => "starting",
            None => "down",
        };
        Summary {
            name: folder.name().to_owned(),
            status,
            scenario: state.as_ref().and_then(|state| state.scenario.clone()),
            owner: state.as_ref().and_then(|it| it.owner).filter(|it| it.is_alive()).map(|it| it.pid),
            nodes: state.map_or(0, |state| state.nodes.len()),
            folder: folder.path(),
        }
    };
    Folder::all(root).into_iter().map(summary).collect()
}

/// Takes down whatever is left of a lab. Returns whether there was anything.
///
/// # Errors
/// [`LabError::BadName`], [`LabError::Busy`], or its processes do not end.
pub fn down(root: &Path, name: &str) -> Result<bool, LabError> {
    up::down(&Folder::new(root, name)?)
}
