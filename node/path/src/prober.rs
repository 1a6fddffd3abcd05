//! Measures the NAT by one IP version (RFC 5780 §4): from two local ports that nothing else uses, since what a port
//! has sent before decides what is let in to it.
//!
//! ```text
//!   Reach    second port → every server        who answers, how soon; the outer endpoint of the second port
//!   Open     main port → one server            the outer endpoint of the main port
//!   Filter   "answer me from elsewhere"        before the main port has sent anything there
//!   Map      main port → elsewhere             is the outer endpoint another?
//!   Hairpin  each port → the other's outer endpoint
//! ```
//!
//! Each step asks its open questions every [`ROUND`], each time with a new transaction id, so that the round trip is
//! sure. What is told by silence (Filter, Hairpin) is believed only after a plain question, asked as often, was
//! answered [`CONTROLS`] times: then it is not loss.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use stun_types::message::TransactionId;

use crate::behaviour::{Filtering, Findings, Latency, Mapping};
use crate::message::{Answer, Origin, Received, canonical, is_host, probe, read};

/// More servers tell nothing more.
pub const MAX_SERVERS: usize = 4;
/// Time between two askings.
const ROUND: Duration = Duration::from_millis(80);
/// A step that gets no further ends.
const MOST_ROUNDS: u32 = 40;
/// At a loss of 25 % each way, silence deceives once in two million.
const CONTROLS: u32 = 10;
/// For answers that take a longer way.
const GRACE: Duration = Duration::from_millis(300);

/// Which of the two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    Main,
    Second,
}

/// A STUN server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    pub address: SocketAddr,
    /// Where the same address answers too, if that is known.
    pub other_port: Option<u16>,
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    pub from: Local,
    pub to: SocketAddr,
    pub datagram: Vec<u8>,
}

/// One measurement.
#[derive(Debug)]
pub struct Prober {
    servers: Vec<State>,
    own: BTreeSet<IpAddr>,
    random: fastrand::Rng,
    step: Step,
    /// Requests of this step without answer: at most some hundred.
    asked: Vec<Asked>,
    queue: VecDeque<Transmit>,
    rounds: u32,
    controls: u32,
    due: Instant,
    /// When this step ends, come what may.
    end: Option<Instant>,
    primary: usize,
    /// Of the main port.
    seen: Option<SocketAddr>,
    /// The mapping changed while it was measured: nothing can be told from it.
    unstable: bool,
    /// The server does not answer from elsewhere: its silence tells nothing.
    stays: bool,
    from_other_port: Silence,
    from_other_address: Silence,
    at_other_port: Option<SocketAddr>,
    at_other_address: Option<SocketAddr>,
    hairpin: Silence,
}

#[derive(Debug)]
struct State {
    server: Server,
    round_trip: Option<Duration>,
    /// Of the second port.
    seen: Option<SocketAddr>,
    /// What the server says of itself.
    other: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Reach,
    Open,
    Filter,
    Map,
    Hairpin,
    Done,
}

/// What may be told by silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    Unknown,
    Arrived,
    /// Nothing came, and it was not loss.
    Silent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Reach(usize),
    Control,
    FromOtherPort,
    FromOtherAddress,
    AtOtherPort,
    AtOtherAddress,
    ToSecond,
    ToMain,
}

#[derive(Debug)]
struct Asked {
    id: TransactionId,
    question: Question,
    at: Instant,
}

impl Prober {
    /// Asks these servers, of which all have addresses of one IP version; at most [`MAX_SERVERS`]. `own`: addresses of
    /// this machine. `random` makes transaction ids: it must not be foreseeable from outside.
    pub fn new(
        servers: impl IntoIterator<Item = Server>,
        own: BTreeSet<IpAddr>,
        random: fastrand::Rng,
        now: Instant,
    ) -> Self {
        let state = |server| State { server, round_trip: None, seen: None, other: None };
        let servers: Vec<State> = servers.into_iter().take(MAX_SERVERS).map(state).collect();
        Self {
            step: if servers.is_empty() { Step::Done } else { Step::Reach },
            servers,
            own,
            random,
            asked: Vec::new(),
            queue: VecDeque::new(),
            rounds: 0,
            controls: 0,
            due: now,
            end: None,
            primary: 0,
            seen: None,
            unstable: false,
            stays: false,
            from_other_port: Silence::Unknown,
            from_other_address: Silence::Unknown,
            at_other_port: None,
            at_other_address: None,
            hairpin: Silence::Unknown,
        }
    }

    /// When [`Self::handle_timeout`] is due: the next asking, or the end of a step. None: [`Self::findings`] are there.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.step != Step::Done).then(|| self.end.map_or(self.due, |end| end.min(self.due)))
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.queue.pop_front()
    }

    /// Asks again, or goes on.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.step != Step::Done {
            let over = self.end.is_some_and(|end| end <= now) || self.rounds > MOST_ROUNDS;
            if over || self.questions().is_empty() {
                self.next_step(now);
            } else if self.due <= now {
                self.ask(now);
            } else {
                return;
            }
        }
    }

    /// A datagram arrived at one of the two ports. Anything but the answer to an open question, from where that was to
    /// come, is ignored.
    pub fn handle_datagram(&mut self, at: Local, from: SocketAddr, datagram: &[u8], now: Instant) {
        let from = canonical(from);
        match read(datagram) {
            Some(Received::Request(id)) => self.came_round(at, id),
            Some(Received::Answer(answer)) => self.answered(at, from, &answer, now),
            Some(Received::Refusal(id)) => {
                self.stays |= self.asks_to_change(id) && self.is_primary(from);
            }
            None => {}
        }
        self.handle_timeout(now);
    }

    /// What was found, once all is asked.
    pub fn findings(&self) -> Option<Findings> {
        if self.step != Step::Done {
            return None;
        }
        let latency = |state: &State| Latency { server: state.server.address, round_trip: state.round_trip };
        Some(Findings {
            servers: self.servers.iter().map(latency).collect(),
            seen: self.seen,
            mapping: self.mapping(),
            filtering: self.filtering(),
            hairpin: match self.hairpin {
                Silence::Unknown => None,
                Silence::Arrived => Some(true),
                Silence::Silent => Some(false),
            },
        })
    }

    /// RFC 5780 §4.3.
    fn mapping(&self) -> Option<Mapping> {
        let seen = self.seen.filter(|_| !self.unstable)?;
        if self.own.contains(&seen.ip()) {
            return Some(Mapping::None);
        }
        let same = |other: Option<SocketAddr>| other.map(|other| other == seen);
        match (same(self.at_other_port), same(self.at_other_address)) {
            (Some(false), _) => Some(Mapping::AddressAndPortDependent),
            (Some(true), Some(true)) => Some(Mapping::EndpointIndependent),
            (Some(true), Some(false)) => Some(Mapping::AddressDependent),
            (Some(true), None) => Some(Mapping::PortIndependent),
            (None, _) => None,
        }
    }

    /// RFC 5780 §4.4.
    fn filtering(&self) -> Option<Filtering> {
        match (self.from_other_port, self.from_other_address) {
            (_, Silence::Arrived) => Some(Filtering::EndpointIndependent),
            (Silence::Arrived, Silence::Silent) => Some(Filtering::AddressDependent),
            (Silence::Arrived, Silence::Unknown) => Some(Filtering::PortIndependent),
            (Silence::Silent, _) => Some(Filtering::AddressAndPortDependent),
            (Silence::Unknown, _) => None,
        }
    }

    fn primary(&self) -> Option<&State> {
        self.servers.get(self.primary)
    }

    /// The same address, another port.
    fn other_port(&self) -> Option<SocketAddr> {
        let State { server, other, .. } = self.primary()?;
        let port = server.other_port.or(other.map(|other| other.port()))?;
        (port != 0 && port != server.address.port()).then(|| SocketAddr::new(server.address.ip(), port))
    }

    /// From where the server answers if it is asked to change address and port.
    fn announced(&self) -> Option<SocketAddr> {
        let State { server, other, .. } = self.primary()?;
        (*other).filter(|other| {
            let address = server.address;
            is_host(other) && other.is_ipv4() == address.is_ipv4() && other.ip() != address.ip()
        })
    }

    /// Another address: of the same server, or of another one that answers.
    fn other_address(&self) -> Option<SocketAddr> {
        let primary = self.primary()?.server.address.ip();
        let another = |state: &&State| state.round_trip.is_some() && state.server.address.ip() != primary;
        self.announced().or_else(|| self.servers.iter().find(another).map(|state| state.server.address))
    }

    fn questions(&self) -> Vec<Question> {
        let mut open = Vec::new();
        match self.step {
            Step::Reach => {
                let silent =
                    |(at, state): (usize, &State)| state.round_trip.is_none().then_some(Question::Reach(at));
                open.extend(self.servers.iter().enumerate().filter_map(silent));
            }
            Step::Open => open.extend(self.seen.is_none().then_some(Question::Control)),
            Step::Filter => {
                let by_port = self.other_port().is_some() && self.from_other_port != Silence::Arrived;
                let by_address = self.announced().is_some() && self.from_other_address != Silence::Arrived;
                if by_port || by_address {
                    open.push(Question::Control);
                    open.extend(by_port.then_some(Question::FromOtherPort));
                    open.extend(by_address.then_some(Question::FromOtherAddress));
                }
            }
            Step::Map => {
                let translated = self.seen.is_some_and(|seen| !self.own.contains(&seen.ip()));
                let by_port = translated && self.at_other_port.is_none() && self.other_port().is_some();
                let by_address =
                    translated && self.at_other_address.is_none() && self.other_address().is_some();
                open.extend(by_port.then_some(Question::AtOtherPort));
                open.extend(by_address.then_some(Question::AtOtherAddress));
            }
            Step::Hairpin => {
                let translated = self.seen.is_some_and(|seen| !self.own.contains(&seen.ip()));
                let known = self.primary().is_some_and(|state| state.seen.is_some());
                if translated && known && self.hairpin != Silence::Arrived {
                    open.extend([Question::Control, Question::ToSecond, Question::ToMain]);
                }
            }
            Step::Done => {}
        }
        open
    }

    fn ask(&mut self, now: Instant) {
        self.rounds += 1;
        self.due = now + ROUND;
        for question in self.questions() {
            let Some((from, to)) = self.way(question) else { continue };
            let origin = match question {
                Question::FromOtherPort => Origin::OtherPort,
                Question::FromOtherAddress => Origin::OtherAddressAndPort,
                Question::Reach(_)
                | Question::Control
                | Question::AtOtherPort
                | Question::AtOtherAddress
                | Question::ToSecond
                | Question::ToMain => Origin::Asked,
            };
            let id = self.random.u128(..).into();
            self.asked.push(Asked { id, question, at: now });
            self.queue.push_back(Transmit { from, to, datagram: probe(id, origin) });
        }
    }

    /// From which port, and whither.
    fn way(&self, question: Question) -> Option<(Local, SocketAddr)> {
        let primary = self.primary()?;
        let server = primary.server.address;
        Some(match question {
            Question::Reach(at) => (Local::Second, self.servers.get(at)?.server.address),
            Question::Control | Question::FromOtherPort | Question::FromOtherAddress => (Local::Main, server),
            Question::AtOtherPort => (Local::Main, self.other_port()?),
            Question::AtOtherAddress => (Local::Main, self.other_address()?),
            Question::ToSecond => (Local::Main, primary.seen?),
            Question::ToMain => (Local::Second, self.seen?),
        })
    }

    /// From where the answer comes. A server that does not change its address although it was asked to must not make
    /// a filter look open.
    fn origin(&self, question: Question) -> Option<SocketAddr> {
        match question {
            Question::FromOtherPort => self.other_port(),
            Question::FromOtherAddress => self.announced(),
            Question::Reach(_)
            | Question::Control
            | Question::AtOtherPort
            | Question::AtOtherAddress
            | Question::ToSecond
            | Question::ToMain => self.way(question).map(|(_, to)| to),
        }
    }

    /// A request of our own, from one of our ports to the other.
    fn came_round(&mut self, at: Local, id: TransactionId) {
        let ours = self.asked.iter().find(|asked| asked.id == id).map(|asked| asked.question);
        if matches!(
            (ours, at),
            (Some(Question::ToMain), Local::Main) | (Some(Question::ToSecond), Local::Second)
        ) {
            self.hairpin = Silence::Arrived;
        }
    }

    fn asks_to_change(&self, id: TransactionId) -> bool {
        let changes =
            |asked: &Asked| matches!(asked.question, Question::FromOtherPort | Question::FromOtherAddress);
        self.asked.iter().any(|asked| asked.id == id && changes(asked))
    }

    fn is_primary(&self, from: SocketAddr) -> bool {
        self.primary().is_some_and(|state| state.server.address == from)
    }

    fn answered(&mut self, at: Local, from: SocketAddr, answer: &Answer, now: Instant) {
        let Some(place) = self.asked.iter().position(|asked| asked.id == answer.id) else { return };
        let Some(&Asked { question, at: sent, .. }) = self.asked.get(place) else { return };
        if self.origin(question) != Some(from) || self.way(question).is_none_or(|(local, _)| local != at) {
            self.stays |= self.asks_to_change(answer.id) && self.is_primary(from);
            return;
        }
        self.asked.swap_remove(place);
        let round_trip = now.saturating_duration_since(sent);
        match question {
            Question::Reach(server) => {
                if let Some(state) = self.servers.get_mut(server) {
                    state.heard(answer, round_trip);
                    state.seen = Some(answer.mapped);
                }
                // The others get a moment.
                self.end.get_or_insert(now + GRACE);
            }
            Question::Control => {
                if let Some(state) = self.servers.get_mut(self.primary) {
                    state.heard(answer, round_trip);
                }
                self.unstable |= self.seen.is_some_and(|seen| seen != answer.mapped);
                self.seen = Some(answer.mapped);
                self.controls += 1;
                if self.controls == CONTROLS {
                    self.end = Some(now + GRACE);
                }
            }
            Question::FromOtherPort => self.from_other_port = Silence::Arrived,
            Question::FromOtherAddress => self.from_other_address = Silence::Arrived,
            Question::AtOtherPort => self.at_other_port = Some(answer.mapped),
            Question::AtOtherAddress => self.at_other_address = Some(answer.mapped),
            // Nobody answers these: they come round or not.
            Question::ToSecond | Question::ToMain => {}
        }
    }

    fn next_step(&mut self, now: Instant) {
        let sure = self.controls >= CONTROLS;
        let conclude = |silence: &mut Silence, asked: bool| {
            if sure && asked && *silence == Silence::Unknown {
                *silence = Silence::Silent;
            }
        };
        self.step = match self.step {
            Step::Reach => match self.servers.iter().position(|state| state.round_trip.is_some()) {
                Some(primary) => {
                    self.primary = primary;
                    Step::Open
                }
                None => Step::Done,
            },
            Step::Open if self.seen.is_some() => Step::Filter,
            Step::Filter => {
                let by_port = !self.stays && self.other_port().is_some();
                let by_address = !self.stays && self.announced().is_some();
                conclude(&mut self.from_other_port, by_port);
                conclude(&mut self.from_other_address, by_address);
                Step::Map
            }
            Step::Map => Step::Hairpin,
            Step::Hairpin => {
                conclude(&mut self.hairpin, true);
                Step::Done
            }
            Step::Open | Step::Done => Step::Done,
        };
        self.asked.clear();
        self.queue.clear();
        (self.rounds, self.controls, self.end) = (0, 0, None);
        self.due = now;
    }
}

impl State {
    fn heard(&mut self, answer: &Answer, round_trip: Duration) {
        self.round_trip = Some(self.round_trip.map_or(round_trip, |best| best.min(round_trip)));
        self.other = self.other.or(answer.other);
    }
}
