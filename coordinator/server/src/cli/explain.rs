//! `explain`: what carries the traffic of two nodes, which way, and why.

use super::arguments::ExplainArguments;
use super::client::{Client, segment};
use super::node::nat;
use super::output::{list, or_dash};
use super::{CommandError, output};
use crate::http::{EndView, FailureView, PairView, PathView, TunnelView};

pub(super) async fn run(arguments: ExplainArguments) -> Result<(), CommandError> {
    let ExplainArguments { one, other, json, server } = arguments;
    let path = format!("/api/v1/pairs/{}/{}", segment(&one), segment(&other));
    let pair: PairView = Client::new(&server)?.get(&path).await?;
    if json { output::json(&pair) } else { output::text(&text(&pair)) }
}

fn text(pair: &PairView) -> String {
    let mut lines = Vec::new();
    let compliance = if pair.compliance { ", approved algorithms only" } else { "" };
    lines.push(format!("chosen: {}{compliance} (generation {})", name(&pair.protocol), pair.generation));
    lines.extend(pair.reasons.iter().map(|reason| format!("  {}: {}", reason.code, reason.text)));
    lines.extend(pair.failures.iter().map(failure));
    for end in &pair.ends {
        lines.push(String::new());
        lines.push(format!("{}: {}", end.name, connection(end)));
        let tunnel = end.tunnel.as_ref();
        let rows = [
            ("sends by", or_dash(tunnel.map(|tunnel| sends_by(tunnel, pair.generation)))),
            ("path", or_dash(tunnel.and_then(|tunnel| tunnel.path.as_ref()).map(path))),
            ("handshake", or_dash(tunnel.and_then(handshake))),
            ("NAT by IPv4", or_dash(end.nat_ipv4.as_ref().map(nat))),
            ("NAT by IPv6", or_dash(end.nat_ipv6.as_ref().map(nat))),
            ("endpoints", endpoints(end)),
        ];
        lines.extend(rows.iter().map(|(title, value)| format!("  {title:<13}{value}")));
        let failed = tunnel.iter().flat_map(|tunnel| &tunnel.failed);
        lines.extend(failed.map(|failed| format!("  {:<13}{}", "failing", failed.text)));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn name(protocol: &str) -> &str {
    match protocol {
        "wireguard" => "WireGuard",
        "esp" => "ESP",
        "none" => "nothing",
        other => other,
    }
}

fn failure(failure: &FailureView) -> String {
    let by = failure.reporter.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    let state = if failure.avoided { "avoided until" } else { "tried again since" };
    let times = if failure.times == 1 { "once".to_owned() } else { format!("{} times", failure.times) };
    format!(
        "  {} failed {times}, last at {} ({by}{}); {state} {}",
        name(&failure.protocol),
        failure.failed_at,
        failure.text,
        failure.until
    )
}

fn connection(end: &EndView) -> &'static str {
    match end.connected {
        Some(true) => "connected",
        Some(false) => "not connected to the coordinator: what it does now is not known",
        None => "a plain WireGuard device, which reports nothing",
    }
}

fn sends_by(tunnel: &TunnelView, generation: u64) -> String {
    let of = if tunnel.generation == generation {
        String::new()
    } else {
        format!(", by its choice of generation {}", tunnel.generation)
    };
    format!("{}{of}", name(&tunnel.protocol))
}

/// Such as `direct to 192.0.2.1:4500 (reflexive), 12.3 ms, 1500 bytes`.
pub(super) fn path(path: &PathView) -> String {
    let way = if path.relayed { "relayed" } else { "direct" };
    let mut text = format!("{way} to {} ({})", path.remote, path.kind);
    if let Some(rtt) = path.rtt_us {
        text.push_str(&format!(", {}.{} ms", rtt / 1000, rtt % 1000 / 100));
    }
    if let Some(mtu) = path.mtu {
        text.push_str(&format!(", packets of {mtu} bytes"));
    }
    text
}

fn handshake(tunnel: &TunnelView) -> Option<String> {
    tunnel.last_handshake_age_s.map(|age| format!("{age} s before its last report"))
}

fn endpoints(end: &EndView) -> String {
    let endpoints = end.endpoints.iter().map(|endpoint| format!("{} ({})", endpoint.address, endpoint.kind));
    list(&endpoints.collect::<Vec<_>>())
}
