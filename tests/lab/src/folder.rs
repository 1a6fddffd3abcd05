//! The folder of a lab on disk, and what is written there.
//!
//! ```text
//! ROOT/                     $TWINMESH_LAB_DIR, else $XDG_RUNTIME_DIR/twinmesh-lab, else /tmp/twinmesh-lab-UID
//!   .locks/NAME             held while a command changes the lab
//!   NAME/
//!     state.json            processes, addresses: see State
//!     scenario.toml         the scenario as it was read
//!     hosts                 /etc/hosts of every node
//!     hosts.d/HOST/         $TWINMESH_LAB_HOST_DIR, for the programs on that host
//!     logs/                 lab.log, HOST-PROGRAM.log
//!     captures/             HOST-INTERFACE.pcap
//!     programs/HOST/NAME/   pid (inside the lab), exit (status, once it ended)
//!     links.json            impaired links, read by the link process
//! ```

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::LabError;
use crate::process::Process;

/// How long a command waits for another one that works on the same lab.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// The scenario's text in the lab's folder, for what is done again later.
pub(crate) const SCENARIO: &str = "scenario.toml";

/// How far a lab has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// `up` is at work, or was interrupted.
    Starting,
    /// Everything runs.
    Up,
}

/// state.json: what a later command must know of a lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// Name of the lab.
    pub name: String,
    /// The scenario's file, if it came from one.
    pub scenario: Option<PathBuf>,
    /// Seconds since 1970.
    pub started: u64,
    pub phase: Phase,
    /// Pid 1 of the lab: when it ends, everything in the lab ends.
    pub init: Process,
    /// Whether the lab has a user namespace of its own (started without root).
    pub user_namespace: bool,
    /// The program whose end ends the lab; `None` for a lab that stays up by itself.
    pub owner: Option<Process>,
    pub nodes: Vec<NodeState>,
    /// Folder of the binaries, and other variables of the scenario's commands.
    pub variables: BTreeMap<String, String>,
}

/// A node of a running lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeState {
    pub name: String,
    /// Whether it is a router.
    pub router: bool,
    /// Its holder, whose namespaces are the node's.
    pub process: Process,
    /// The holder's pid inside the lab.
    pub inner_pid: i32,
    pub interfaces: Vec<InterfaceState>,
    /// How often its NAT was made to forget.
    pub nat_generation: u16,
}

/// An interface of a running lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InterfaceState {
    pub name: String,
    /// Name of the network.
    pub network: String,
    /// Addresses with prefix length, as set up by `up`.
    pub addresses: Vec<ipnet::IpNet>,
    /// Name of the network's end of the link.
    pub port: String,
    pub link: crate::scenario::LinkProperties,
}

impl State {
    /// The node of that name.
    ///
    /// # Errors
    /// [`LabError::UnknownNode`] with the names there are.
    pub fn node(&self, name: &str) -> Result<&NodeState, LabError> {
        self.nodes.iter().find(|node| node.name == name).ok_or_else(|| LabError::UnknownNode {
            lab: self.name.clone(),
            node: name.to_owned(),
            known: self.nodes.iter().map(|node| node.name.clone()).collect(),
        })
    }

    /// Whether the lab's first process runs.
    pub fn is_alive(&self) -> bool {
        self.init.is_alive()
    }
}

/// The folder that holds all labs of this user.
pub fn root() -> PathBuf {
    if let Some(root) = std::env::var_os("TWINMESH_LAB_DIR") {
        return root.into();
    }
    if let Some(runtime) = std::env::var_os("XDG_RUNTIME_DIR").filter(|it| Path::new(it).is_dir()) {
        return Path::new(&runtime).join("twinmesh-lab");
    }
    PathBuf::from(format!("/tmp/twinmesh-lab-{}", nix::unistd::geteuid()))
}

/// The folder of one lab.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
    name: String,
}

/// Held while a command changes a lab; released when dropped, also by a crash.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Folder {
    /// # Errors
    /// [`LabError::BadName`] for a name that is no plain file name, or there is no current directory.
    pub(crate) fn new(root: &Path, name: &str) -> Result<Self, LabError> {
        let letters =
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        if name.is_empty() || name.len() > 80 || !letters || name.starts_with('-') {
            return Err(LabError::BadName(name.to_owned()));
        }
        // Processes of the lab have working directories of their own.
        let root = std::path::absolute(root).map_err(LabError::io(root.display()))?;
        Ok(Self { root, name: name.to_owned() })
    }

    /// The labs that have a folder under `root`, up or not.
    pub(crate) fn all(root: &Path) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
        let mut folders: Vec<Self> = entries
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| Self::new(root, entry.file_name().to_str()?).ok())
            .collect();
        folders.sort_by(|a, b| a.name.cmp(&b.name));
        folders
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    pub(crate) fn join(&self, file: impl AsRef<Path>) -> PathBuf {
        self.path().join(file)
    }

    pub(crate) fn host_dir(&self, node: &str) -> PathBuf {
        self.join("hosts.d").join(node)
    }

    pub(crate) fn log(&self, node: &str, program: &str) -> PathBuf {
        self.join(format!("logs/{node}-{program}.log"))
    }

    pub(crate) fn lab_log(&self) -> PathBuf {
        self.join("logs/lab.log")
    }

    /// Takes the lab's lock, waiting a while for whoever has it.
    ///
    /// # Errors
    /// [`LabError::Busy`], or the lock file cannot be made.
    pub(crate) fn lock(&self) -> Result<Lock, LabError> {
        private_folder(&self.root)?;
        let locks = self.root.join(".locks");
        private_folder(&locks)?;
        let path = locks.join(&self.name);
        let file = File::create(&path).map_err(LabError::io(path.display()))?;
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(LabError::Busy(self.name.clone(), LOCK_WAIT));
                }
                Err(fs::TryLockError::Error(error)) => return Err(LabError::io(path.display())(error)),
            }
        }
    }

    /// Makes the folder and those in it.
    pub(crate) fn create(&self, nodes: impl Iterator<Item = String>) -> Result<(), LabError> {
        let folders = ["", "logs", "captures", "programs", "hosts.d"].map(PathBuf::from);
        let of_nodes = nodes.map(|node| Path::new("hosts.d").join(node));
        for folder in folders.into_iter().chain(of_nodes) {
            private_folder(&self.join(folder))?;
        }
        Ok(())
    }

    /// Removes the folder and all in it.
    pub(crate) fn remove(&self) -> Result<(), LabError> {
        match fs::remove_dir_all(self.path()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(LabError::io(self.path().display())(error)),
        }
    }

    /// Writes a file as a whole: a reader sees the old or the new one.
    pub(crate) fn write(&self, file: &str, content: &[u8]) -> Result<(), LabError> {
        let path = self.join(file);
        let new = self.join(format!("{file}.new"));
        fs::write(&new, content).and_then(|()| fs::rename(&new, &path)).map_err(LabError::io(path.display()))
    }

    pub(crate) fn save(&self, state: &State) -> Result<(), LabError> {
        let json =
            serde_json::to_vec_pretty(state).map_err(io::Error::from).map_err(LabError::io("state.json"))?;
        self.write("state.json", &json)
    }

    /// The state, if the lab got so far as to write one.
    pub(crate) fn load(&self) -> Option<State> {
        serde_json::from_slice(&fs::read(self.join("state.json")).ok()?).ok()
    }

    /// The state of a lab that is up.
    ///
    /// # Errors
    /// [`LabError::NotUp`].
    pub(crate) fn load_up(&self) -> Result<State, LabError> {
        self.load()
            .filter(|state| state.phase == Phase::Up && state.is_alive())
            .ok_or_else(|| LabError::NotUp(self.name.clone()))
    }
}

/// Makes a folder for this user alone, and refuses one that somebody else put there.
fn private_folder(path: &Path) -> Result<(), LabError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(LabError::io(path.display()))?;
    let owner = fs::symlink_metadata(path).map_err(LabError::io(path.display()))?.uid();
    if owner == nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    let stranger = io::Error::new(io::ErrorKind::PermissionDenied, "this folder belongs to another user");
    Err(LabError::io(path.display())(stranger))
}
