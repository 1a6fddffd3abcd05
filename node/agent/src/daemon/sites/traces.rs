//! The last IKE messages of each site, and those who watch them.

mod follower;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc;
use twinmesh_ike::IkeSaId;
use twinmesh_ike::trace::{Trace, Traced};
use zeroize::Zeroizing;

use self::follower::{Follower, line};
use super::trace_text::entry;
use crate::api::{DebugIke, IkeTrace, IkeTraceKind, Lines};

/// Of one site, or of all strangers: enough for some attempts, whatever a peer sends.
const MOST_RECORDS: usize = 200;
const MOST_BYTES: usize = 256 * 1024;

/// Something that happened, undecoded.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) at: SystemTime,
    number: u64,
    pub(super) site: Option<Arc<str>>,
    pub(super) ike_sa: Option<IkeSaId>,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Traced(Trace),
    Note(IkeTraceKind, String),
}

#[derive(Default)]
struct Ring {
    records: VecDeque<Record>,
    bytes: usize,
}

/// What there is to see, and who sees it.
#[derive(Default)]
pub(super) struct Traces {
    sites: BTreeMap<Arc<str>, Ring>,
    /// Of peers that are not known, or not yet: they push out nothing but each other.
    strangers: Ring,
    followers: Vec<Follower>,
    next: u64,
}

impl Record {
    fn size(&self) -> usize {
        size_of::<Self>()
            + match &self.what {
                What::Traced(Trace { what: Traced::Sent(message) | Traced::Received(message), .. }) => {
                    message.size()
                }
                What::Traced(_) => size_of::<Trace>(),
                What::Note(_, text) => text.len(),
            }
    }
}

impl Ring {
    fn push(&mut self, record: Record) {
        self.bytes += record.size();
        self.records.push_back(record);
        while self.records.len() > MOST_RECORDS || self.bytes > MOST_BYTES {
            let Some(oldest) = self.records.pop_front() else { return };
            self.bytes -= oldest.size();
        }
    }

    fn take(&mut self, ike_sa: IkeSaId) -> Vec<Record> {
        let (taken, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.records).into_iter().partition(|record| record.ike_sa == Some(ike_sa));
        self.bytes = kept.iter().map(Record::size).sum();
        self.records = kept.into();
        taken
    }
}

impl Traces {
    /// Keys are for those who ask for them, now.
    pub(super) fn trace(&mut self, trace: Trace, at: SystemTime) {
        let (site, ike_sa) = (trace.connection.clone(), trace.ike_sa);
        let is_key = matches!(trace.what, Traced::Keys(_));
        let record = Record { at, number: self.number(), site, ike_sa, what: What::Traced(trace) };
        if is_key { self.tell(&entry(&record)) } else { self.keep(record) }
    }

    pub(super) fn note(
        &mut self,
        site: Option<&Arc<str>>,
        ike_sa: Option<IkeSaId>,
        kind: IkeTraceKind,
        text: String,
    ) {
        let what = What::Note(kind, text);
        let record =
            Record { at: SystemTime::now(), number: self.number(), site: site.cloned(), ike_sa, what };
        self.keep(record);
    }

    /// With keys: only to those who asked for keys.
    pub(super) fn tell(&mut self, told: &IkeTrace) {
        self.followers.retain_mut(|follower| follower.tell(told));
    }

    fn keep(&mut self, record: Record) {
        if !self.followers.is_empty() {
            self.tell(&entry(&record));
        }
        let Some(site) = record.site.clone() else { return self.strangers.push(record) };
        let ring = self.sites.entry(site).or_default();
        // The peer has become known: its first messages were a stranger's.
        let first = record.ike_sa.map(|ike_sa| self.strangers.take(ike_sa)).unwrap_or_default();
        first.into_iter().chain([record]).for_each(|record| ring.push(record));
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn forget(&mut self, site: &str) {
        self.sites.remove(site);
    }

    pub(super) fn wants_keys(&self) -> bool {
        self.followers.iter().any(|follower| follower.keys)
    }

    /// What a client asks for: the last messages first, `keys` after them, then what comes, if it follows.
    pub(super) fn show(
        &mut self,
        wanted: DebugIke,
        address: Option<IpAddr>,
        keys: &[IkeTrace],
        lines: mpsc::Sender<Lines>,
    ) {
        let DebugIke { site, follow, keys: with_keys } = wanted;
        let rings = self.sites.values().chain([&self.strangers]);
        let mut records: Vec<&Record> = rings.flat_map(|ring| &ring.records).collect();
        records.sort_by_key(|record| record.number);
        let mut follower = Follower { site, address, keys: with_keys, lines, lost: 0 };
        let mut first = Zeroizing::new(Vec::with_capacity(64 * 1024));
        for told in records.into_iter().map(entry).chain(keys.iter().cloned()) {
            if follower.wants(&told) {
                first.extend_from_slice(&line(&told));
            }
        }
        if follower.send(first) && follow {
            self.followers.push(follower);
        }
    }
}
