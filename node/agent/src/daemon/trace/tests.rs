//! What stops a packet, from the facts alone.

use std::time::Duration;

use super::far::FarAnswer;
use super::stages::Facts;
use super::*;
use crate::api::{PeerActivity, PeerStatus, TraceFinding, TraceProtocol, TraceVerdict};
use crate::testing::{map, peer};

/// Everything about a packet to TCP port 443 of node 2.
struct World {
    peer: Peer,
    status: PeerStatus,
    source: Option<IpAddr>,
    route_problem: Option<String>,
    policy: Option<String>,
    probed: Option<Duration>,
    is_probed: bool,
    tried: usize,
    far: Option<Far>,
}

impl World {
    /// In which the packet passes.
    fn open() -> Self {
        let status = serde_json::json!({
            "id": 2, "name": "node-2", "kind": "agent", "addresses": ["100.64.0.2"], "allowed_ips": [],
            "protocol": "wireguard", "endpoint": null, "state": "active", "last_handshake_age_s": 3,
            "rx_bytes": 0, "tx_bytes": 0, "rx_packets": 0, "tx_packets": 0,
            "path": {
                "relayed": false, "remote": "192.0.2.2:4500", "kind": "host", "proven": true, "rtt_us": 900, "mtu": 1500,
                "since_s": 9
            }
        });
        Self {
            peer: peer(2),
            status: serde_json::from_value(status).unwrap(),
            source: Some("100.64.0.1".parse().unwrap()),
            route_problem: None,
            policy: None,
            probed: Some(Duration::from_millis(2)),
            is_probed: true,
            tried: 1,
            far: Some(Far {
                from: "192.0.2.2:4500".parse().unwrap(),
                after: Duration::from_millis(3),
                answer: FarAnswer {
                    version: "0.1.0".to_owned(),
                    protocol: "wireguard".to_owned(),
                    source_passes: true,
                    is_own: true,
                    returns_from: Some("100.64.0.2".parse().unwrap()),
                    listens: Some(true),
                    ..FarAnswer::default()
                },
            }),
        }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Trace {
        let mut world = Self::open();
        change(&mut world);
        world.trace()
    }

    /// Of what the far end answers.
    fn with_answer(change: impl FnOnce(&mut FarAnswer)) -> Trace {
        Self::with(|world| change(&mut world.far.as_mut().unwrap().answer))
    }

    fn trace(&self) -> Trace {
        let facts = Facts {
            own: &map(1, []).own,
            peer: &self.peer,
            status: &self.status,
            source: self.source,
            destination: "100.64.0.2".parse().unwrap(),
            packet: TracePacket { protocol: TraceProtocol::Tcp, port: Some(443) },
            tun: "twinmesh0",
            tun_mtu: 1420,
            route_problem: self.route_problem.clone(),
            policy: self.policy.clone(),
            tried: self.tried,
            is_probed: self.is_probed,
            probed: self.probed,
            far: self.far.as_ref(),
        };
        facts.trace()
    }
}

/// The verdict, and the stage and rule behind it.
fn verdict(trace: &Trace) -> (TraceVerdict, String) {
    let wanted = match trace.verdict {
        TraceVerdict::Allowed => TraceFinding::Passes,
        TraceVerdict::Stopped => TraceFinding::Stops,
        TraceVerdict::Unknown => TraceFinding::Unknown,
    };
    let stage = trace.stages.iter().find(|stage| stage.finding == wanted).unwrap();
    (trace.verdict, format!("{} {} {}", stage.node, stage.stage, stage.rule.as_deref().unwrap_or("-")))
}

#[test]
fn a_packet_that_nothing_stops_is_allowed_but_firewalls_are_not_looked_at() {
    let trace = World::with(|_| ());
    assert_eq!(trace.verdict, TraceVerdict::Allowed);
    assert!(trace.stages.iter().all(|stage| stage.finding == TraceFinding::Passes && stage.rule.is_none()));
    let names: Vec<_> = trace.stages.iter().map(|stage| format!("{} {}", stage.node, stage.stage)).collect();
    let here = ["route", "choice", "tunnel", "path", "mtu"].map(|stage| format!("node-1 {stage}"));
    let there = ["question", "return", "source-check", "address", "route", "socket"];
    assert_eq!(names, [here.as_slice(), &there.map(|stage| format!("node-2 {stage}"))].concat());
    assert!(trace.meaning[1].contains("not looked at"), "{:?}", trace.meaning);
}

#[test]
fn each_stage_can_stop_it_by_its_rule() {
    let elsewhere: Option<IpAddr> = Some("192.0.2.1".parse().unwrap());
    let idle = |world: &mut World| {
        world.status.state = PeerActivity::Idle;
        world.probed = None;
    };
    for (trace, stage) in [
        (World::with(|world| world.source = elsewhere), "node-1 route other-route"),
        (World::with(|world| world.source = None), "node-1 route no-route"),
        (World::with(|world| world.route_problem = Some("taken".to_owned())), "node-1 route no-route"),
        (World::with(|world| world.status.protocol = "none".to_owned()), "node-1 choice no-protocol"),
        (World::with(|world| world.probed = None), "node-1 tunnel no-answer"),
        (World::with(idle), "node-1 tunnel no-session"),
        (
            World::with(|world| {
                idle(world);
                world.tried = 0;
            }),
            "node-1 tunnel no-candidate",
        ),
        (World::with_answer(|answer| answer.protocol = "none".to_owned()), "node-2 return no-protocol"),
        (World::with_answer(|answer| answer.source_passes = false), "node-2 source-check foreign-source"),
        (World::with_answer(|answer| answer.returns_from = elsewhere), "node-2 route other-route"),
        (World::with_answer(|answer| answer.returns_from = None), "node-2 route no-route"),
        (World::with_answer(|answer| answer.listens = Some(false)), "node-2 socket no-socket"),
    ] {
        assert_eq!(verdict(&trace), (TraceVerdict::Stopped, stage.to_owned()));
        let meaning = &trace.meaning[0];
        let [node, name, rule] = stage.split(' ').collect::<Vec<_>>()[..] else { unreachable!() };
        assert!(meaning.contains(&format!("at {node}, stage {name}, rule {rule}: ")), "{meaning}");
    }
}

#[test]
fn what_nobody_can_tell_leaves_the_verdict_open() {
    let no_agent = |world: &mut World| {
        world.peer.kind = PeerKind::Unmanaged;
        world.far = None;
        (world.is_probed, world.probed) = (false, None);
    };
    for (trace, stage) in [
        (World::with(|world| world.policy = Some("branch-7".to_owned())), "node-1 policy ipsec-policy"),
        (World::with(|world| world.far = None), "node-2 question no-answer"),
        (World::with(no_agent), "node-2 question no-agent"),
        (
            World::with(|world| {
                no_agent(world);
                world.status.state = PeerActivity::Idle;
            }),
            "node-1 tunnel idle",
        ),
        (World::with_answer(|answer| answer.is_own = false), "node-2 address forwarded"),
        (World::with_answer(|answer| answer.listens = None), "node-2 socket not-told"),
    ] {
        assert_eq!(verdict(&trace), (TraceVerdict::Unknown, stage.to_owned()));
    }
    // What is known to stop it counts more.
    let both = World::with(|world| {
        world.policy = Some("branch-7".to_owned());
        world.probed = None;
    });
    assert_eq!(verdict(&both), (TraceVerdict::Stopped, "node-1 tunnel no-answer".to_owned()));
}

#[test]
fn a_relayed_path_is_told_with_its_reason_and_the_size_of_its_packets() {
    let relayed = serde_json::json!({
        "relayed": true, "remote": "203.0.113.9:49160", "kind": "relayed", "proven": true, "rtt_us": null, "mtu": 1280,
        "since_s": 1, "why_relayed": [{ "code": "both-map-by-destination", "text": "both NATs map by destination" }]
    });
    let trace = World::with(|world| world.status.path = serde_json::from_value(relayed).unwrap());
    let text = |name: &str| trace.stages.iter().find(|stage| stage.stage == name).unwrap().text.clone();
    assert_eq!(text("path"), "datagrams go by relay, to 203.0.113.9:49160: both NATs map by destination");
    assert!(text("mtu").ends_with("; the path carries outer packets of 1280 bytes"), "{}", text("mtu"));
}
