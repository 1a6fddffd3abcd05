//! `twinmesh trace`: one packet's way on this node and, by a question to it, on the far one.
//!
//! ```text
//!   trace ─┬─ probe inside the tunnel ──────► answered by the peer's data plane
//!          └─ question outside it, sealed ──► `questions` of the peer's agent ─► `far`
//!                          both, or 3 s ─► `stages` ─► answer
//! ```

mod far;
mod far_stages;
mod questions;
mod stages;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::oneshot;
use twinmesh_control::{NetworkMap, NodeId, Peer, PeerKind};
use twinmesh_dataplane::{Engine, PublicKey};
use twinmesh_path::question::{Answerer, GIVE_UP, Question};

use self::far::{FarAnswer, FarQuestion};
use self::stages::Facts;
use super::agent::Agent;
use super::plane::MTU;
use super::sa_routes::Installed;
use super::status::kernel_problem;
use super::tunnels::usable_endpoints;
use crate::api::{Answer, Trace, TracePacket};
use crate::network::program_source;

/// Users that wait: each holds a connection to the local API.
const MAX_OPEN: usize = 16;
/// A probe may get lost, or be what a session is made for.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// Traces under way, and the questions of others.
pub(super) struct Traces {
    /// Each with whom to tell.
    open: Vec<(Open, oneshot::Sender<Answer>)>,
    answerer: Answerer,
}

/// One trace under way.
struct Open {
    peer: NodeId,
    key: PublicKey,
    packet: TracePacket,
    destination: IpAddr,
    begun: Instant,
    /// The engine that is probed, and by which token the answer is known.
    probe: Option<(Engine, u64)>,
    probe_due: Instant,
    probed: Option<Duration>,
    question: Option<Question>,
    far: Option<Far>,
}

/// What the far end said.
struct Far {
    from: SocketAddr,
    after: Duration,
    answer: FarAnswer,
}

impl Traces {
    pub(super) fn new(now: Instant) -> Self {
        Self { open: Vec::new(), answerer: Answerer::new(now) }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.open.iter().map(|(open, _)| open.poll_timeout()).min()
    }

    /// Questions of others that were dropped, by reason.
    pub(super) fn drops(&self) -> [(&'static str, u64); 2] {
        let counters = self.answerer.counters();
        [("forged-question", counters.forged), ("question-limit", counters.limited)]
    }
}

impl Open {
    fn poll_timeout(&self) -> Instant {
        let question = self.question.as_ref().and_then(Question::poll_timeout);
        let probe = self.awaits_probe().then_some(self.probe_due);
        [question, probe].into_iter().flatten().fold(self.begun + GIVE_UP, Instant::min)
    }

    fn awaits_probe(&self) -> bool {
        self.probe.is_some() && self.probed.is_none()
    }

    fn is_over(&self, now: Instant) -> bool {
        let answered = !self.awaits_probe() && self.question.as_ref().is_none_or(Question::is_over);
        answered || now >= self.begun + GIVE_UP
    }
}

impl Agent {
    /// The answer follows when the far end has answered, or will not.
    pub(super) fn trace(
        &mut self,
        wanted: &str,
        packet: TracePacket,
        answer: oneshot::Sender<Answer>,
        now: Instant,
    ) {
        match self.begin_trace(wanted, packet, now) {
            Ok(open) => {
                self.traces.open.push((open, answer));
                self.drive_traces(now);
            }
            // A client that went away needs no answer.
            Err(error) => drop(answer.send(Answer::Error(error))),
        }
    }

    fn begin_trace(&self, wanted: &str, packet: TracePacket, now: Instant) -> Result<Open, String> {
        let (peer, destination) = self.find_peer(wanted)?;
        if self.traces.open.len() >= MAX_OPEN {
            return Err("too many traces are under way: try again in some seconds".to_owned());
        }
        let key = PublicKey(peer.wireguard_key.0);
        let is_agent = peer.kind == PeerKind::Agent;
        let random =
            || getrandom::u64().map_err(|_| "no random numbers from the operating system".to_owned());
        // 0 is the data plane's.
        let token = random()? | 1;
        let engine = self.changes.sending(peer.id).filter(|_| is_agent);
        let question = if is_agent { Some(self.question(peer, packet, destination, now)?) } else { None };
        Ok(Open {
            peer: peer.id,
            key,
            packet,
            destination,
            begun: now,
            probe: engine.map(|carrier| (carrier.engine(), token)),
            probe_due: now,
            probed: None,
            question,
            far: None,
        })
    }

    fn question(
        &self,
        peer: &Peer,
        packet: TracePacket,
        destination: IpAddr,
        now: Instant,
    ) -> Result<Question, String> {
        let map = self.stored.map.as_ref().ok_or("there is no network map")?;
        let targets = self.places(peer, map);
        let content =
            FarQuestion { source: program_source(destination).ok(), destination, packet }.to_bytes();
        let (mut id, mut nonce) = ([0; 12], [0; 12]);
        let filled = getrandom::fill(&mut id).and_then(|()| getrandom::fill(&mut nonce));
        filled.map_err(|_| "no random numbers from the operating system".to_owned())?;
        let keys = self.question_keys(&PublicKey(peer.wireguard_key.0));
        Question::new(keys, map.own.id.0, &content, &targets, (id, nonce), now)
            .map_err(|error| error.to_string())
    }

    /// Where the peer may be, where it was heard in front.
    fn places(&self, peer: &Peer, map: &NetworkMap) -> Vec<SocketAddr> {
        let heard = self.peer_status(peer).endpoint;
        let others =
            usable_endpoints(peer, map, &self.here).into_iter().filter(|other| Some(*other) != heard);
        heard.into_iter().chain(others).collect()
    }

    /// Who has just come, or moves, is found while the trace is under way: by its report, or because it is heard.
    fn aim_questions(&mut self) {
        let places = |open: &Open| {
            let map = self.stored.map.as_ref()?;
            open.question.as_ref().filter(|question| !question.is_over())?;
            Some(self.places(map.peers.get(&open.peer)?, map))
        };
        let found: Vec<_> = self.traces.open.iter().map(|(open, _)| places(open)).collect();
        for ((open, _), places) in self.traces.open.iter_mut().zip(found) {
            let Some(question) = open.question.as_mut() else { continue };
            places.into_iter().flatten().for_each(|place| question.aim(place));
        }
    }

    /// A probe was answered.
    pub(super) fn trace_probed(&mut self, key: &PublicKey, token: u64, now: Instant) {
        let asked =
            |open: &&mut Open| open.key == *key && open.probe.is_some_and(|(_, known)| known == token);
        if let Some(open) = self.traces.open.iter_mut().map(|(open, _)| open).find(asked) {
            open.probed.get_or_insert(now.saturating_duration_since(open.begun));
        }
    }

    /// Asks again what is due, and answers what is over.
    pub(super) fn drive_traces(&mut self, now: Instant) {
        self.aim_questions();
        let Some(plane) = &self.plane else { return };
        for (open, _) in &mut self.traces.open {
            if let Some((engine, token)) = open.probe.filter(|_| open.awaits_probe() && now >= open.probe_due)
            {
                plane.dataplane.probe(&open.key, engine, token);
                open.probe_due = now + PROBE_INTERVAL;
            }
            let Some(question) = open.question.as_mut() else { continue };
            question.handle_timeout(now);
            while let Some((to, datagram)) = question.poll_transmit() {
                if let Err(error) = plane.dataplane.send_datagram(None, to, datagram) {
                    tracing::debug!(%to, %error, "a question was not sent");
                }
            }
        }
        while let Some(at) = self.traces.open.iter().position(|(open, _)| open.is_over(now)) {
            let (open, answer) = self.traces.open.swap_remove(at);
            let trace = self.traced(&open);
            let gone = || Answer::Error("the peer has left the network meanwhile".to_owned());
            answer.send(trace.as_ref().map_or_else(gone, Answer::ok)).ok();
        }
    }

    /// The tunnels are down.
    pub(super) fn end_traces(&mut self) {
        self.traces.answerer.forget_keys();
        for (_, answer) in self.traces.open.drain(..) {
            answer.send(Answer::Error("the tunnels went down meanwhile".to_owned())).ok();
        }
    }

    fn traced(&self, open: &Open) -> Option<Trace> {
        let map = self.stored.map.as_ref()?;
        let plane = self.plane.as_ref()?;
        let peer = map.peers.get(&open.peer)?;
        let status = self.peer_status(peer);
        let facts = Facts {
            own: &map.own,
            peer,
            source: program_source(open.destination).ok(),
            destination: open.destination,
            packet: open.packet,
            tun: plane.dataplane.tun_name(),
            tun_mtu: MTU,
            route_problem: self.route_problem(open.destination),
            policy: self.policy_before(open.destination),
            tried: usable_endpoints(peer, map, &self.here).len(),
            probed: open.probed,
            is_probed: open.probe.is_some(),
            far: open.far.as_ref(),
            status: &status,
        };
        Some(facts.trace())
    }

    /// Why the kernel does not send that to the TUN device, as far as the agent's own routes tell.
    fn route_problem(&self, destination: IpAddr) -> Option<String> {
        let plane = self.plane.as_ref()?;
        kernel_problem(plane.interface.routes(), &IpNet::from(destination))
    }

    /// An SA or a site whose policies stand before the routes and may take it.
    fn policy_before(&self, destination: IpAddr) -> Option<String> {
        let plane = self.plane.as_ref()?;
        let guards = plane.guards.iter().map(|(name, (_, installed))| (name, installed));
        let takes = |(name, installed): (&String, &Installed)| {
            installed.destinations.iter().any(|prefix| prefix.contains(&destination)).then(|| name.clone())
        };
        plane.sas.iter().chain(guards).find_map(takes)
    }
}
