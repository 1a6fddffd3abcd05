//! The last IKE messages of each site, and those who watch them.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc;
use twinmesh_ike::IkeSaId;
use twinmesh_ike::trace::{Trace, Traced};
use zeroize::Zeroizing;

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

struct Follower {
    site: Option<String>,
    /// Where the site's peer is looked for: strangers from there may be it.
    address: Option<IpAddr>,
    keys: bool,
    lines: mpsc::Sender<Lines>,
    /// Since it was last able to take one.
    lost: u64,
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

impl Follower {
    fn wants(&self, told: &IkeTrace) -> bool {
        let whose = match (&self.site, &told.site) {
            (None, _) => true,
            (Some(wanted), Some(site)) => wanted == site,
            (Some(_), None) => {
                let remote = told.remote.as_ref().and_then(|remote| remote.parse::<SocketAddr>().ok());
                remote.is_some_and(|remote| self.address == Some(remote.ip()))
            }
        };
        whose && (self.keys || told.keys.is_empty())
    }

    /// False if it is gone.
    fn tell(&mut self, told: &IkeTrace) -> bool {
        if self.lines.is_closed() {
            return false;
        }
        if !self.wants(told) {
            return true;
        }
        if self.lost > 0 {
            let text = format!("{} entries, as they were not read in time", self.lost);
            let lost = IkeTrace {
                kind: IkeTraceKind::Lost,
                text: Some(text),
                message: None,
                keys: Vec::new(),
                ..told.clone()
            };
            if self.lines.capacity() < 2 {
                self.lost += 1;
                return true;
            }
            self.lost = 0;
            self.send(line(&lost));
        }
        self.send(line(told))
    }

    fn send(&mut self, lines: Lines) -> bool {
        match self.lines.try_send(lines) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.lost += 1;
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

/// A line of JSON, which may have keys in it: growth would leave copies of them behind.
fn line(told: &IkeTrace) -> Lines {
    let secret: usize = told.keys.iter().map(|key| key.line.expose().len()).sum();
    let mut line = Zeroizing::new(Vec::with_capacity(2 * secret + 8 * 1024));
    match serde_json::to_writer(&mut *line, told) {
        Ok(()) => line.push(b'\n'),
        Err(error) => tracing::warn!(%error, "an IKE message cannot be told"),
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(traces: &mut Traces, site: Option<&str>, number: u64, text: &str) {
        traces.note(site.map(Arc::from).as_ref(), None, IkeTraceKind::Failed, format!("{text}{number}"));
    }

    fn shown(traces: &mut Traces, wanted: DebugIke) -> (Vec<String>, mpsc::Receiver<Lines>) {
        let (sender, mut lines) = mpsc::channel(8);
        traces.show(wanted, Some([192, 0, 2, 1].into()), &[], sender);
        let first = lines.try_recv().unwrap();
        (texts(&first), lines)
    }

    fn texts(lines: &[u8]) -> Vec<String> {
        let one = |line: &str| serde_json::from_str::<IkeTrace>(line).unwrap().text.unwrap_or_default();
        str::from_utf8(lines).unwrap().lines().map(one).collect()
    }

    #[test]
    fn the_last_entries_of_a_site_are_kept_whatever_strangers_do() {
        let mut traces = Traces::default();
        note(&mut traces, Some("branch"), 1, "");
        for number in 0..5_000 {
            note(&mut traces, None, number, &"x".repeat(1_000));
        }
        note(&mut traces, Some("other"), 2, "");
        let branch = DebugIke { site: Some("branch".to_owned()), ..DebugIke::default() };
        assert_eq!(shown(&mut traces, branch).0, ["1"]);
        let (all, _) = shown(&mut traces, DebugIke::default());
        assert!(all.len() <= MOST_RECORDS + 2, "{}", all.len());
        assert_eq!(
            (all.first().unwrap().as_str(), all.last().unwrap().as_str()),
            ("1", "2"),
            "in their order"
        );
        assert!(traces.strangers.bytes <= MOST_BYTES);
        for number in 0..500 {
            note(&mut traces, Some("branch"), number, "");
        }
        let (all, _) = shown(&mut traces, DebugIke::default());
        assert!(all.contains(&"499".to_owned()) && all.contains(&"2".to_owned()));
        traces.forget("branch");
        let (all, _) = shown(&mut traces, DebugIke::default());
        assert!(!all.contains(&"499".to_owned()));
    }

    #[test]
    fn who_follows_hears_of_its_site_and_of_what_it_could_not_take() {
        let mut traces = Traces::default();
        let branch = DebugIke { site: Some("branch".to_owned()), follow: true, keys: false };
        let (first, mut lines) = shown(&mut traces, branch);
        assert!(first.is_empty());
        note(&mut traces, Some("other"), 0, "");
        for number in 1..=20 {
            note(&mut traces, Some("branch"), number, "");
        }
        let mut heard = Vec::new();
        while let Ok(line) = lines.try_recv() {
            heard.extend(texts(&line));
        }
        assert_eq!(heard, (1..=8).map(|number| number.to_string()).collect::<Vec<_>>());
        note(&mut traces, Some("branch"), 21, "");
        assert!(texts(&lines.try_recv().unwrap())[0].starts_with("12 entries"));
        assert_eq!(texts(&lines.try_recv().unwrap()), ["21"]);
        drop(lines);
        note(&mut traces, Some("branch"), 22, "");
        assert!(traces.followers.is_empty());
    }

    #[test]
    fn a_stranger_from_where_a_site_is_looked_for_may_be_it() {
        let mut traces = Traces::default();
        for remote in ["192.0.2.1:500", "192.0.2.2:500"] {
            let trace = Trace {
                connection: None,
                ike_sa: None,
                local: "198.51.100.1:500".parse().unwrap(),
                remote: remote.parse().unwrap(),
                what: Traced::Dropped { header: None, reason: twinmesh_ike::trace::Discarded::Forged },
            };
            traces.trace(trace, SystemTime::now());
        }
        let branch = DebugIke { site: Some("branch".to_owned()), ..DebugIke::default() };
        assert_eq!(shown(&mut traces, branch).0.len(), 1);
        assert_eq!(shown(&mut traces, DebugIke::default()).0.len(), 2);
    }

    #[test]
    fn keys_go_to_those_who_asked_for_them_and_are_not_kept() {
        let mut traces = Traces::default();
        let (_, mut plain) = shown(&mut traces, DebugIke { follow: true, ..DebugIke::default() });
        assert!(!traces.wants_keys());
        let (_, mut with_keys) =
            shown(&mut traces, DebugIke { follow: true, keys: true, ..DebugIke::default() });
        assert!(traces.wants_keys());
        let secret = crate::api::SecretText::new(Zeroizing::new("0badc0de".to_owned()));
        let key = crate::api::IkeKeyLine { table: "esp_sa".to_owned(), line: secret };
        note(&mut traces, Some("branch"), 1, "");
        let told = IkeTrace { keys: vec![key], ..entry(&traces.sites["branch"].records[0]) };
        traces.tell(&told);
        assert_eq!(texts(&plain.try_recv().unwrap()), ["1"]);
        assert!(plain.try_recv().is_err());
        with_keys.try_recv().unwrap();
        let line = with_keys.try_recv().unwrap();
        assert_eq!(serde_json::from_slice::<IkeTrace>(&line).unwrap(), told);
        assert!(shown(&mut traces, DebugIke { keys: true, ..DebugIke::default() }).0.len() == 1);
    }
}
