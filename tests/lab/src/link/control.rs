//! Changes of a link while the lab is up: pulled and plugged, slower, lossier.

use std::fs::File;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{APPLIED, LINKS, Links, PROGRAM};
use crate::error::LabError;
use crate::folder::{Folder, InterfaceState, NodeState, State};
use crate::namespace::{Inside, run_script};
use crate::network;
use crate::program::Files;
use crate::scenario::{Percent, Rate, Span, UnitError};

/// How long the link process may take to apply a change.
const DEADLINE: Duration = Duration::from_secs(5);

/// One change of a link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LinkChange {
    /// Pulled: no frame passes, addresses and routes stay.
    Down,
    /// Plugged in again.
    Up,
    Mtu(u32),
    /// `None`: no limit.
    Rate(Option<Rate>),
    Delay(Span),
    Jitter(Span),
    Loss(Percent),
    Reorder(Percent),
    Duplicate(Percent),
    Seed(u64),
}

/// A text that is no change of a link.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(
        "`{0}` is no change of a link: write down, up, mtu=N, rate=R, rate=none, delay=T, jitter=T, loss=P, reorder=P, duplicate=P or seed=N"
    )]
    Unknown(String),
    #[error(transparent)]
    Unit(#[from] UnitError),
}

impl FromStr for LinkChange {
    type Err = ChangeError;
    fn from_str(text: &str) -> Result<Self, ChangeError> {
        let unknown = || ChangeError::Unknown(text.to_owned());
        let Some((key, value)) = text.split_once('=') else {
            return match text {
                "down" => Ok(Self::Down),
                "up" => Ok(Self::Up),
                _ => Err(unknown()),
            };
        };
        Ok(match key {
            "mtu" => {
                let mtu = value.parse().ok().filter(|mtu| (576..=9216).contains(mtu));
                Self::Mtu(mtu.ok_or_else(unknown)?)
            }
            "rate" if value == "none" => Self::Rate(None),
            "rate" => Self::Rate(Some(value.parse()?)),
            "delay" => Self::Delay(value.parse()?),
            "jitter" => Self::Jitter(value.parse()?),
            "loss" => Self::Loss(value.parse()?),
            "reorder" => Self::Reorder(value.parse()?),
            "duplicate" => Self::Duplicate(value.parse()?),
            "seed" => Self::Seed(value.parse().map_err(|_| unknown())?),
            _ => return Err(unknown()),
        })
    }
}

/// Applies changes to the link of one interface, and notes them in the state.
pub(crate) fn change(
    folder: &Folder,
    state: &mut State,
    node: &str,
    interface: &str,
    changes: &[LinkChange],
) -> Result<(), LabError> {
    let found = state.node(node)?.clone();
    let link = find(&found, interface)?.clone();
    let mut properties = link.link;
    let (mut inner, mut outer) = (String::new(), String::new());
    for change in changes {
        // The same for both ends.
        let mut both = |script: &dyn Fn(&str) -> String| {
            inner.push_str(&script(interface));
            outer.push_str(&script(&link.port));
        };
        match change {
            LinkChange::Down | LinkChange::Up => {
                let up = *change == LinkChange::Up;
                outer.push_str(&format!("ip link set {} {}\n", link.port, if up { "up" } else { "down" }));
                // A veth loses its carrier with its peer; a TAP has to be told.
                if properties.impairment.is_some() {
                    inner.push_str(&format!(
                        "ip link set {interface} carrier {}\n",
                        if up { "on" } else { "off" }
                    ));
                }
            }
            LinkChange::Mtu(mtu) => {
                properties.mtu = Some(*mtu);
                both(&|end| format!("ip link set {end} mtu {mtu}\n"));
            }
            LinkChange::Rate(rate) => {
                properties.rate = *rate;
                if properties.impairment.is_none() {
                    let mtu = properties.mtu.unwrap_or(network::DEFAULT_MTU);
                    both(&|end| network::rate_script(end, *rate, mtu));
                }
            }
            LinkChange::Delay(_)
            | LinkChange::Jitter(_)
            | LinkChange::Loss(_)
            | LinkChange::Reorder(_)
            | LinkChange::Duplicate(_)
            | LinkChange::Seed(_) => {
                let plain = || LabError::PlainLink(format!("{node}:{interface}"));
                let impairment = properties.impairment.as_mut().ok_or_else(plain)?;
                match *change {
                    LinkChange::Delay(delay) => impairment.delay = delay,
                    LinkChange::Jitter(jitter) => impairment.jitter = jitter,
                    LinkChange::Loss(loss) => impairment.loss = loss,
                    LinkChange::Reorder(reorder) => impairment.reorder = reorder,
                    LinkChange::Duplicate(duplicate) => impairment.duplicate = duplicate,
                    LinkChange::Seed(seed) => impairment.seed = seed,
                    LinkChange::Down | LinkChange::Up | LinkChange::Mtu(_) | LinkChange::Rate(_) => {}
                }
            }
        }
    }
    let what = format!("link {node}:{interface}");
    if !inner.is_empty() {
        run_script(state, folder, Inside::Node(&found), &what, &inner)?;
    }
    if !outer.is_empty() {
        run_script(state, folder, Inside::Backbone, &what, &outer)?;
    }
    if properties.impairment.is_some() && properties != link.link {
        tell_process(folder, state, &link.port, |link| link.properties = properties)?;
    }
    let interfaces = state.nodes.iter_mut().filter(|it| it.name == node).flat_map(|it| &mut it.interfaces);
    for it in interfaces.filter(|it| it.name == interface) {
        it.link = properties;
    }
    folder.save(state)
}

fn find<'a>(node: &'a NodeState, interface: &str) -> Result<&'a InterfaceState, LabError> {
    node.interfaces.iter().find(|it| it.name == interface).ok_or_else(|| LabError::UnknownInterface {
        node: node.name.clone(),
        interface: interface.to_owned(),
        known: node.interfaces.iter().map(|it| it.name.clone()).collect(),
    })
}

/// Writes the list of links anew and waits until the link process has taken it over.
fn tell_process(
    folder: &Folder,
    state: &State,
    port: &str,
    edit: impl Fn(&mut super::Link),
) -> Result<(), LabError> {
    let files = Files::new(folder, "backbone", PROGRAM);
    let broken = || LabError::LinkProcess(files.log_tail());
    let json = std::fs::read(folder.join(LINKS)).map_err(LabError::io(LINKS))?;
    let mut links: Links = serde_json::from_slice(&json).map_err(|_| broken())?;
    links.revision += 1;
    links.links.iter_mut().filter(|link| link.port == port).for_each(edit);
    write(folder, &links)?;
    files.signal(state.init, Signal::SIGHUP)?;
    wait_applied(folder, state, &files, links.revision)
}

pub(crate) fn write(folder: &Folder, links: &Links) -> Result<(), LabError> {
    let json = serde_json::to_vec_pretty(links).map_err(std::io::Error::from).map_err(LabError::io(LINKS))?;
    folder.write(LINKS, &json)
}

/// Waits until the link process has applied a revision.
pub(crate) fn wait_applied(
    folder: &Folder,
    state: &State,
    files: &Files,
    revision: u64,
) -> Result<(), LabError> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let applied = std::fs::read_to_string(folder.join(APPLIED)).unwrap_or_default();
        if applied.trim().parse().is_ok_and(|applied: u64| applied >= revision) {
            return Ok(());
        }
        let ended = files.wait(state.init, Duration::ZERO).is_some();
        if ended && let Err(error) = File::options().read(true).write(true).open("/dev/net/tun") {
            return Err(LabError::NoTun(error));
        }
        if ended || Instant::now() >= deadline {
            return Err(LabError::LinkProcess(files.log_tail()));
        }
        thread::sleep(Duration::from_millis(2));
    }
}
