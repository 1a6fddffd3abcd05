//! From facts to stages: what lets the packet pass, and what stops it.

use std::net::IpAddr;
use std::time::Duration;

use twinmesh_control::{OwnNode, Peer, PeerKind};

use super::Far;
use crate::api::{
    PeerActivity, PeerStatus, Trace, TraceEnd, TraceFinding, TracePacket, TraceStage, TraceVerdict,
};
use crate::daemon::explain::protocol_name;

/// All that is known of the packet's way.
pub(super) struct Facts<'a> {
    pub(super) own: &'a OwnNode,
    pub(super) peer: &'a Peer,
    pub(super) status: &'a PeerStatus,
    /// From which address the kernel sends it.
    pub(super) source: Option<IpAddr>,
    pub(super) destination: IpAddr,
    pub(super) packet: TracePacket,
    pub(super) tun: &'a str,
    pub(super) tun_mtu: u16,
    pub(super) route_problem: Option<String>,
    /// An SA or site whose policies may take it.
    pub(super) policy: Option<String>,
    /// At how many places the peer may be.
    pub(super) tried: usize,
    pub(super) is_probed: bool,
    /// How long the answer to a probe took.
    pub(super) probed: Option<Duration>,
    pub(super) far: Option<&'a Far>,
}

/// What a stage finds: the rule where it does not let the packet pass.
pub(super) enum Finding {
    Passes,
    Stops(&'static str),
    Unknown(&'static str),
}

use Finding::{Passes, Stops, Unknown};

impl Facts<'_> {
    pub(super) fn trace(&self) -> Trace {
        let here = [
            Some(self.route()),
            self.policy(),
            Some(self.choice()),
            self.tunnel(),
            self.path(),
            Some(self.mtu()),
        ];
        let there = match (self.far, &self.peer.kind) {
            (Some(far), _) => self.far_stages(far),
            (None, PeerKind::Agent) => vec![self.no_answer()],
            (None, PeerKind::Unmanaged | PeerKind::Other(_)) => vec![self.no_agent()],
        };
        let here = here.into_iter().flatten().map(|stage| stage.at(&self.own.name));
        let there = there.into_iter().map(|stage| stage.at(&self.peer.name));
        let stages: Vec<TraceStage> = here.chain(there).collect();
        let found = |wanted| stages.iter().find(move |stage: &&TraceStage| stage.finding == wanted);
        let (verdict, stage) = match (found(TraceFinding::Stops), found(TraceFinding::Unknown)) {
            (Some(stops), _) => (TraceVerdict::Stopped, Some(stops)),
            (None, Some(unknown)) => (TraceVerdict::Unknown, Some(unknown)),
            (None, None) => (TraceVerdict::Allowed, None),
        };
        let meaning = meaning(verdict, stage);
        Trace {
            from: TraceEnd { node: self.own.name.clone(), address: self.from() },
            to: TraceEnd { node: self.peer.name.clone(), address: self.destination },
            packet: self.packet,
            stages,
            verdict,
            meaning,
        }
    }

    /// The address that the packet has, or ought to have.
    pub(super) fn from(&self) -> IpAddr {
        let ours = self.own.addresses.iter().find(|own| own.is_ipv4() == self.destination.is_ipv4());
        self.source.or(ours.copied()).unwrap_or(self.destination)
    }

    fn route(&self) -> Stage {
        let destination = self.destination;
        let (finding, text) = match self.source {
            Some(source) if self.own.addresses.contains(&source) && self.route_problem.is_none() => {
                (Passes, format!("packets for {destination} leave from {source} by {}", self.tun))
            }
            Some(source) if !self.own.addresses.contains(&source) => (
                Stops("other-route"),
                format!(
                    "packets for {destination} leave from {source}, which is not of the mesh: another route or rule \
                     takes them (`ip route get {destination}`)"
                ),
            ),
            source => {
                let why = self.route_problem.as_deref().unwrap_or("no route leads there");
                let from = source.map(|source| format!(" from {source}")).unwrap_or_default();
                (
                    Stops("no-route"),
                    format!("packets for {destination}{from} do not go to {}: {why}", self.tun),
                )
            }
        };
        Stage::new("route", finding, text)
    }

    fn policy(&self) -> Option<Stage> {
        let policy = self.policy.as_ref()?;
        let text = format!(
            "an IPsec policy of {policy} covers {}; policies stand before the routes of the mesh (`twinmesh sa`, \
             `twinmesh site list`)",
            self.destination
        );
        Some(Stage::new("policy", Unknown("ipsec-policy"), text))
    }

    fn choice(&self) -> Stage {
        let reasons: Vec<&str> = self.status.reasons.iter().map(|reason| reason.text.as_str()).collect();
        let why = if reasons.is_empty() { "no reason is given".to_owned() } else { reasons.join(" and ") };
        let name = &self.peer.name;
        let (finding, text) = match self.status.protocol.as_str() {
            "none" => {
                (Stops("no-protocol"), format!("nothing may carry traffic between here and {name}: {why}"))
            }
            protocol => (Passes, format!("{} carries what goes to {name}: {why}", protocol_name(protocol))),
        };
        Stage::new("choice", finding, text)
    }

    fn tunnel(&self) -> Option<Stage> {
        if self.status.protocol == "none" {
            return None;
        }
        let name = &self.peer.name;
        let problem = self.status.problem.as_ref().map(|problem| format!("; {problem}")).unwrap_or_default();
        let (finding, text) = match (self.probed, self.status.state) {
            (Some(time), _) => {
                (Passes, format!("{name} answered inside the tunnel after {}{problem}", milliseconds(time)))
            }
            (None, PeerActivity::Active) if self.is_probed => (
                Stops("no-answer"),
                format!("keys are agreed, but {name} answers nothing inside the tunnel{problem}"),
            ),
            (None, PeerActivity::Active) => (Passes, "a session stands".to_owned()),
            (None, PeerActivity::Idle) if !self.is_probed => (
                Unknown("idle"),
                format!("no session stands, and none is asked for: the next packet begins one{problem}"),
            ),
            (None, PeerActivity::Idle | PeerActivity::Connecting) if self.tried == 0 => (
                Stops("no-candidate"),
                format!(
                    "no tunnel stands, and {name} has reported no address where it could be tried{problem}"
                ),
            ),
            (None, PeerActivity::Idle | PeerActivity::Connecting) => (
                Stops("no-session"),
                format!(
                    "no tunnel stands: {name} was tried at {}, and none answered{problem}",
                    places(self.tried)
                ),
            ),
        };
        Some(Stage::new("tunnel", finding, text))
    }

    fn path(&self) -> Option<Stage> {
        let path = self.status.path.as_ref()?;
        let why: Vec<&str> = path.why_relayed.iter().map(|reason| reason.text.as_str()).collect();
        let text = match why.as_slice() {
            _ if !path.relayed => format!("datagrams go straight to {}", path.remote),
            [] => format!("datagrams go by relay, to {}", path.remote),
            why => format!("datagrams go by relay, to {}: {}", path.remote, why.join(" and ")),
        };
        Some(Stage::new("path", Passes, text))
    }

    fn mtu(&self) -> Stage {
        let outer = self.status.path.as_ref().and_then(|path| path.mtu);
        let outer = outer.map(|mtu| format!("; the path carries outer packets of {mtu} bytes"));
        let text = format!(
            "packets of up to {} bytes pass {}, senders of longer ones are told (ICMP too big){}",
            self.tun_mtu,
            self.tun,
            outer.unwrap_or_default()
        );
        Stage::new("mtu", Passes, text)
    }
}

fn meaning(verdict: TraceVerdict, stage: Option<&TraceStage>) -> Vec<String> {
    let firewalls = "Packet filters of the two hosts are not looked at.".to_owned();
    let place = |stage: &TraceStage| {
        let rule = stage.rule.as_deref().unwrap_or("unknown");
        format!("at {}, stage {}, rule {rule}: {}", stage.node, stage.stage, stage.text)
    };
    match (verdict, stage) {
        (TraceVerdict::Stopped, Some(stage)) => vec![format!("The packet is stopped {}.", place(stage))],
        (TraceVerdict::Unknown, Some(stage)) => {
            vec![
                format!("Nothing is known to stop the packet, but not all is known: {}.", place(stage)),
                firewalls,
            ]
        }
        _ => vec!["Every stage lets the packet pass.".to_owned(), firewalls],
    }
}

pub(super) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

pub(super) fn places(count: usize) -> String {
    if count == 1 { "1 place".to_owned() } else { format!("{count} places") }
}

/// A stage whose node is not named yet.
pub(super) struct Stage {
    name: &'static str,
    finding: Finding,
    text: String,
}

impl Stage {
    pub(super) const fn new(name: &'static str, finding: Finding, text: String) -> Self {
        Self { name, finding, text }
    }

    fn at(self, node: &str) -> TraceStage {
        let (finding, rule) = match self.finding {
            Passes => (TraceFinding::Passes, None),
            Stops(rule) => (TraceFinding::Stops, Some(rule.to_owned())),
            Unknown(rule) => (TraceFinding::Unknown, Some(rule.to_owned())),
        };
        TraceStage { node: node.to_owned(), stage: self.name.to_owned(), finding, rule, text: self.text }
    }
}
