//! `twinmesh status`: a page that a newcomer understands.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{CommandError, ask, print, print_json, table};
use twinmesh_control::ReasonCode;

use crate::api::{CoordinatorStatus, PeerActivity, PeerStatus, RelayStatus, Request, State, Status};

const REFRESH: Duration = Duration::from_secs(1);
/// ANSI: cursor to the top left, erase the screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(super) fn run(socket: &Path, json: bool, watch: bool) -> Result<(), CommandError> {
    loop {
        let status: Status = ask(socket, &Request::Status)?;
        match (json, watch) {
            (true, false) => print_json(&status)?,
            (true, true) => {
                let line =
                    serde_json::to_string(&status).map_err(|error| CommandError::Output(error.into()))?;
                print(&format!("{line}\n"))?;
            }
            (false, _) => {
                let clear = if watch && io::stdout().is_terminal() { CLEAR } else { "" };
                print(&format!("{clear}{}", page(&status, now())))?;
            }
        }
        if !watch {
            return Ok(());
        }
        thread::sleep(REFRESH);
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The whole page; `now` is in seconds since the Unix epoch.
fn page(status: &Status, now: u64) -> String {
    let state = match status.state {
        State::Running => "running",
        State::Stopped => "stopped (`twinmesh up` starts the tunnels)",
        State::NeedsLogin => "not joined: `twinmesh up --coordinator HOST --token TOKEN` joins a network",
        State::Removed => "removed from the network",
    };
    let mut facts = vec![fact("State", state)];
    if let Some(problem) = &status.problem {
        facts.push(fact("Problem", problem));
    }
    if let (Some(name), Some(network)) = (&status.name, &status.network) {
        facts.push(fact("Node", &format!("{name} in network {}", network.name)));
    }
    if !status.addresses.is_empty() {
        facts.push(fact("Addresses", &join(&status.addresses)));
    }
    if let Some(coordinator) = &status.coordinator {
        facts.push(fact("Coordinator", &coordinator_line(coordinator, status.state, now)));
    }
    if let (Some(tun), Some(port)) = (&status.tun, status.port) {
        facts.push(fact("Interface", &format!("{}, UDP port {port}", tun.name)));
        facts.push(fact("Offload", &(offload_line(&status.offload) + &partial_checksums(&status.peers))));
    }
    let nat = match status.behind_nat {
        Some(true) => "behind a NAT",
        Some(false) => "reachable, no NAT found",
        None => "not known yet",
    };
    if status.tun.is_some() {
        let endpoints: Vec<_> = status.endpoints.iter().map(|endpoint| endpoint.address).collect();
        facts.push(fact("Reachable at", &format!("{} ({nat})", join(&endpoints))));
    }
    if let Some(relay) = &status.relay {
        facts.push(fact("Relay", &relay_line(relay)));
    }
    let mut text = table(&facts);
    if status.state == State::Running {
        text.push('\n');
        text.push_str(&peers(status));
    }
    for (heading, counts) in
        [("Made to fit a narrow path", &status.adjusted), ("Dropped packets", &status.drops)]
    {
        let counted: Vec<String> = counts
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        if !counted.is_empty() {
            writeln!(text, "\n{heading}: {}", counted.join(", ")).expect("writing to a string cannot fail");
        }
    }
    text
}

fn fact(name: &str, value: &str) -> Vec<String> {
    vec![name.to_owned(), value.to_owned()]
}

fn join<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What the kernel does for the tunnels, and what it lacks.
fn offload_line(has: &[String]) -> String {
    let (has, lacks): (Vec<_>, Vec<_>) =
        ["tcp", "udp", "port"].into_iter().partition(|name| has.iter().any(|it| it == name));
    match (has.as_slice(), lacks.as_slice()) {
        (has, []) => has.join(", "),
        ([], _) => "none: each packet goes alone".to_owned(),
        (has, lacks) => format!("{}; not {}", has.join(", "), lacks.join(", ")),
    }
}

/// To how many peers checksums go unfinished.
fn partial_checksums(peers: &[PeerStatus]) -> String {
    match peers.iter().filter(|peer| peer.partial_checksums.sent).count() {
        0 => String::new(),
        1 => "; partial checksums to 1 peer".to_owned(),
        count => format!("; partial checksums to {count} peers"),
    }
}

fn coordinator_line(coordinator: &CoordinatorStatus, state: State, now: u64) -> String {
    let since =
        coordinator.since.map(|since| format!(" for {}", age(now.saturating_sub(since)))).unwrap_or_default();
    let address = &coordinator.address;
    match (coordinator.connected, state, &coordinator.last_error) {
        (true, ..) => format!("{address}, connected{since}"),
        (false, State::Running, Some(error)) => format!("{address}, NOT connected{since}: {error}"),
        (false, State::Running, None) => format!("{address}, connecting"),
        (false, ..) => format!("{address}, not connected"),
    }
}

fn relay_line(relay: &RelayStatus) -> String {
    let problem = relay.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
    let Some(home) = &relay.home else { return format!("none serves this node yet{problem}") };
    if !home.answers {
        return format!("{} does NOT answer", home.server);
    }
    let by = if home.transport == "tls" { ", by TLS over TCP: no UDP passes" } else { "" };
    let rtt = home.rtt_us.map(|us| format!(", {}.{:03} ms", us / 1000, us % 1000)).unwrap_or_default();
    format!("{}{by}{rtt}", home.server)
}

fn peers(status: &Status) -> String {
    if status.peers.is_empty() {
        return "No peers yet.\n".to_owned();
    }
    let heading =
        ["PEER", "ADDRESS", "PROTOCOL", "TUNNEL", "PATH", "ENDPOINT", "LAST HANDSHAKE", "RECEIVED", "SENT"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for peer in &status.peers {
        let tunnel = match peer.state {
            PeerActivity::Active => "active",
            PeerActivity::Connecting => "connecting",
            PeerActivity::Idle => "idle",
        };
        rows.push(vec![
            peer.name.clone(),
            peer.addresses.first().map(ToString::to_string).unwrap_or_default(),
            peer.protocol.clone(),
            tunnel.to_owned(),
            match &peer.path {
                Some(path) if path.relayed => "relayed".to_owned(),
                Some(_) => "direct".to_owned(),
                None => "-".to_owned(),
            },
            peer.endpoint.map_or_else(|| "-".to_owned(), |endpoint| endpoint.to_string()),
            peer.last_handshake_age_s
                .map_or_else(|| "-".to_owned(), |seconds| format!("{} ago", age(seconds))),
            bytes(peer.rx_bytes),
            bytes(peer.tx_bytes),
        ]);
    }
    let mut text = table(&rows);
    let remarks: Vec<String> = status.peers.iter().flat_map(remarks).collect();
    if !remarks.is_empty() {
        text.push('\n');
        text.push_str(&remarks.concat());
    }
    text
}

/// Why a peer's protocol is not the default, why its path is not direct, and what is wrong with its tunnel.
fn remarks(peer: &PeerStatus) -> Vec<String> {
    let reasons = peer.reasons.iter().filter(|reason| reason.code != ReasonCode::Default);
    let reasons: Vec<&str> = reasons.map(|reason| reason.text.as_str()).collect();
    let why = (!reasons.is_empty())
        .then(|| format!("{}: {}, since {}\n", peer.name, peer.protocol, reasons.join(" and ")));
    let problem = peer.problem.as_ref().map(|problem| format!("{}: {problem}\n", peer.name));
    let relayed = peer.path.as_ref().map(|path| path.why_relayed.as_slice()).unwrap_or_default();
    let relayed: Vec<&str> = relayed.iter().map(|reason| reason.text.as_str()).collect();
    let relayed =
        (!relayed.is_empty()).then(|| format!("{}: relayed, since {}\n", peer.name, relayed.join(" and ")));
    why.into_iter().chain(relayed).chain(problem).collect()
}

pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// What happens to an SA, and when.
pub(super) fn moments(rekey_in: Option<u64>, expires_in: Option<u64>) -> Option<String> {
    match (rekey_in.map(age), expires_in.map(age)) {
        (Some(rekey), Some(expires)) => Some(format!("new keys in {rekey}, else it ends in {expires}")),
        (Some(rekey), None) => Some(format!("new keys in {rekey}")),
        (None, Some(expires)) => Some(format!("it ends in {expires} without new keys")),
        (None, None) => None,
    }
}

/// Binary units, one digit after the point.
pub(super) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut tenths = count.saturating_mul(10) / 1024;
    for unit in units {
        if tenths < 10_240 {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        tenths /= 1024;
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented shape; fields that are missing here would break somebody's script.
    fn status(state: &str) -> Status {
        serde_json::from_value(serde_json::json!({
            "state": state, "problem": null, "version": "0.1.0", "name": "alpha", "id": 1, "pid": 7,
            "addresses": ["100.64.0.1", "fd00:64::1"],
            "network": { "name": "default", "ipv4": "100.64.0.0/10", "ipv6": "fd00:64::/48" },
            "coordinator": { "address": "hub:7443", "connected": true, "since": 1000, "last_error": null },
            "revision": 5, "tun": { "name": "twinmesh0", "mtu": 1420 }, "port": 4500,
            "endpoints": [{ "address": "192.0.2.1:4500", "kind": "host" }], "behind_nat": false,
            "preference": "auto",
            "peers": [{
                "id": 2, "name": "beta", "kind": "agent", "addresses": ["100.64.0.2"],
                "allowed_ips": ["100.64.0.2/32"], "protocol": "wireguard", "endpoint": "198.51.100.2:4500",
                "state": "active", "last_handshake_age_s": 130, "rx_bytes": 2048, "tx_bytes": 12,
                "rx_packets": 2, "tx_packets": 1, "problem": null,
                "partial_checksums": { "sent": true, "taken": false },
                "reasons": [{ "code": "default", "text": "WireGuard is the default between agents" }]
            }],
            "datagrams": { "wireguard": 9 }, "drops": { "source": 3, "replay": 0 },
            "adjusted": { "mss-clamped": 4, "outer-fragmented": 0 }, "workers": 2, "offload": ["tcp", "port"], "memory_kib": 9000
        }))
        .unwrap()
    }

    #[test]
    fn the_page_shows_node_coordinator_peers_and_what_was_dropped() {
        let page = page(&status("running"), 1_060);
        for part in [
            "running",
            "alpha in network default",
            "100.64.0.1, fd00:64::1",
            "hub:7443, connected for 60 s",
            "192.0.2.1:4500 (reachable, no NAT found)",
            "198.51.100.2:4500",
            "2 min ago",
            "2.0 KiB",
            "12 B",
            "Dropped packets: 3 source\n",
            "Made to fit a narrow path: 4 mss-clamped\n",
            "tcp, port; not udp; partial checksums to 1 peer\n",
        ] {
            assert!(page.contains(part), "no {part:?} in\n{page}");
        }
        assert!(!page.contains("replay"), "{page}");
    }

    #[test]
    fn the_page_says_why_a_protocol_is_not_the_default_and_what_is_wrong() {
        let mut status = status("running");
        assert!(!page(&status, 0).contains("since"), "{}", page(&status, 0));
        let peer = &mut status.peers[0];
        peer.protocol = "esp".to_owned();
        peer.reasons[0].code = ReasonCode::PrefersEsp;
        peer.reasons[0].text = "beta asks for ESP".to_owned();
        peer.problem = Some("no answer".to_owned());
        peer.path = serde_json::from_value(serde_json::json!({
            "relayed": true, "remote": "192.0.2.9:50000", "kind": "relayed", "proven": true, "rtt_us": 900,
            "mtu": 1280, "since_s": 4,
            "why_relayed": [{ "code": "udp-blocked", "text": "UDP is blocked before beta" }]
        }))
        .unwrap();
        let page = page(&status, 0);
        let remarks = "beta: esp, since beta asks for ESP\nbeta: relayed, since UDP is blocked before beta\n\
                       beta: no answer\n";
        assert!(page.contains(remarks), "{page}");
    }

    #[test]
    fn the_page_shows_the_relay_and_what_is_wrong_with_it() {
        let mut status = status("running");
        let mut line = |relay: serde_json::Value| {
            status.relay = serde_json::from_value(relay).unwrap();
            let page = page(&status, 0);
            page.lines()
                .find(|line| line.starts_with("Relay"))
                .map(|line| line["Relay".len()..].trim().to_owned())
        };
        let home = |transport: &str, answers: bool| {
            serde_json::json!({ "home": {
                "server": "192.0.2.1:3478", "transport": transport, "relayed": "192.0.2.1:50000",
                "rtt_us": 12_034, "answers": answers,
            }, "problem": null })
        };
        assert_eq!(line(serde_json::Value::Null), None);
        assert_eq!(line(home("udp", true)).unwrap(), "192.0.2.1:3478, 12.034 ms");
        assert_eq!(
            line(home("tls", true)).unwrap(),
            "192.0.2.1:3478, by TLS over TCP: no UDP passes, 12.034 ms"
        );
        assert_eq!(line(home("udp", false)).unwrap(), "192.0.2.1:3478 does NOT answer");
        let none = serde_json::json!({ "home": null, "problem": "the relay at 192.0.2.1:3478: no room" });
        assert_eq!(line(none).unwrap(), "none serves this node yet: the relay at 192.0.2.1:3478: no room");
    }

    #[test]
    fn a_node_that_has_not_joined_is_told_how() {
        assert!(page(&status("needs-login"), 0).contains("twinmesh up --coordinator"));
    }

    #[test]
    fn the_json_form_keeps_its_names() {
        let json = serde_json::to_value(status("removed")).unwrap();
        assert_eq!(json["state"], "removed");
        assert_eq!(json["endpoints"][0]["kind"], "host");
        assert_eq!(json["peers"][0]["state"], "active");
        assert_eq!(json["peers"][0]["reasons"][0]["code"], "default");
        assert_eq!(json["peers"][0]["last_handshake_age_s"], 130);
        assert_eq!(json["peers"][0]["partial_checksums"]["sent"], true);
        assert_eq!(json["coordinator"]["connected"], true);
    }

    #[test]
    fn sizes_are_short() {
        for (count, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_572_864, "1.5 MiB"), (u64::MAX, "1.5 EiB")]
        {
            assert!(bytes(count) == text || count == u64::MAX, "{count}: {}", bytes(count));
        }
    }
}
