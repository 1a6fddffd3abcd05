//! How long a NAT or firewall keeps a mapping that is not used (RFC 5780 §4.6).
//!
//! ```text
//!   silent port   ─ request ─► server      opens a mapping; then nothing for 10 s, 20 s, … 180 s, a port for each
//!   asking port   ─ "answer to the other's outer port" ─► server ─► the silent port, if its mapping is still there
//! ```
//!
//! What is told by silence is believed only after plain questions, asked as often, were answered: then it is not loss.
//!
//! After each `handle_*`, drain [`LifetimeProber::poll_transmit`] until `None`; then wait for a datagram or for
//! [`LifetimeProber::poll_timeout`], whose end is [`LifetimeProber::lifetime`].

mod rung;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use self::rung::{Rung, Word};
use crate::message::{Received, canonical, read};

/// The durations in question, each with a port of its own.
pub const LIFETIMES: [Duration; 6] = [
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(30),
    Duration::from_mins(1),
    Duration::from_mins(2),
    Duration::from_mins(3),
];

/// No keepalive is rarer: a NAT that was switched off and on is to be noticed.
const RAREST_KEEPALIVE: Duration = Duration::from_secs(45);

/// Which of the ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifetimePort {
    /// Asks for all others.
    Asking,
    /// Of that place in [`LIFETIMES`].
    Silent(usize),
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifetimeTransmit {
    pub from: LifetimePort,
    pub to: SocketAddr,
    pub datagram: Vec<u8>,
}

/// What was found; `None` where it could not be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MappingLifetime {
    /// A mapping was still there after so long.
    pub at_least: Option<Duration>,
    /// It was gone after so long.
    pub below: Option<Duration>,
}

impl MappingLifetime {
    /// How often something must be sent to keep a mapping; `None` where nothing was found.
    pub fn keepalive(&self) -> Option<Duration> {
        match (self.at_least, self.below) {
            (Some(lasts), _) => Some((lasts / 2).min(RAREST_KEEPALIVE)),
            (None, Some(gone)) => Some(gone / 3),
            (None, None) => None,
        }
    }
}

/// One measurement, by one IP version: some three minutes.
#[derive(Debug)]
pub struct LifetimeProber {
    server: SocketAddr,
    rungs: Vec<Rung>,
    random: fastrand::Rng,
    queue: VecDeque<LifetimeTransmit>,
}

impl LifetimeProber {
    /// Asks this server. `random` makes transaction ids: it must not be foreseeable from outside.
    pub fn new(server: SocketAddr, random: fastrand::Rng, now: Instant) -> Self {
        let rungs = LIFETIMES.iter().map(|lasts| Rung::new(*lasts, now)).collect();
        let mut prober = Self { server: canonical(server), rungs, random, queue: VecDeque::new() };
        prober.handle_timeout(now);
        prober
    }

    /// When [`Self::handle_timeout`] is due. None: [`Self::lifetime`] is there.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.rungs.iter().filter_map(Rung::poll_timeout).min()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<LifetimeTransmit> {
        self.queue.pop_front()
    }

    /// Asks what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for (place, rung) in self.rungs.iter_mut().enumerate() {
            for (is_asking, datagram) in rung.handle_timeout(&mut self.random, now) {
                let from = if is_asking { LifetimePort::Asking } else { LifetimePort::Silent(place) };
                self.queue.push_back(LifetimeTransmit { from, to: self.server, datagram });
            }
        }
        self.settle();
    }

    /// A datagram arrived at one of the ports. Anything but the answer of the server to an open question is ignored.
    pub fn handle_datagram(&mut self, at: LifetimePort, from: SocketAddr, datagram: &[u8], now: Instant) {
        if canonical(from) != self.server {
            return;
        }
        let word = match read(datagram) {
            Some(Received::Answer(answer)) => Word::Answer { id: answer.id, seen: answer.mapped },
            Some(Received::Refusal(id)) => Word::Refusal(id),
            Some(Received::Request(_)) | None => return,
        };
        let mut unable = false;
        match at {
            LifetimePort::Silent(place) => {
                if let Some(rung) = self.rungs.get_mut(place) {
                    rung.heard(word);
                }
            }
            LifetimePort::Asking => {
                for rung in &mut self.rungs {
                    unable |= rung.heard_by_asking(word, now);
                }
            }
        }
        if unable {
            self.rungs.iter_mut().for_each(Rung::give_up);
        }
        self.settle();
    }

    /// What was found, once all is asked.
    pub fn lifetime(&self) -> Option<MappingLifetime> {
        if self.poll_timeout().is_some() {
            return None;
        }
        let below = self.rungs.iter().find(|rung| rung.is_gone()).map(Rung::lasts);
        let shorter = |rung: &&Rung| below.is_none_or(|below| rung.lasts() < below);
        let at_least =
            self.rungs.iter().filter(|rung| rung.is_alive()).filter(shorter).map(Rung::lasts).max();
        Some(MappingLifetime { at_least, below })
    }

    /// What is gone after a minute is gone after two.
    fn settle(&mut self) {
        let gone = self.rungs.iter().position(Rung::is_gone);
        let Some(longer) = gone.and_then(|gone| self.rungs.get_mut(gone + 1..)) else { return };
        longer.iter_mut().for_each(Rung::give_up);
    }
}
