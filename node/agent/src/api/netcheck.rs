//! The shape of `twinmesh netcheck --json`. Stable: fields may be added, never renamed or given another meaning.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use twinmesh_path::{Filtering, Findings, Mapping, MappingLifetime, NatClass};

use crate::network::PortMapping;

/// All of `netcheck --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetcheckStatus {
    /// Whether any server answers by UDP.
    pub udp: bool,
    /// `null`: no server has such an address, or this machine has no way to it.
    pub ipv4: Option<NatStatus>,
    pub ipv6: Option<NatStatus>,
    pub servers: Vec<ServerStatus>,
    /// `null`: no router was asked, since there is no IPv4 NAT, or it has not answered yet.
    pub port_mapping: Option<PortMappingStatus>,
    /// What it means for reaching others, in sentences.
    pub meaning: Vec<String>,
}

/// What stands in the way by one IP version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatStatus {
    /// `none`, `endpoint-independent`, `port-independent`, `address-dependent`, `address-and-port-dependent`,
    /// `udp-blocked`, or `null`: it could not be told.
    pub mapping: Option<String>,
    /// As `mapping`, without `none` and `udp-blocked`.
    pub filtering: Option<String>,
    pub hairpin: Option<bool>,
    /// What the server saw of a port that was used for this alone.
    pub seen: Option<SocketAddr>,
    /// How long an unused mapping lasts; `null` until it has been measured, which takes the daemon some minutes.
    #[serde(default)]
    pub lifetime: Option<LifetimeStatus>,
}

/// Bounds in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifetimeStatus {
    /// A mapping was there after so long.
    pub at_least_s: Option<u64>,
    /// It was gone after so long.
    pub below_s: Option<u64>,
}

/// A port of the router that leads to this node's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMappingStatus {
    /// `pcp`, `nat-pmp`, `upnp`, or `null`: the router maps none.
    pub protocol: Option<String>,
    pub outer: Option<SocketAddr>,
    /// Why there is none.
    pub refusal: Option<String>,
}

/// A STUN server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerStatus {
    pub address: SocketAddr,
    /// `null`: no answer.
    pub round_trip_ms: Option<f64>,
}

impl NetcheckStatus {
    /// `found`: by IPv4, and by IPv6.
    pub fn of(found: [(Option<&Findings>, Option<MappingLifetime>); 2], port_mapping: &PortMapping) -> Self {
        let [(ipv4, lifetime4), (ipv6, lifetime6)] = found;
        let found = || [ipv4, ipv6].into_iter().flatten();
        let servers: Vec<ServerStatus> = found()
            .flat_map(|findings| &findings.servers)
            .map(|server| ServerStatus {
                address: server.server,
                round_trip_ms: server.round_trip.map(|time| time.as_secs_f64() * 1000.0),
            })
            .collect();
        let meaning = [("IPv4", ipv4), ("IPv6", ipv6)]
            .into_iter()
            .filter_map(|(version, findings)| Some(format!("{version}: {}", meaning(findings?))))
            .collect();
        Self {
            udp: servers.iter().any(|server| server.round_trip_ms.is_some()),
            ipv4: ipv4.map(|findings| NatStatus::of(findings, lifetime4)),
            ipv6: ipv6.map(|findings| NatStatus::of(findings, lifetime6)),
            servers,
            port_mapping: PortMappingStatus::of(port_mapping),
            meaning,
        }
    }
}

impl NatStatus {
    fn of(findings: &Findings, lifetime: Option<MappingLifetime>) -> Self {
        Self {
            mapping: findings.class().map(|class| class.as_str().to_owned()),
            filtering: findings.filtering.map(|filtering| filtering.as_str().to_owned()),
            hairpin: findings.hairpin,
            seen: findings.seen,
            lifetime: lifetime.map(|lifetime| LifetimeStatus {
                at_least_s: lifetime.at_least.map(|time| time.as_secs()),
                below_s: lifetime.below.map(|time| time.as_secs()),
            }),
        }
    }
}

impl PortMappingStatus {
    fn of(found: &PortMapping) -> Option<Self> {
        match found {
            PortMapping::Unknown => None,
            PortMapping::Mapped { protocol, outer } => Some(Self {
                protocol: Some(protocol.as_str().to_owned()),
                outer: Some(*outer),
                refusal: None,
            }),
            PortMapping::Refused(refusal) => {
                Some(Self { protocol: None, outer: None, refusal: Some(refusal.clone()) })
            }
        }
    }
}

/// For reaching others.
fn meaning(findings: &Findings) -> &'static str {
    let open = findings.filtering == Some(Filtering::EndpointIndependent);
    match findings.class() {
        None => "it could not be told what the NAT does; try again.",
        Some(NatClass::UdpBlocked) => {
            "no STUN server answers: UDP is blocked here, or the servers are down. Without UDP there is no tunnel."
        }
        Some(NatClass::Mapping(Mapping::None)) if open => {
            "no NAT and no firewall: everybody reaches this node at once."
        }
        Some(NatClass::Mapping(Mapping::None)) => {
            "no NAT: others reach this node as soon as it has sent to them, which it does as soon as it knows them."
        }
        Some(NatClass::Mapping(Mapping::EndpointIndependent)) if open => {
            "a NAT that lets everybody in by the outer port: everybody reaches this node, whatever is before them."
        }
        Some(NatClass::Mapping(Mapping::EndpointIndependent)) => {
            "a NAT with one outer port for all: direct tunnels to everybody but those behind a NAT that maps by \
             destination and filters."
        }
        Some(NatClass::Mapping(Mapping::PortIndependent)) => {
            "a NAT whose outer port does not depend on the other's port; whether it does on the address takes a STUN \
             server with two addresses to tell. If not, as with most NATs, tunnels are direct."
        }
        Some(NatClass::Mapping(Mapping::AddressDependent | Mapping::AddressAndPortDependent)) => {
            "a NAT that maps by destination: direct tunnels only to nodes that others can reach without a hole of \
             their own, by no NAT or one that lets everybody in."
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use twinmesh_path::Latency;

    use super::*;
    use crate::network::MappingProtocol;

    #[test]
    fn the_json_is_as_documented() {
        let found = Findings {
            servers: vec![Latency {
                server: "192.0.2.1:3478".parse().unwrap(),
                round_trip: Some(Duration::from_micros(1500)),
            }],
            seen: Some("203.0.113.9:61000".parse().unwrap()),
            mapping: Some(Mapping::EndpointIndependent),
            filtering: Some(Filtering::AddressAndPortDependent),
            hairpin: Some(false),
        };
        let lifetime =
            MappingLifetime { at_least: Some(Duration::from_secs(30)), below: Some(Duration::from_mins(1)) };
        let outer = "203.0.113.9:7".parse().unwrap();
        let mapping = PortMapping::Mapped { protocol: MappingProtocol::NatPmp, outer };
        let status = serde_json::to_value(NetcheckStatus::of(
            [(Some(&found), Some(lifetime)), (None, None)],
            &mapping,
        ))
        .unwrap();
        assert_eq!(
            status["ipv4"],
            json!({
                "mapping": "endpoint-independent", "filtering": "address-and-port-dependent", "hairpin": false,
                "seen": "203.0.113.9:61000", "lifetime": { "at_least_s": 30, "below_s": 60 }
            })
        );
        assert_eq!((&status["udp"], &status["ipv6"]), (&json!(true), &json!(null)));
        assert_eq!(status["servers"], json!([{ "address": "192.0.2.1:3478", "round_trip_ms": 1.5 }]));
        let mapped = json!({ "protocol": "nat-pmp", "outer": "203.0.113.9:7", "refusal": null });
        assert_eq!(status["port_mapping"], mapped);
        assert_eq!(status["meaning"].as_array().unwrap().len(), 1);
    }
}
