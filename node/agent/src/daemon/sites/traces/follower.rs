//! Who watches the IKE messages of sites.

use std::net::{IpAddr, SocketAddr};

use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::api::{IkeTrace, IkeTraceKind, Lines};

pub(super) struct Follower {
    pub(super) site: Option<String>,
    /// Where the site's peer is looked for: strangers from there may be it.
    pub(super) address: Option<IpAddr>,
    pub(super) keys: bool,
    pub(super) lines: mpsc::Sender<Lines>,
    /// Since it was last able to take one.
    pub(super) lost: u64,
}

impl Follower {
    pub(super) fn wants(&self, told: &IkeTrace) -> bool {
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
    pub(super) fn tell(&mut self, told: &IkeTrace) -> bool {
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

    pub(super) fn send(&mut self, lines: Lines) -> bool {
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
pub(super) fn line(told: &IkeTrace) -> Lines {
    let secret: usize = told.keys.iter().map(|key| key.line.expose().len()).sum();
    let mut line = Zeroizing::new(Vec::with_capacity(2 * secret + 8 * 1024));
    match serde_json::to_writer(&mut *line, told) {
        Ok(()) => line.push(b'\n'),
        Err(error) => tracing::warn!(%error, "an IKE message cannot be told"),
    }
    line
}
