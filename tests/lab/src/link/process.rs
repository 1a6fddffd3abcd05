//! The link process: opens the TAP devices and carries frames between them until the lab ends.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, Signal};
use tun::{Device, Layer};

use super::lane::Lane;
use super::{APPLIED, LINKS, Link, Links};

/// An Ethernet frame of the largest MTU, with header and VLAN tag.
const FRAME: usize = 9216 + 18;

/// Why the link process ends.
#[derive(Debug, thiserror::Error)]
pub enum LinkProcessError {
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    #[error("{0} is no list of links: {1}")]
    Links(PathBuf, serde_json::Error),
    #[error("cannot enter the network namespace of process {0}: {1}")]
    Namespace(i32, io::Error),
    #[error("TAP device {0}: {1}")]
    Tap(String, tun::Error),
    #[error("signals: {0}")]
    Signal(#[from] nix::errno::Errno),
}

/// One direction, shared by the thread that reads and the one that writes.
struct Direction {
    lane: Mutex<Lane>,
    changed: Condvar,
    number: u64,
}

impl Direction {
    fn new(link: &Link, number: u64) -> Self {
        let lane = Lane::new(link.properties.impairment.unwrap_or_default(), link.properties.rate, number);
        Self { lane: Mutex::new(lane), changed: Condvar::new(), number }
    }

    /// A lane is consistent between its calls, so a thread that panicked leaves it usable.
    fn lane(&self) -> MutexGuard<'_, Lane> {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads frames until the device is gone.
    fn read(&self, device: &Device) {
        let mut buffer = [0; FRAME];
        loop {
            match device.recv(&mut buffer) {
                Ok(length) => {
                    let frame = buffer.get(..length).unwrap_or_default();
                    self.lane().push(frame, Instant::now());
                    self.changed.notify_one();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Writes each frame when it is due.
    fn write(&self, device: &Device) {
        let mut lane = self.lane();
        loop {
            let now = Instant::now();
            if let Some(frame) = lane.pop(now) {
                drop(lane);
                // A device that is down refuses frames, like a cable that is pulled.
                let _ = device.send(&frame);
                lane = self.lane();
                continue;
            }
            lane = match lane.due() {
                Some(due) => {
                    let wait = due.saturating_duration_since(now);
                    self.changed.wait_timeout(lane, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(lane).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// Carries all links of the lab in `folder`; SIGHUP makes it read the list of links again.
///
/// # Errors
/// [`LinkProcessError`]; else it does not return.
pub fn run(folder: &Path) -> Result<(), LinkProcessError> {
    // Before any thread is started, so that no thread takes it.
    let mut hangup = SigSet::empty();
    hangup.add(Signal::SIGHUP);
    hangup.thread_block()?;
    let links = read(folder)?;
    let mut directions = Vec::new();
    for link in &links.links {
        let inner = Arc::new(open_in(link.holder, &link.interface)?);
        let outer = Arc::new(open(&link.port)?);
        for (number, from, to) in [(0, &inner, &outer), (1, &outer, &inner)] {
            let direction = Arc::new(Direction::new(link, number));
            let (reader, from) = (Arc::clone(&direction), Arc::clone(from));
            thread::spawn(move || reader.read(&from));
            let (writer, to) = (Arc::clone(&direction), Arc::clone(to));
            thread::spawn(move || writer.write(&to));
            directions.push((link.port.clone(), direction));
        }
    }
    applied(folder, links.revision)?;
    loop {
        hangup.wait()?;
        let links = read(folder)?;
        for (port, direction) in &directions {
            if let Some(link) = links.links.iter().find(|link| link.port == *port) {
                let impairment = link.properties.impairment.unwrap_or_default();
                direction.lane().change(impairment, link.properties.rate, direction.number);
            }
        }
        applied(folder, links.revision)?;
    }
}

fn read(folder: &Path) -> Result<Links, LinkProcessError> {
    let path = folder.join(LINKS);
    let json = std::fs::read(&path).map_err(|error| LinkProcessError::File(path.clone(), error))?;
    serde_json::from_slice(&json).map_err(|error| LinkProcessError::Links(path, error))
}

/// Tells which revision of the links holds now.
fn applied(folder: &Path, revision: u64) -> Result<(), LinkProcessError> {
    let (new, path) = (folder.join("links.applied.new"), folder.join(APPLIED));
    std::fs::write(&new, revision.to_string())
        .and_then(|()| std::fs::rename(&new, &path))
        .map_err(|error| LinkProcessError::File(path, error))
}

/// Opens a TAP in the network namespace of another process of the lab. Only the calling thread of
/// `setns` changes its namespace, and that thread ends at once; the device stays where it was made.
fn open_in(holder: i32, name: &str) -> Result<Device, LinkProcessError> {
    let namespace = |error| LinkProcessError::Namespace(holder, error);
    let file = File::open(format!("/proc/{holder}/ns/net")).map_err(namespace)?;
    thread::scope(|scope| {
        let opener = scope.spawn(|| {
            setns(&file, CloneFlags::CLONE_NEWNET).map_err(|error| namespace(error.into()))?;
            open(name)
        });
        opener.join().unwrap_or_else(|_| Err(namespace(io::Error::other("the opening thread panicked"))))
    })
}

fn open(name: &str) -> Result<Device, LinkProcessError> {
    let mut configuration = tun::configure();
    // Addresses, MTU and state are set by `ip`, as for plain links.
    configuration.tun_name(name).layer(Layer::L2).platform_config(|platform| {
        platform.ensure_root_privileges(false);
    });
    Device::new(&configuration).map_err(|error| LinkProcessError::Tap(name.to_owned(), error))
}
