//! The real binary against a small coordinator, in network namespaces. Needs root.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a failed step of a test is a panic; support is a module"
)]

mod manual_sa;
mod sites;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::json;
use support::{Disk, HUB, Hub, Lan, Node, refusal, until};
use twinmesh_control::{EndpointKind, Fingerprint, JoinToken, NodeMessage, RefusalCode};

#[test]
fn a_node_joins_and_at_its_end_leaves_nothing_behind() {
    let lan = Lan::new();
    let hub = Hub::start(&lan);
    let mut node = Node::joined(&lan, &hub, 1);

    let status = node.until_status("STUN's answer", |status| status["behind_nat"] == false);
    assert_eq!(status["state"], "running");
    assert_eq!(status["name"], "node-1");
    assert_eq!(status["addresses"], json!(["100.64.0.1", "fd00:64::1"]));
    assert_eq!(status["network"]["ipv4"], "100.64.0.0/10");
    assert_eq!(
        (&status["coordinator"]["address"], &status["coordinator"]["connected"]),
        (&json!(HUB), &json!(true))
    );
    assert_eq!(status["tun"], json!({ "name": "mesh0", "mtu": 1420 }));
    assert_eq!(status["problem"], json!(null));

    let addresses = node.namespace.must("ip addr show mesh0");
    assert!(
        addresses.contains("inet 100.64.0.1/32") && addresses.contains("inet6 fd00:64::1/128"),
        "{addresses}"
    );
    let routes = node.namespace.must("ip route show dev mesh0 && ip -6 route show dev mesh0");
    assert!(routes.contains("100.64.0.0/10") && routes.contains("fd00:64::/48"), "{routes}");

    let reported = hub.members().reports().last().unwrap().endpoints.clone();
    let reported: Vec<String> =
        reported.iter().map(|endpoint| format!("{} {}", endpoint.kind, endpoint.address)).collect();
    assert_eq!(reported, ["host 192.0.2.1:4500", "host [2001:db8::1]:4500"]);
    until("the acknowledgement of the map", || {
        hub.members().heard.iter().any(|message| matches!(message, NodeMessage::Ack(_))).then_some(())
    });

    assert_eq!(fs::metadata(node.state()).unwrap().permissions().mode() & 0o777, 0o700);
    for file in fs::read_dir(node.state()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    assert!(node.stop().success());
    assert!(!node.has_tun());
    assert!(!node.folder.path().join("socket").exists());
}

#[test]
fn two_nodes_reach_each_other_and_one_that_moves_is_reached_again_within_two_seconds() {
    let lan = Lan::new();
    let hub = Hub::start(&lan);
    let (a, b) = (Node::joined(&lan, &hub, 1), Node::joined(&lan, &hub, 2));
    until("a way to the peer", || (a.pings("100.64.0.2") && b.pings("fd00:64::1")).then_some(()));
    let ping = a.twinmesh(&["ping", "node-2", "-c", "1", "--json"]);
    assert!(ping.status.success(), "{ping:?}");
    let peer = &b.until_status("a session", |status| status["peers"][0]["state"] == "active")["peers"][0];
    assert_eq!(peer["endpoint"], "192.0.2.1:4500");

    b.namespace.must("ip addr del 192.0.2.2/24 dev eth0 && ip addr add 192.0.2.22/24 dev eth0");
    let moved = Instant::now();
    until("an answer after the move", || a.pings("100.64.0.2").then_some(()));
    assert!(moved.elapsed() < Duration::from_secs(2), "{:?}", moved.elapsed());
    until("a report of the new address", || {
        let members = hub.members();
        let mut reported = members.reports().flat_map(|report| &report.endpoints);
        reported.any(|endpoint| endpoint.address.to_string() == "192.0.2.22:4500").then_some(())
    });
    assert!(moved.elapsed() < Duration::from_secs(2), "{:?}", moved.elapsed());
    assert_eq!(b.status()["coordinator"]["connected"], true);

    b.namespace.must("ip link set eth0 down");
    b.until_status("a lost coordinator", |status| status["coordinator"]["connected"] == false);
    b.namespace.must("ip link set eth0 up");
    let back = Instant::now();
    until("an answer after the outage", || a.pings("100.64.0.2").then_some(()));
    b.until_status("the coordinator", |status| status["coordinator"]["connected"] == true);
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
}

#[test]
fn a_second_agent_is_refused_with_the_pid_of_the_first() {
    let lan = Lan::new();
    let hub = Hub::start(&lan);
    let node = Node::joined(&lan, &hub, 1);
    let holder = format!("(pid {})", node.pid());
    let state = node.refused_agent("state", "socket2", "mesh1");
    assert!(state.contains(&holder) && state.contains("/state"), "{state}");
    let socket = node.refused_agent("state2", "socket", "mesh1");
    assert!(socket.contains(&holder) && socket.contains("/socket"), "{socket}");
    let tun = node.refused_agent("state2", "socket2", "mesh0");
    assert!(tun.contains("mesh0") && tun.contains(&format!("process {}", node.pid())), "{tun}");
    assert_eq!(node.status()["state"], "running");
}

#[test]
fn without_the_tun_driver_or_the_capability_the_agent_says_how_to_get_it() {
    let lan = Lan::new();
    let node = Node::new(&lan, 1);
    let started = |wrapper: &str| {
        let command = format!("{wrapper} {}", node.agent_line("state2", "socket2", "mesh1"));
        refusal(&node.namespace.sh(&command))
    };
    let missing = started("mount -t tmpfs none /dev/net && exec timeout 20");
    assert!(missing.contains("modprobe tun") && missing.contains("--device /dev/net/tun"), "{missing}");
    let forbidden = started("exec setpriv --bounding-set=-net_admin --inh-caps=-all timeout 20");
    assert!(
        forbidden.contains("setcap cap_net_admin+ep") && forbidden.contains("--cap-add NET_ADMIN"),
        "{forbidden}"
    );
}

#[test]
fn a_corrupt_configuration_is_kept_aside_and_the_status_says_so() {
    let lan = Lan::new();
    let hub = Hub::start(&lan);
    let mut node = Node::joined(&lan, &hub, 1);
    assert!(node.stop().success());
    fs::write(node.state().join("config"), "garbage").unwrap();
    node.start();
    let status = node.status();
    assert_eq!(status["state"], "needs-login");
    let problem = status["problem"].as_str().unwrap();
    assert!(problem.contains("`config`"), "{problem}");
    let aside = fs::read_dir(node.state()).unwrap().map(|file| file.unwrap().path());
    let aside = aside.filter(|path| path.to_str().unwrap().contains("config.corrupt-")).collect::<Vec<_>>();
    let [aside] = aside.as_slice() else { panic!("{aside:?}") };
    assert!(problem.contains(aside.to_str().unwrap()), "{problem}");
    assert_eq!(fs::read_to_string(aside).unwrap(), "garbage");
    assert!(fs::read_to_string(node.log()).unwrap().contains(aside.to_str().unwrap()));
}

#[test]
fn a_corrupt_map_is_kept_aside_and_comes_anew_from_the_coordinator() {
    let lan = Lan::new();
    let mut hub = Hub::start(&lan);
    let (mut a, _b) = (Node::joined(&lan, &hub, 1), Node::joined(&lan, &hub, 2));
    a.until_status("the map with its peer", |status| status["peers"][0]["name"] == "node-2");
    assert!(a.stop().success());
    hub.kill();
    fs::write(a.state().join("map"), "garbage").unwrap();
    a.start();
    let problem = a.status()["problem"].to_string();
    assert!(problem.contains("`map`") && problem.contains("map.corrupt-"), "{problem}");
    hub.run(&lan);
    a.until_status("no problem any more", |status| {
        status["problem"].is_null() && status["state"] == "running"
    });
    until("a way to the peer", || a.pings("100.64.0.2").then_some(()));
}

#[test]
fn a_full_disk_refuses_a_join_before_the_token_is_used_and_does_not_stop_a_member() {
    let lan = Lan::new();
    let hub = Hub::start(&lan);
    let mut node = Node::new(&lan, 1);
    let disk = Disk::under(&mut node);
    disk.fill();
    let error = refusal(&node.up(&hub, 1));
    assert!(error.contains("No space left"), "{error}");
    assert!(hub.members().heard.is_empty(), "the token was sent");
    assert_eq!(node.status()["state"], "needs-login");
    disk.free();
    assert!(node.up(&hub, 1).status.success());
    disk.fill();
    node.restart();
    assert_eq!(node.status()["state"], "running");
}

#[test]
fn what_is_no_request_gets_an_answer_and_does_no_harm() {
    let lan = Lan::new();
    let node = Node::new(&lan, 1);
    let longest = format!("{{\"request\":\"up\",\"timeout_seconds\":{}}}\n", u64::MAX);
    let long = vec![b'x'; 100_000];
    for (request, answer) in [
        (b"\n".as_slice(), "does not understand"),
        (b"{\"request\":\"fly\"}\n", "fly"),
        (b"\xff\xfe\n", "does not understand"),
        (longest.as_bytes(), "belongs to no network"),
        (&long, "does not understand"),
    ] {
        let answered = node.says(request);
        assert!(answered.contains(answer) && answered.contains("error"), "{answered}");
    }
    assert_eq!(node.status()["state"], "needs-login");
}

#[test]
fn tunnels_return_from_the_map_on_disk_while_the_coordinator_is_away() {
    let lan = Lan::new();
    let mut hub = Hub::start(&lan);
    let (mut a, b) = (Node::joined(&lan, &hub, 1), Node::joined(&lan, &hub, 2));
    until("a way to the peer", || a.pings("100.64.0.2").then_some(()));
    a.until_status("the map with its peer", |status| status["peers"][0]["name"] == "node-2");
    hub.kill();
    a.restart();
    let status = a.status();
    assert_eq!((&status["state"], &status["coordinator"]["connected"]), (&json!("running"), &json!(false)));
    until("a way to the peer", || (a.pings("100.64.0.2") && a.pings("fd00:64::2")).then_some(()));
    b.until_status("word that the coordinator is away", |status| status["coordinator"]["connected"] == false);

    hub.run(&lan);
    a.until_status("the coordinator again", |status| status["coordinator"]["connected"] == true);
    b.until_status("the coordinator again", |status| status["coordinator"]["connected"] == true);
    assert!(a.pings("100.64.0.2"));
    let has_map =
        |message: &NodeMessage| matches!(message, NodeMessage::Hello(hello) if hello.revision.is_some());
    assert!(hub.members().heard.iter().any(has_map), "the nodes tell which map they have");
}

#[test]
fn a_token_that_does_not_let_in_is_told_by_its_fault() {
    let lan = Lan::new();
    let hub = Hub::start(&lan);
    let node = Node::new(&lan, 1);
    for code in [
        RefusalCode::TokenUnknown,
        RefusalCode::TokenExpired,
        RefusalCode::TokenUsed,
        RefusalCode::TokenRevoked,
    ] {
        hub.members().refusal = Some(code.clone());
        let error = refusal(&node.up(&hub, 1));
        assert!(error.contains(code.as_str()) && error.contains("token create"), "{error}");
    }
    let mistyped = hub.token().replace("tmjoin-A", "tmjoin-B");
    let error = refusal(&node.twinmesh(&["up", "--coordinator", HUB, "--token", &mistyped]));
    assert!(error.contains("mistyped"), "{error}");
    assert_eq!(node.status()["state"], "needs-login");
    assert!(!node.has_tun());
    assert!(node.up(&hub, 1).status.success(), "a refusal leaves nothing in the way of a good token");
}

#[test]
fn a_coordinator_with_another_key_is_refused_with_both_fingerprints() {
    let lan = Lan::new();
    let hub = Hub::start(&lan);
    let node = Node::new(&lan, 1);
    let expected = Fingerprint([7; 32]);
    let token = JoinToken::generate(expected).unwrap().to_string();
    let error = refusal(&node.twinmesh(&["up", "--coordinator", HUB, "--token", &token]));
    assert!(error.contains(&expected.to_string()) && error.contains(&hub.fingerprint()), "{error}");
    assert_eq!(node.status()["state"], "needs-login");
    assert!(!node.has_tun());
}

#[test]
fn a_removed_node_loses_its_tunnels_at_once_and_for_good() {
    let lan = Lan::new();
    let mut hub = Hub::start(&lan);
    let (mut a, mut b) = (Node::joined(&lan, &hub, 1), Node::joined(&lan, &hub, 2));
    b.until_status("both nodes", |status| status["peers"][0]["name"] == "node-1");
    hub.members().remove(1);
    let removed = Instant::now();
    let status = a.until_status("the removal", |status| status["state"] == "removed");
    assert!(!a.has_tun());
    b.until_status("the peer gone", |status| status["peers"] == json!([]));
    assert!(removed.elapsed() < Duration::from_secs(2), "{:?}", removed.elapsed());
    assert!(status["problem"].as_str().unwrap().contains("removed by the test"), "{status}");
    a.restart();
    assert_eq!(a.status()["state"], "removed");
    assert!(!a.has_tun());
    let error = refusal(&a.twinmesh(&["up"]));
    assert!(error.contains("removed") && error.contains("--token"), "{error}");

    // One that was away learns it from the answer to its Hello.
    assert!(b.stop().success());
    hub.members().remove(2);
    hub.kill();
    b.start();
    assert_eq!(b.status()["state"], "running");
    hub.run(&lan);
    b.until_status("the removal", |status| status["state"] == "removed");
    assert!(!b.has_tun());
    assert!(a.up(&hub, 1).status.success(), "a new token lets a removed node in again");
    assert_eq!(a.status()["state"], "running");
}

#[test]
fn down_and_logout_take_the_tunnels_and_only_logout_the_membership() {
    let lan = Lan::new();
    let hub = Hub::start(&lan);
    let mut node = Node::joined(&lan, &hub, 1);
    assert!(node.twinmesh(&["down"]).status.success());
    assert!(!node.has_tun());
    node.restart();
    assert_eq!(node.status()["state"], "stopped");
    assert!(node.twinmesh(&["up"]).status.success());
    assert_eq!((&node.status()["state"], node.has_tun()), (&json!("running"), true));

    let key = fs::read(node.state().join("identity-key")).unwrap();
    assert!(node.twinmesh(&["logout"]).status.success());
    assert!(hub.members().heard.iter().any(|message| matches!(message, NodeMessage::Leave(_))));
    assert_eq!((&node.status()["state"], node.has_tun()), (&json!("needs-login"), false));
    assert_ne!(fs::read(node.state().join("identity-key")).unwrap(), key);
}

#[test]
fn a_node_behind_a_nat_reports_what_others_see() {
    let lan = Lan::new();
    let hub = Hub::start(&lan);
    hub.members().nat = Some("203.0.113.9:61000".parse().unwrap());
    let node = Node::joined(&lan, &hub, 1);
    let status = node.until_status("STUN's answer", |status| status["behind_nat"] == true);
    assert_eq!(status["endpoints"][0], json!({ "address": "203.0.113.9:61000", "kind": "reflexive" }));
    until("the report of it", || {
        let members = hub.members();
        let endpoints = &members.reports().last()?.endpoints;
        (endpoints.first()?.kind == EndpointKind::Reflexive).then_some(())
    });
}
