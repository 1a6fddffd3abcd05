//! `twinmesh netcheck`: what stands between this node and the others.

use std::path::Path;
use std::time::Duration;

use super::{CommandError, print, print_json, table};
use crate::api::{self, LifetimeStatus, NatStatus, NetcheckStatus, PortMappingStatus, Request};

/// A measurement takes some seconds, and one may be under way already.
const PATIENCE: Duration = Duration::from_secs(40);

pub(super) fn run(socket: &Path, server: Option<String>, json: bool) -> Result<(), CommandError> {
    let status: NetcheckStatus = api::request(socket, &Request::Netcheck { server }, PATIENCE)?;
    if json { print_json(&status) } else { print(&page(&status)) }
}

fn page(status: &NetcheckStatus) -> String {
    let mut rows = vec![row("UDP", if status.udp { "works" } else { "no answer from any server" })];
    for (name, nat) in [("IPv4", &status.ipv4), ("IPv6", &status.ipv6)] {
        match nat {
            None => rows.push(row(name, "no way to a server")),
            Some(nat) => rows.extend(lines(name, nat)),
        }
    }
    rows.extend(status.port_mapping.as_ref().map(|mapping| row("Port mapping", &port_mapping(mapping))));
    for server in &status.servers {
        let time =
            server.round_trip_ms.map_or_else(|| "no answer".to_owned(), |time| format!("{time:.1} ms"));
        rows.push(row("Latency", &format!("{}  {time}", server.address)));
    }
    let mut text = table(&rows);
    text.push('\n');
    for sentence in &status.meaning {
        text.push_str(sentence);
        text.push('\n');
    }
    text
}

fn lines(name: &str, nat: &NatStatus) -> Vec<Vec<String>> {
    let Some(seen) = nat.seen else { return vec![row(name, "no server answers")] };
    let mut rows = vec![row(name, &format!("works, seen as {}", seen.ip()))];
    let unknown = "could not be told";
    rows.push(row("  Mapping", nat.mapping.as_deref().map_or(unknown, mapping)));
    rows.push(row("  Filtering", nat.filtering.as_deref().map_or(unknown, filtering)));
    if let Some(hairpin) = nat.hairpin {
        let meets = if hairpin { "yes" } else { "no" };
        rows.push(row("  Hairpin", &format!("{meets} (neighbours meet by their outer addresses)")));
    }
    rows.extend(nat.lifetime.as_ref().map(|lifetime| row("  Lifetime", &described(lifetime))));
    rows
}

fn described(lifetime: &LifetimeStatus) -> String {
    match (lifetime.at_least_s, lifetime.below_s) {
        (Some(lasts), Some(gone)) => format!("{lasts} to {gone} s for an unused mapping"),
        (Some(lasts), None) => format!("{lasts} s or more for an unused mapping"),
        (None, Some(gone)) => format!("less than {gone} s for an unused mapping"),
        (None, None) => "could not be told".to_owned(),
    }
}

fn port_mapping(mapping: &PortMappingStatus) -> String {
    match (&mapping.protocol, mapping.outer, &mapping.refusal) {
        (Some(protocol), Some(outer), _) => format!("{outer} leads here ({protocol})"),
        (_, _, Some(refusal)) => format!("none: {refusal}"),
        _ => "none".to_owned(),
    }
}

fn mapping(word: &str) -> &str {
    match word {
        "none" => "none: no address is translated",
        "endpoint-independent" => "endpoint-independent: one outer port, whoever it sends to",
        "port-independent" => "port-independent: the other's port does not matter, its address may",
        "address-dependent" => "address-dependent: an outer port for each remote address",
        "address-and-port-dependent" => "address-and-port-dependent: an outer port for each remote port",
        other => other,
    }
}

fn filtering(word: &str) -> &str {
    match word {
        "endpoint-independent" => "endpoint-independent: everybody is let in",
        "port-independent" => {
            "port-independent: all ports of an address that was sent to, other addresses perhaps"
        }
        "address-dependent" => "address-dependent: all ports of addresses that were sent to",
        "address-and-port-dependent" => "address-and-port-dependent: only who was sent to",
        other => other,
    }
}

fn row(name: &str, value: &str) -> Vec<String> {
    vec![name.to_owned(), value.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ServerStatus;

    #[test]
    fn the_page_says_what_a_person_wants_to_know() {
        let nat = NatStatus {
            mapping: Some("endpoint-independent".to_owned()),
            filtering: Some("address-and-port-dependent".to_owned()),
            hairpin: Some(false),
            seen: Some("203.0.113.9:61000".parse().unwrap()),
            lifetime: Some(LifetimeStatus { at_least_s: Some(30), below_s: Some(60) }),
        };
        let server = ServerStatus { address: "192.0.2.1:3478".parse().unwrap(), round_trip_ms: Some(12.345) };
        let status = NetcheckStatus {
            udp: true,
            ipv4: Some(nat),
            ipv6: None,
            servers: vec![server],
            port_mapping: Some(PortMappingStatus {
                protocol: Some("pcp".to_owned()),
                outer: Some("203.0.113.9:7".parse().unwrap()),
                refusal: None,
            }),
            meaning: vec!["IPv4: fine.".to_owned()],
        };
        assert_eq!(
            page(&status),
            "UDP           works\n\
             IPv4          works, seen as 203.0.113.9\n  \
             Mapping     endpoint-independent: one outer port, whoever it sends to\n  \
             Filtering   address-and-port-dependent: only who was sent to\n  \
             Hairpin     no (neighbours meet by their outer addresses)\n  \
             Lifetime    30 to 60 s for an unused mapping\n\
             IPv6          no way to a server\n\
             Port mapping  203.0.113.9:7 leads here (pcp)\n\
             Latency       192.0.2.1:3478  12.3 ms\n\
             \n\
             IPv4: fine.\n"
        );
    }
}
