//! The shape of `twinmesh trace --json`. Stable: fields may be added, never renamed or given another meaning.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The packet that is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracePacket {
    pub protocol: TraceProtocol,
    /// Destination port, of `tcp` and `udp`.
    #[serde(default)]
    pub port: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceProtocol {
    /// Such as a ping.
    #[default]
    Icmp,
    Tcp,
    Udp,
}

/// All of `trace --json`: one packet's way, stage by stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    pub from: TraceEnd,
    pub to: TraceEnd,
    pub packet: TracePacket,
    /// In the order in which the packet meets them.
    pub stages: Vec<TraceStage>,
    pub verdict: TraceVerdict,
    /// What it means, in sentences.
    pub meaning: Vec<String>,
}

/// A node, and its end of the way inside the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceEnd {
    pub node: String,
    pub address: IpAddr,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceStage {
    /// Where.
    pub node: String,
    /// `route`, `policy`, `choice`, `tunnel`, `path`, `mtu`; at the far end `question`, `return`, `source-check`,
    /// `address`, `route`, `socket`.
    pub stage: String,
    pub finding: TraceFinding,
    /// What stops the packet, or why it is not known: a stable word.
    pub rule: Option<String>,
    pub text: String,
}

/// What a stage does with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceFinding {
    Passes,
    Stops,
    Unknown,
}

/// Of all stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceVerdict {
    /// Each stage lets it pass.
    Allowed,
    /// The first stage that stops it is the reason.
    Stopped,
    /// None stops it, but not all are known.
    Unknown,
}
