//! The scenario: what a lab consists of, read from TOML and checked.
//!
//! [`Scenario::parse`] goes from text to a model in which every name is resolved and every interface
//! has its addresses, or says which line is wrong. docs/lab.md describes the schema.

mod address;
mod check;
mod error;
mod file;
mod units;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

pub use error::{Problem, ScenarioError};
pub use file::{Filtering, Firewall, NatKind, Ready};
pub use units::{Percent, Rate, Span, UnitError};

/// A checked scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The lab's name unless another is asked for.
    pub name: String,
    /// What the scenario shows, in the author's words.
    pub description: String,
    /// The file it was read from; `None` for a text.
    pub file: Option<PathBuf>,
    /// Networks in the order of the file.
    pub networks: Vec<Network>,
    /// Routers, then hosts, each in the order of the file.
    pub nodes: Vec<Node>,
}

/// One Ethernet segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name in the scenario.
    pub name: String,
    /// Its subnets, all from documentation ranges.
    pub subnets: Vec<IpNet>,
}

/// A host or a router.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name, which is also its host name.
    pub name: String,
    /// `None` for a host.
    pub router: Option<Router>,
    /// Interfaces; of a router the WAN side first.
    pub interfaces: Vec<Interface>,
    /// The router whose address the default route goes to, when the scenario names one.
    pub gateway: Option<String>,
    /// Programs in the order in which they are started.
    pub programs: Vec<Program>,
    /// Names of the interfaces whose packets are written to a pcap file.
    pub capture: Vec<String>,
}

/// What makes a node a router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Router {
    /// Translation of IPv4.
    pub nat: Nat,
    /// Translation of IPv6.
    pub nat6: Nat,
    /// What comes in from the WAN side untranslated.
    pub firewall: Firewall,
    /// Traffic that is never forwarded.
    pub block: Vec<Block>,
    /// Life of an idle UDP mapping.
    pub udp_timeout: Duration,
}

/// Translation of one IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nat {
    /// The mapping.
    pub kind: NatKind,
    /// The filtering.
    pub filtering: Filtering,
    /// Whether inner hosts reach each other by their outer addresses.
    pub hairpin: bool,
}

/// Traffic that a router drops instead of forwarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// UDP, to one destination port or at all.
    Udp(Option<u16>),
    /// TCP, to one destination port or at all.
    Tcp(Option<u16>),
    /// ICMP "fragmentation needed" and ICMPv6 "packet too big": a path MTU black hole.
    IcmpTooBig,
}

/// Where a node meets a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Interface {
    /// Name inside the node.
    pub name: String,
    /// Index into [`Scenario::networks`].
    pub network: usize,
    /// Which side of a router it is; hosts have `Side::Host`.
    pub side: Side,
    /// Address and prefix length of the subnet it lies in.
    pub addresses: Vec<IpNet>,
    /// What the link to the network does to frames.
    pub link: LinkProperties,
}

/// The part that an interface plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Interface of a host.
    Host,
    /// Router, towards the internet.
    Wan,
    /// Router, towards the networks it serves: it is their gateway.
    Lan,
}

/// What a link does to frames, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct LinkProperties {
    /// Largest packet; 1500 where unset.
    pub mtu: Option<u32>,
    /// Bits a second.
    pub rate: Option<Rate>,
    /// How frames are impaired; `None` for a plain link.
    pub impairment: Option<Impairment>,
}

/// What the link process does to frames.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Impairment {
    /// Time a frame is under way.
    pub delay: Span,
    /// Spread of the delay: uniform in `delay ± jitter`; frames keep their order.
    pub jitter: Span,
    /// Frames that vanish.
    pub loss: Percent,
    /// Frames that later ones overtake.
    pub reorder: Percent,
    /// Frames that arrive twice.
    pub duplicate: Percent,
    /// Seed of the link's randomness: the same seed gives the same decisions.
    pub seed: u64,
}

/// A program that runs in a host as long as the lab is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Unique in its host.
    pub name: String,
    /// For `sh -c`, with `${variables}` of the lab not yet replaced.
    pub command: String,
    /// Added to its environment, with `${variables}` too.
    pub env: BTreeMap<String, String>,
    /// When it counts as ready; `None`: as soon as it runs.
    pub ready: Option<Ready>,
    /// Line of the scenario, for messages.
    pub line: usize,
}

impl Scenario {
    /// Reads and checks a scenario. `file` is for messages only.
    ///
    /// # Errors
    /// [`ScenarioError`] with the line of the first fault found.
    pub fn parse(text: &str, file: Option<&Path>) -> Result<Self, ScenarioError> {
        check::check(text, file)
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }
}

impl Interface {
    /// Its first address of the IP version asked for.
    pub fn address(&self, version: IpVersion) -> Option<IpAddr> {
        self.addresses.iter().map(IpNet::addr).find(|address| IpVersion::of(*address) == version)
    }
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpVersion {
    V4,
    V6,
}

impl IpVersion {
    /// Both, for loops.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The version of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl Router {
    /// The translation of one IP version.
    pub fn nat_of(&self, version: IpVersion) -> Nat {
        match version {
            IpVersion::V4 => self.nat,
            IpVersion::V6 => self.nat6,
        }
    }
}

impl Nat {
    /// Whether inner addresses are hidden behind the router's own.
    pub fn translates(self) -> bool {
        self.kind != NatKind::None
    }
}
