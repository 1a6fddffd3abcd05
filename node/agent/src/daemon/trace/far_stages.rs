//! The stages at the far end, as it told them.

use std::net::SocketAddr;
use std::time::Duration;

use super::Far;
use super::far::FarAnswer;
use super::stages::Finding::{Passes, Stops, Unknown};
use super::stages::{Facts, Stage, milliseconds, places};
use crate::api::TraceProtocol;
use crate::daemon::explain::protocol_name;

impl Facts<'_> {
    pub(super) fn no_answer(&self) -> Stage {
        let text = format!(
            "{} answers no question outside the tunnel at {}: it is down, out of reach, does not know this node yet, or \
             runs another version",
            self.peer.name,
            places(self.tried)
        );
        Stage::new("question", Unknown("no-answer"), text)
    }

    pub(super) fn no_agent(&self) -> Stage {
        let text = format!("{} runs no agent that could be asked", self.peer.name);
        Stage::new("question", Unknown("no-agent"), text)
    }

    pub(super) fn far_stages(&self, far: &Far) -> Vec<Stage> {
        let answer = &far.answer;
        let mut stages = vec![
            Stage::new("question", Passes, answered(far)),
            return_way(answer),
            self.source_check(answer),
        ];
        stages.push(self.address(answer));
        stages.extend(self.far_route(answer));
        stages.extend(self.socket(answer));
        stages
    }

    fn source_check(&self, answer: &FarAnswer) -> Stage {
        let (source, own) = (self.from(), &self.own.name);
        if answer.source_passes {
            Stage::new("source-check", Passes, format!("packets from {source} may come from {own}"))
        } else {
            let text = format!("{source} is none of the addresses that packets of {own} may come from");
            Stage::new("source-check", Stops("foreign-source"), text)
        }
    }

    fn address(&self, answer: &FarAnswer) -> Stage {
        let destination = self.destination;
        if answer.is_own {
            return Stage::new("address", Passes, format!("{destination} is its own"));
        }
        let text = format!("{destination} is not its own: it would have to forward the packet");
        Stage::new("address", Unknown("forwarded"), text)
    }

    /// Where its answers go: into the tunnel, if they leave from its address in the mesh.
    fn far_route(&self, answer: &FarAnswer) -> Option<Stage> {
        if !answer.source_passes || !answer.is_own {
            return None;
        }
        let source = self.from();
        Some(match answer.returns_from {
            Some(from) if self.peer.addresses.contains(&from) => {
                Stage::new("route", Passes, format!("answers to {source} leave from {from} into the tunnel"))
            }
            Some(from) => {
                let text = format!(
                    "answers to {source} would leave from {from}, outside the mesh: another route or rule takes them"
                );
                Stage::new("route", Stops("other-route"), text)
            }
            None => Stage::new("route", Stops("no-route"), format!("no route leads to {source}")),
        })
    }

    fn socket(&self, answer: &FarAnswer) -> Option<Stage> {
        let port = self.packet.port?;
        let protocol = match self.packet.protocol {
            TraceProtocol::Icmp => return None,
            TraceProtocol::Tcp => "tcp",
            TraceProtocol::Udp => "udp",
        };
        let at = SocketAddr::new(self.destination, port);
        Some(match answer.listens {
            Some(true) => Stage::new("socket", Passes, format!("a program listens on {protocol} {at}")),
            Some(false) => {
                Stage::new("socket", Stops("no-socket"), format!("no program listens on {protocol} {at}"))
            }
            None => {
                let text = format!("whether a program listens on {protocol} {at} could not be told");
                Stage::new("socket", Unknown("not-told"), text)
            }
        })
    }
}

/// By what and where answers go.
fn return_way(answer: &FarAnswer) -> Stage {
    let heard = answer.heard_ms.map_or_else(
        || "it has not heard this node in it".to_owned(),
        |ago| format!("it heard this node in it {} ago", milliseconds(Duration::from_millis(ago))),
    );
    let problem = answer.problem.as_ref().map(|problem| format!("; {problem}")).unwrap_or_default();
    if answer.protocol == "none" {
        return Stage::new("return", Stops("no-protocol"), format!("it sends nothing to this node{problem}"));
    }
    let to = answer.endpoint.map(|to: SocketAddr| format!(" to {to}")).unwrap_or_default();
    let text = format!("it sends to this node by {}{to}; {heard}{problem}", protocol_name(&answer.protocol));
    Stage::new("return", Passes, text)
}

fn answered(far: &Far) -> String {
    format!(
        "it answered outside the tunnel, from {} after {} (twinmesh {})",
        far.from,
        milliseconds(far.after),
        far.answer.version
    )
}
