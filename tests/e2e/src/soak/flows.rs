//! All flows as their nodes report them, and which of them stand still.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::traffic::Tally;
use crate::Mesh;

/// A flow that has done nothing for so long is stuck. TCP doubles its waiting time: what lost five packets in a row, within
/// 3 s, tries again after 6, and where a busy machine makes it lose a sixth, after 13.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Ends the programs that make the flows when it is dropped.
pub(super) struct Flows {
    programs: Vec<Child>,
    board: Arc<Mutex<Board>>,
}

#[derive(Default)]
struct Board {
    flows: BTreeMap<String, Progress>,
    /// When a node was cut off, its flows had an excuse until then.
    excused: BTreeMap<String, Excuse>,
    stuck: Vec<Stuck>,
}

struct Progress {
    tally: Tally,
    since: Instant,
    longest: Duration,
    is_stuck: bool,
}

#[derive(Clone, Copy)]
enum Excuse {
    Now,
    Until(Instant),
}

/// A flow that stood still.
#[derive(Debug, Clone)]
pub struct Stuck {
    pub flow: String,
    /// What the run was doing when it was seen.
    pub during: String,
}

/// Sums over all flows.
#[derive(Debug, Clone, Copy, Default)]
pub struct FlowSums {
    pub flows: usize,
    pub done: u64,
    pub bytes: u64,
    pub lost: u64,
    pub broken: u64,
    pub corrupt: u64,
    /// The longest time in which one did nothing, without an excuse.
    pub longest_pause: Duration,
}

impl Flows {
    /// Starts `twinmesh-soak traffic` on each of these nodes, towards all others.
    pub(super) fn start(mesh: &Mesh, nodes: &[&str]) -> Result<Self> {
        let mut peers = Vec::new();
        for node in nodes {
            for address in mesh.overlay_addresses(node)? {
                peers.push(((*node).to_owned(), format!("{node}={address}")));
            }
        }
        let board = Arc::new(Mutex::new(Board::default()));
        let mut flows = Self { programs: Vec::new(), board };
        for node in nodes {
            let others = peers.iter().filter(|(peer, _)| peer != node).map(|(_, peer)| peer.as_str());
            let argv: Vec<&str> = ["twinmesh-soak", "traffic", node].into_iter().chain(others).collect();
            let mut program = mesh.spawn(node, &argv)?;
            let lines = BufReader::new(program.stdout.take().context("no output to read")?).lines();
            flows.programs.push(program);
            let board = Arc::clone(&flows.board);
            thread::spawn(move || {
                for line in lines.map_while(Result::ok) {
                    if let Ok(Value::Array(list)) = serde_json::from_str(&line) {
                        locked(&board).take(list.iter().filter_map(Tally::parse), Instant::now());
                    }
                }
            });
        }
        Ok(flows)
    }

    /// From now on the flows of this node have an excuse.
    pub(super) fn excuse(&self, node: &str) {
        locked(&self.board).excused.insert(node.to_owned(), Excuse::Now);
    }

    /// No longer.
    pub(super) fn expect(&self, node: &str) {
        locked(&self.board).excused.insert(node.to_owned(), Excuse::Until(Instant::now()));
    }

    /// Notes who is stuck.
    pub(super) fn look(&self, during: &str) {
        locked(&self.board).look(during, Instant::now());
    }

    pub(super) fn sums(&self) -> FlowSums {
        let board = locked(&self.board);
        let mut sums = FlowSums { flows: board.flows.len(), ..FlowSums::default() };
        for progress in board.flows.values() {
            let Tally { done, bytes, lost, broken, corrupt } = progress.tally;
            sums.done += done;
            sums.bytes += bytes;
            sums.lost += lost;
            sums.broken += broken;
            sums.corrupt += corrupt;
            sums.longest_pause = sums.longest_pause.max(progress.longest);
        }
        sums
    }

    pub(super) fn stuck(&self) -> Vec<Stuck> {
        locked(&self.board).stuck.clone()
    }
}

impl Drop for Flows {
    fn drop(&mut self) {
        for program in &mut self.programs {
            // Both fail only when it has ended already.
            program.kill().ok();
            program.wait().ok();
        }
    }
}

/// The board is consistent between its calls.
fn locked(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    fn take(&mut self, tallies: impl Iterator<Item = (String, Tally)>, now: Instant) {
        for (name, tally) in tallies {
            let new = Progress { tally, since: now, longest: Duration::ZERO, is_stuck: false };
            let progress = self.flows.entry(name).or_insert(new);
            if tally.done > progress.tally.done {
                progress.since = now;
                progress.is_stuck = false;
            }
            progress.tally = tally;
        }
    }

    fn look(&mut self, during: &str, now: Instant) {
        for (name, progress) in &mut self.flows {
            let ends = name.split(' ').next().unwrap_or_default().split('>');
            let mut since = Some(progress.since);
            for excuse in ends.filter_map(|end| self.excused.get(end)) {
                since = match excuse {
                    Excuse::Now => None,
                    Excuse::Until(until) => since.map(|since| since.max(*until)),
                };
            }
            let Some(since) = since else { continue };
            let pause = now.saturating_duration_since(since);
            progress.longest = progress.longest.max(pause);
            if pause > LONGEST_PAUSE && !progress.is_stuck {
                progress.is_stuck = true;
                self.stuck.push(Stuck { flow: name.clone(), during: during.to_owned() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(now: Instant) -> Board {
        let mut board = Board::default();
        let tally = |done| Tally { done, ..Tally::default() };
        board.take([("a>b TCP".to_owned(), tally(1)), ("b>c UDP".to_owned(), tally(1))].into_iter(), now);
        board
    }

    #[test]
    fn a_flow_without_progress_is_stuck_once() {
        let start = Instant::now();
        let mut board = board(start);
        board.look("nothing", start + LONGEST_PAUSE);
        assert!(board.stuck.is_empty());
        let later = start + LONGEST_PAUSE + Duration::from_secs(1);
        board.take([("a>b TCP".to_owned(), Tally { done: 2, ..Tally::default() })].into_iter(), later);
        board.look("something", later);
        board.look("something", later);
        assert_eq!(board.stuck.len(), 1);
        assert_eq!((board.stuck[0].flow.as_str(), board.stuck[0].during.as_str()), ("b>c UDP", "something"));
    }

    #[test]
    fn who_is_cut_off_has_an_excuse_and_the_same_patience_afterwards() {
        let start = Instant::now();
        let mut board = board(start);
        board.excused.insert("b".to_owned(), Excuse::Now);
        let until = start + Duration::from_mins(1);
        board.look("", until);
        assert!(board.stuck.is_empty());
        board.excused.insert("b".to_owned(), Excuse::Until(until));
        board.look("", until + LONGEST_PAUSE);
        assert!(board.stuck.is_empty());
        board.look("", until + LONGEST_PAUSE + Duration::from_millis(1));
        assert_eq!(board.stuck.len(), 2);
    }
}
