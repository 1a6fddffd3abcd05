//! What is wrong with a scenario, and where.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

/// A fault in a scenario. Shows as `FILE:LINE: what to change`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// The scenario's file; `None` for a scenario given as text.
    pub file: Option<PathBuf>,
    /// Line in the file, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

impl std::error::Error for ScenarioError {}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().unwrap_or(Path::new("scenario"));
        write!(f, "{}:{}: {}", file.display(), self.line, self.problem)
    }
}

/// The kinds of faults.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// No TOML, an unknown key, or a value of the wrong kind; the parser's words.
    #[error("{0}")]
    Toml(String),
    #[error(
        "`{0}` cannot be a name: use lower-case letters, digits and hyphens, at most {1} characters, a letter or digit first"
    )]
    Name(String, usize),
    #[error("two nodes are called `{0}`: hosts and routers share one list of names, rename one of them")]
    NameTwice(String),
    #[error("`{0}` is no subnet: write an address and a prefix length, such as \"192.0.2.0/24\"")]
    Subnet(String),
    #[error(
        "{0} is not a documentation range: use a part of 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 198.18.0.0/15 or 2001:db8::/32"
    )]
    NotDocumentation(IpNet),
    #[error("{0} overlaps {1} of network `{2}`: give each network a subnet of its own")]
    Overlap(IpNet, IpNet, String),
    #[error("network `{0}` needs at least one subnet, such as subnets = [\"192.0.2.0/24\"]")]
    NoSubnet(String),
    #[error("there is no network `{name}`; the networks are: {}", .known.join(", "))]
    UnknownNetwork { name: String, known: Vec<String> },
    #[error("`{0}` has no interface: add network = \"NAME\" or a table [host.{0}.interface.eth0]")]
    NoInterface(String),
    #[error("interface `{0}` needs network = \"NAME\"")]
    InterfaceWithoutNetwork(String),
    #[error("router `{0}` needs a network: add wan = \"NAME\" or lan = [\"NAME\"]")]
    RouterWithoutNetwork(String),
    #[error("router `{router}` has no interface `{interface}`; it has: {}", .known.join(", "))]
    UnknownRouterInterface { router: String, interface: String, known: Vec<String> },
    #[error("`{0}` needs a WAN side: add wan = \"NAME\" to the router, or remove this")]
    NeedsWan(&'static str),
    #[error("`{0}` does nothing on a router without NAT: set nat, or remove this")]
    NeedsNat(&'static str),
    #[error("a router's interface takes its network from `wan` or `lan`: remove `network` here")]
    NetworkOfRouterInterface,
    #[error("{0} lies in no subnet of network `{1}`: take one from {2}")]
    AddressOutside(IpAddr, String, String),
    #[error("{0} is the network's own or the broadcast address: take another one")]
    AddressReserved(IpAddr),
    #[error("{0} is already the address of `{1}`")]
    AddressTaken(IpAddr, String),
    #[error("no address is left in {0}: make the subnet larger")]
    SubnetFull(IpNet),
    #[error("there is no router `{0}` with `lan` on a network of this host")]
    UnknownGateway(String),
    #[error("an MTU of {0} is not possible: 576 to 9216, and at least 1280 where the network has IPv6")]
    Mtu(u32),
    #[error(
        "`{0}` cannot be blocked: write \"udp\", \"tcp\", \"icmp-too-big\", \"udp/PORT\" or \"tcp/PORT\""
    )]
    Block(String),
    #[error("there is no interface `{name}` to capture; the interfaces are: {}", .known.join(", "))]
    UnknownCapture { name: String, known: Vec<String> },
    #[error("two programs of this host are called `{0}`")]
    ProgramTwice(String),
}
