//! What the daemon logs, and its last lines, kept in memory for `twinmesh bugreport`.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// boringtun tells of each handshake of each peer, and stun_types of each malformed datagram: strangers must not write
/// our log, however much of it is wanted.
const QUIET: &str = "boringtun=off,stun_types=error";
/// Bytes of all lines: some hours of a quiet node.
const ROOM: usize = 256 * 1024;
/// Of a longer line the end is cut off.
const LONGEST_LINE: usize = 4 * 1024;

/// As `RUST_LOG` says; what fills the log is left out unless it is named there.
pub fn log_filter(wanted: Option<&str>) -> EnvFilter {
    // Of two directives for one target the last counts.
    EnvFilter::new(format!("{QUIET},{}", wanted.unwrap_or("info")))
}

/// Bounded, whatever is logged. Clones are the same log.
#[derive(Clone, Debug, Default)]
pub struct RecentLog(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<String>,
    bytes: usize,
}

impl RecentLog {
    /// The oldest first, without their line ends.
    pub fn lines(&self) -> Vec<String> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.lines.iter().cloned().collect()
    }

    fn push(&self, line: &[u8]) {
        let line = line.get(..LONGEST_LINE).unwrap_or(line);
        let line = String::from_utf8_lossy(line).trim_end().to_owned();
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.bytes += line.len();
        held.lines.push_back(line);
        while held.bytes > ROOM
            && let Some(oldest) = held.lines.pop_front()
        {
            held.bytes -= oldest.len();
        }
    }
}

/// The subscriber writes each line at once.
impl io::Write for &RecentLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for RecentLog {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_strangers_malformed_datagram_writes_no_log_unless_that_is_asked_for() {
        // An attribute that is longer than the message.
        let malformed = [0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 99];
        let written = |wanted: Option<&str>| {
            let log = RecentLog::default();
            let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(log.clone());
            let subscriber = tracing_subscriber::registry().with(log_filter(wanted)).with(layer);
            tracing::subscriber::with_default(subscriber, || {
                assert!(!twinmesh_path::question::is_question(&malformed));
            });
            log.lines().len()
        };
        for wanted in [None, Some("info"), Some("debug"), Some("trace,twinmesh=debug")] {
            assert_eq!(written(wanted), 0, "{wanted:?}");
        }
        assert!(written(Some("info,stun_types=warn")) > 0);
    }

    #[test]
    fn what_is_logged_is_kept_line_by_line() {
        let log = RecentLog::default();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(log.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(peer = 7, "first");
            tracing::warn!("second");
        });
        let lines = log.lines();
        let [first, second] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(first.contains("INFO") && first.ends_with("first peer=7"), "{first}");
        assert!(second.contains("WARN") && second.ends_with("second"), "{second}");
    }

    #[test]
    fn of_too_much_the_oldest_goes_and_of_a_long_line_the_end() {
        let log = RecentLog::default();
        log.push(&[b'x'; 2 * LONGEST_LINE]);
        assert_eq!(log.lines()[0].len(), LONGEST_LINE);
        for number in 0..10_000 {
            log.push(format!("{number:064}\n").as_bytes());
        }
        let lines = log.lines();
        assert_eq!(lines.len(), ROOM / 64);
        assert!(lines.last().unwrap().ends_with("9999") && lines.is_sorted());
    }
}
