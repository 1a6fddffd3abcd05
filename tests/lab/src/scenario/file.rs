//! A scenario as it is written: the TOML tables one to one, each name with its place in the text.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::units::{Percent, Rate, Span};

/// Tables by name; the span of the key tells the line, and the order in the file.
pub(super) type Named<T> = BTreeMap<Spanned<String>, T>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    pub(super) network: Named<NetworkTable>,
    #[serde(default)]
    pub(super) router: Named<RouterTable>,
    #[serde(default)]
    pub(super) host: Named<HostTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworkTable {
    pub(super) subnets: Vec<Spanned<String>>,
    pub(super) mtu: Option<Spanned<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostTable {
    pub(super) network: Option<Spanned<String>>,
    pub(super) addresses: Option<Vec<Spanned<IpAddr>>>,
    pub(super) gateway: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) interface: Named<InterfaceTable>,
    #[serde(default)]
    pub(super) run: Vec<ProgramTable>,
    #[serde(default)]
    pub(super) capture: Capture,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouterTable {
    pub(super) wan: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) lan: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) nat: Option<Spanned<NatKind>>,
    #[serde(default)]
    pub(super) nat6: Option<Spanned<NatKind>>,
    pub(super) filtering: Option<Spanned<Filtering>>,
    pub(super) udp_timeout: Option<Spanned<Span>>,
    pub(super) hairpin: Option<Spanned<bool>>,
    pub(super) firewall: Option<Spanned<Firewall>>,
    #[serde(default)]
    pub(super) block: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) interface: Named<InterfaceTable>,
    #[serde(default)]
    pub(super) run: Vec<ProgramTable>,
    #[serde(default)]
    pub(super) capture: Capture,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InterfaceTable {
    pub(super) network: Option<Spanned<String>>,
    pub(super) addresses: Option<Vec<Spanned<IpAddr>>>,
    pub(super) mtu: Option<Spanned<u32>>,
    pub(super) rate: Option<Rate>,
    pub(super) delay: Option<Span>,
    pub(super) jitter: Option<Span>,
    pub(super) loss: Option<Percent>,
    pub(super) reorder: Option<Percent>,
    pub(super) duplicate: Option<Percent>,
    pub(super) seed: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProgramTable {
    pub(super) name: Spanned<String>,
    pub(super) command: String,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    pub(super) ready: Option<Ready>,
}

/// When a program counts as ready: everything named here holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// This shell command, run on the same host, succeeds.
    pub command: Option<String>,
    /// This file exists, as the host sees it.
    pub file: Option<String>,
    /// The program's log contains this text.
    pub log: Option<String>,
    /// Something on the host listens on this TCP port.
    pub tcp: Option<u16>,
    /// Something on the host has bound this UDP port.
    pub udp: Option<u16>,
    /// How long to wait for it; 15 s unless said.
    pub deadline: Option<Span>,
}

/// Which interfaces of a host are captured.
#[derive(Debug, Default)]
pub(super) enum Capture {
    #[default]
    None,
    All,
    Interfaces(Vec<Spanned<String>>),
}

impl<'de> Deserialize<'de> for Capture {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// An untagged enum would do, but it loses the spans of the list's members.
        struct BoolOrList;
        impl<'de> Visitor<'de> for BoolOrList {
            type Value = Capture;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false` or a list of interface names such as [\"eth0\"]")
            }
            fn visit_bool<E: de::Error>(self, all: bool) -> Result<Capture, E> {
                Ok(if all { Capture::All } else { Capture::None })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Capture, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Capture::Interfaces(names))
            }
        }
        deserializer.deserialize_any(BoolOrList)
    }
}

/// How a router maps inner to outer UDP endpoints (RFC 4787 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NatKind {
    /// No translation.
    None,
    /// One outer port for an inner endpoint, whatever the destination.
    EndpointIndependent,
    /// One outer port for each remote address.
    AddressDependent,
    /// One outer port for each remote address and port ("symmetric").
    AddressAndPortDependent,
    /// TCP is translated, UDP goes nowhere.
    UdpBlocked,
}

/// From whom a mapping lets packets in (RFC 4787 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filtering {
    /// From anybody.
    EndpointIndependent,
    /// From addresses that the inner endpoint has sent to.
    AddressDependent,
    /// From exactly the endpoints that the inner endpoint has sent to.
    AddressAndPortDependent,
}

/// What a router lets in from its WAN side beside translated traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firewall {
    /// Everything.
    Open,
    /// Answers only.
    Stateful,
}
