//! From the written tables to the checked model.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;

use super::address::{self, Allocator};
use super::file::{self, Capture, HostTable, InterfaceTable, Named, ProgramTable, RouterTable};
use super::{
    Block, Filtering, Firewall, Impairment, Interface, IpVersion, LinkProperties, Nat, NatKind, Network,
    Node, Problem, Program, Router, Scenario, ScenarioError, Side,
};

/// RFC 4787 REQ-5: a UDP mapping lives for two minutes at least.
const UDP_TIMEOUT: Duration = Duration::from_mins(2);
/// Linux refuses longer interface names.
const INTERFACE_NAME: usize = 15;
/// A host name's label (RFC 1035 §2.3.4), and short enough for file names.
const NODE_NAME: usize = 40;

/// A fault and the place of the value that causes it.
struct Fault {
    span: Range<usize>,
    problem: Problem,
}

type Checked<T> = Result<T, Fault>;

/// Ties a problem to the value's place.
fn at<T>(value: &Spanned<T>, problem: Problem) -> Fault {
    Fault { span: value.span(), problem }
}

pub(super) fn check(text: &str, path: Option<&Path>) -> Result<Scenario, ScenarioError> {
    let line_of = |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
    let file: file::File = toml::from_str(text).map_err(|error| ScenarioError {
        file: path.map(Path::to_owned),
        line: error.span().map_or(1, |span| line_of(span.start)),
        problem: Problem::Toml(error.message().to_owned()),
    })?;
    let mut scenario = Checker { line_of: &line_of }.scenario(file).map_err(|fault| ScenarioError {
        file: path.map(Path::to_owned),
        line: line_of(fault.span.start),
        problem: fault.problem,
    })?;
    scenario.file = path.map(Path::to_owned);
    Ok(scenario)
}

/// Tables in the order of the file.
fn in_order<T>(named: Named<T>) -> Vec<(Spanned<String>, T)> {
    let mut tables: Vec<_> = named.into_iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);
    tables
}

/// An interface whose addresses are not settled yet.
struct Draft {
    name: String,
    network: usize,
    side: Side,
    wanted: Option<Vec<Spanned<IpAddr>>>,
    link: LinkProperties,
    span: Range<usize>,
}

struct DraftNode {
    node: Node,
    drafts: Vec<Draft>,
    gateway: Option<Spanned<String>>,
}

struct Checker<'a> {
    line_of: &'a dyn Fn(usize) -> usize,
}

impl Checker<'_> {
    fn scenario(&self, file: file::File) -> Checked<Scenario> {
        name(&file.name, NODE_NAME)?;
        let networks = networks(file.network)?;
        let mut drafts = Vec::new();
        let mut names = BTreeSet::new();
        for (router, table) in in_order(file.router) {
            unused_name(&router, &mut names)?;
            drafts.push(self.router(&router, table, &networks)?);
        }
        for (host, table) in in_order(file.host) {
            unused_name(&host, &mut names)?;
            drafts.push(self.host(&host, table, &networks)?);
        }
        let networks: Vec<Network> = networks.into_iter().map(|(network, _)| network).collect();
        let nodes = settle(drafts, &networks)?;
        Ok(Scenario {
            name: file.name.into_inner(),
            description: file.description,
            file: None,
            networks,
            nodes,
        })
    }

    fn host(&self, name: &Spanned<String>, table: HostTable, networks: &Networks) -> Checked<DraftNode> {
        let mut drafts = Vec::new();
        let mut tables = in_order(table.interface);
        if let Some(network) = table.network {
            // The short form is the table of eth0.
            let eth0 = tables.iter().position(|(name, _)| name.as_ref() == "eth0");
            let (span, mut eth0) = match eth0.map(|index| tables.remove(index)) {
                Some((name, eth0)) => (name.span(), eth0),
                None => (network.span(), InterfaceTable::default()),
            };
            eth0.network.get_or_insert(network);
            eth0.addresses = eth0.addresses.or(table.addresses);
            tables.insert(0, (Spanned::new(span, "eth0".to_owned()), eth0));
        }
        for (interface, table) in tables {
            self::name(&interface, INTERFACE_NAME)?;
            let network = table.network.as_ref().ok_or_else(|| {
                at(&interface, Problem::InterfaceWithoutNetwork(interface.as_ref().clone()))
            })?;
            let index = network_index(network, networks)?;
            drafts.push(draft(&interface, index, Side::Host, table, networks)?);
        }
        if drafts.is_empty() {
            return Err(at(name, Problem::NoInterface(name.as_ref().clone())));
        }
        Ok(DraftNode {
            node: Node {
                name: name.as_ref().clone(),
                router: None,
                interfaces: Vec::new(),
                gateway: None,
                programs: self.programs(table.run)?,
                capture: capture(table.capture, &drafts)?,
            },
            drafts,
            gateway: table.gateway,
        })
    }

    fn router(&self, name: &Spanned<String>, table: RouterTable, networks: &Networks) -> Checked<DraftNode> {
        let router = router_settings(&table)?;
        let mut tables: BTreeMap<String, (Spanned<String>, InterfaceTable)> = in_order(table.interface)
            .into_iter()
            .map(|(interface, table)| (interface.as_ref().clone(), (interface, table)))
            .collect();
        let wan = table.wan.iter().map(|network| ("wan".to_owned(), Side::Wan, network));
        let lan = table.lan.iter().enumerate().map(|(i, network)| (format!("lan{i}"), Side::Lan, network));
        let mut drafts = Vec::new();
        for (interface, side, network) in wan.chain(lan) {
            let index = network_index(network, networks)?;
            let (interface, table) = tables
                .remove(&interface)
                .unwrap_or_else(|| (Spanned::new(network.span(), interface), InterfaceTable::default()));
            if let Some(network) = &table.network {
                return Err(at(network, Problem::NetworkOfRouterInterface));
            }
            drafts.push(draft(&interface, index, side, table, networks)?);
        }
        if drafts.is_empty() {
            return Err(at(name, Problem::RouterWithoutNetwork(name.as_ref().clone())));
        }
        if let Some((interface, (written, _))) = tables.into_iter().next() {
            let known = drafts.iter().map(|draft| draft.name.clone()).collect();
            let router = name.as_ref().clone();
            return Err(at(&written, Problem::UnknownRouterInterface { router, interface, known }));
        }
        Ok(DraftNode {
            node: Node {
                name: name.as_ref().clone(),
                router: Some(router),
                interfaces: Vec::new(),
                gateway: None,
                programs: self.programs(table.run)?,
                capture: capture(table.capture, &drafts)?,
            },
            drafts,
            gateway: None,
        })
    }

    fn programs(&self, tables: Vec<ProgramTable>) -> Checked<Vec<Program>> {
        let mut names = BTreeSet::new();
        let mut programs = Vec::new();
        for table in tables {
            name(&table.name, NODE_NAME)?;
            if !names.insert(table.name.as_ref().clone()) {
                return Err(at(&table.name, Problem::ProgramTwice(table.name.as_ref().clone())));
            }
            programs.push(Program {
                line: (self.line_of)(table.name.span().start),
                name: table.name.into_inner(),
                command: table.command,
                env: table.env,
                ready: table.ready,
            });
        }
        Ok(programs)
    }
}

/// Networks with their MTU.
type Networks = [(Network, Option<u32>)];

fn networks(tables: Named<file::NetworkTable>) -> Checked<Vec<(Network, Option<u32>)>> {
    let mut networks: Vec<(Network, Option<u32>)> = Vec::new();
    for (key, table) in in_order(tables) {
        name(&key, NODE_NAME)?;
        let mut subnets: Vec<IpNet> = Vec::new();
        for written in &table.subnets {
            let subnet = address::subnet(written.as_ref()).map_err(|problem| at(written, problem))?;
            let mut others = networks
                .iter()
                .flat_map(|(network, _)| network.subnets.iter().map(|other| (*other, &network.name)))
                .chain(subnets.iter().map(|other| (*other, key.as_ref())));
            if let Some((other, owner)) =
                others.find(|(other, _)| other.contains(&subnet) || subnet.contains(other))
            {
                return Err(at(written, Problem::Overlap(subnet, other, owner.clone())));
            }
            subnets.push(subnet);
        }
        if subnets.is_empty() {
            return Err(at(&key, Problem::NoSubnet(key.as_ref().clone())));
        }
        let mtu = table.mtu.map(|mtu| checked_mtu(&mtu, &subnets)).transpose()?;
        networks.push((Network { name: key.into_inner(), subnets }, mtu));
    }
    Ok(networks)
}

fn name(written: &Spanned<String>, longest: usize) -> Checked<()> {
    let name = written.as_ref();
    let letters = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if name.is_empty() || name.len() > longest || !letters || name.starts_with('-') {
        return Err(at(written, Problem::Name(name.clone(), longest)));
    }
    Ok(())
}

fn unused_name(written: &Spanned<String>, names: &mut BTreeSet<String>) -> Checked<()> {
    name(written, NODE_NAME)?;
    if names.insert(written.as_ref().clone()) {
        return Ok(());
    }
    Err(at(written, Problem::NameTwice(written.as_ref().clone())))
}

fn network_index(name: &Spanned<String>, networks: &Networks) -> Checked<usize> {
    networks.iter().position(|(network, _)| network.name == *name.as_ref()).ok_or_else(|| {
        let known = networks.iter().map(|(network, _)| network.name.clone()).collect();
        at(name, Problem::UnknownNetwork { name: name.as_ref().clone(), known })
    })
}

/// IPv6 needs 1280 (RFC 8200 §5), IPv4 hosts take 576 (RFC 791).
fn checked_mtu(mtu: &Spanned<u32>, subnets: &[IpNet]) -> Checked<u32> {
    let least = if subnets.iter().any(|subnet| matches!(subnet, IpNet::V6(_))) { 1280 } else { 576 };
    if (least..=9216).contains(mtu.as_ref()) {
        return Ok(*mtu.as_ref());
    }
    Err(at(mtu, Problem::Mtu(*mtu.as_ref())))
}

fn draft(
    name: &Spanned<String>,
    network: usize,
    side: Side,
    table: InterfaceTable,
    networks: &Networks,
) -> Checked<Draft> {
    let (subnets, network_mtu) =
        networks.get(network).map_or((&[][..], None), |(network, mtu)| (&network.subnets[..], *mtu));
    let mtu = table.mtu.as_ref().map(|mtu| checked_mtu(mtu, subnets)).transpose()?;
    let impaired = table.delay.is_some()
        || table.jitter.is_some()
        || table.loss.is_some()
        || table.reorder.is_some()
        || table.duplicate.is_some()
        || table.seed.is_some();
    let impairment = Impairment {
        delay: table.delay.unwrap_or_default(),
        jitter: table.jitter.unwrap_or_default(),
        loss: table.loss.unwrap_or_default(),
        reorder: table.reorder.unwrap_or_default(),
        duplicate: table.duplicate.unwrap_or_default(),
        seed: table.seed.unwrap_or(1),
    };
    Ok(Draft {
        name: name.as_ref().clone(),
        network,
        side,
        wanted: table.addresses,
        link: LinkProperties {
            mtu: mtu.or(network_mtu),
            rate: table.rate,
            impairment: impaired.then_some(impairment),
        },
        span: name.span(),
    })
}

fn router_settings(table: &RouterTable) -> Checked<Router> {
    let kind = |nat: &Option<Spanned<NatKind>>| nat.as_ref().map_or(NatKind::None, |nat| *nat.as_ref());
    let (nat, nat6) = (kind(&table.nat), kind(&table.nat6));
    let translates = nat != NatKind::None || nat6 != NatKind::None;
    if table.wan.is_none() {
        let needs = |span: Range<usize>, key| Fault { span, problem: Problem::NeedsWan(key) };
        if let Some(nat) = table.nat.as_ref().filter(|nat| *nat.as_ref() != NatKind::None) {
            return Err(needs(nat.span(), "nat"));
        }
        if let Some(nat) = table.nat6.as_ref().filter(|nat| *nat.as_ref() != NatKind::None) {
            return Err(needs(nat.span(), "nat6"));
        }
        if let Some(firewall) = table.firewall.as_ref().filter(|it| *it.as_ref() == Firewall::Stateful) {
            return Err(needs(firewall.span(), "firewall"));
        }
    }
    if !translates {
        let unused = [
            table.filtering.as_ref().map(|it| (it.span(), "filtering")),
            table.udp_timeout.as_ref().map(|it| (it.span(), "udp_timeout")),
            table.hairpin.as_ref().map(|it| (it.span(), "hairpin")),
        ];
        if let Some((span, key)) = unused.into_iter().flatten().next() {
            return Err(Fault { span, problem: Problem::NeedsNat(key) });
        }
    }
    let filtering = table.filtering.as_ref().map_or(Filtering::AddressAndPortDependent, |it| *it.as_ref());
    let hairpin = table.hairpin.as_ref().is_some_and(|it| *it.as_ref());
    // A NAT that lets nobody in by IPv4 is sold with a firewall that lets nobody in by IPv6.
    let usual = if translates { Firewall::Stateful } else { Firewall::Open };
    Ok(Router {
        nat: Nat { kind: nat, filtering, hairpin },
        nat6: Nat { kind: nat6, filtering, hairpin },
        firewall: table.firewall.as_ref().map_or(usual, |it| *it.as_ref()),
        block: table.block.iter().map(block).collect::<Checked<_>>()?,
        udp_timeout: table.udp_timeout.as_ref().map_or(UDP_TIMEOUT, |it| it.as_ref().0),
    })
}

fn block(written: &Spanned<String>) -> Checked<Block> {
    let unknown = || at(written, Problem::Block(written.as_ref().clone()));
    Ok(match written.as_ref().split_once('/') {
        None => match written.as_ref().as_str() {
            "udp" => Block::Udp(None),
            "tcp" => Block::Tcp(None),
            "icmp-too-big" => Block::IcmpTooBig,
            _ => return Err(unknown()),
        },
        Some((protocol, port)) => {
            let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(unknown)?;
            match protocol {
                "udp" => Block::Udp(Some(port)),
                "tcp" => Block::Tcp(Some(port)),
                _ => return Err(unknown()),
            }
        }
    })
}

fn capture(wanted: Capture, drafts: &[Draft]) -> Checked<Vec<String>> {
    let known: Vec<String> = drafts.iter().map(|draft| draft.name.clone()).collect();
    match wanted {
        Capture::None => Ok(Vec::new()),
        Capture::All => Ok(known),
        Capture::Interfaces(names) => {
            if let Some(unknown) = names.iter().find(|name| !known.contains(name.as_ref())) {
                return Err(at(unknown, Problem::UnknownCapture { name: unknown.as_ref().clone(), known }));
            }
            Ok(names.into_iter().map(Spanned::into_inner).collect())
        }
    }
}

/// Gives every interface its addresses: what the scenario names first, then gateways, then the others.
fn settle(mut drafts: Vec<DraftNode>, networks: &[Network]) -> Checked<Vec<Node>> {
    let mut allocator = Allocator::default();
    let mut settled: BTreeMap<(usize, usize), Vec<IpNet>> = BTreeMap::new();
    for (n, node) in drafts.iter().enumerate() {
        for (i, draft) in node.drafts.iter().enumerate() {
            let Some(network) = networks.get(draft.network) else { continue };
            for address in draft.wanted.iter().flatten() {
                let taken = allocator
                    .take(*address.as_ref(), &node.node.name, &network.name, &network.subnets)
                    .map_err(|problem| at(address, problem))?;
                settled.entry((n, i)).or_default().push(taken);
            }
        }
    }
    for gateways in [true, false] {
        for (n, node) in drafts.iter().enumerate() {
            for (i, draft) in node.drafts.iter().enumerate() {
                let Some(network) = networks.get(draft.network) else { continue };
                if draft.wanted.is_some() || (draft.side == Side::Lan) != gateways {
                    continue;
                }
                for version in IpVersion::BOTH {
                    let next = allocator
                        .next(version, &node.node.name, &network.subnets)
                        .map_err(|problem| Fault { span: draft.span.clone(), problem })?;
                    settled.entry((n, i)).or_default().extend(next);
                }
            }
        }
    }
    for (n, node) in drafts.iter_mut().enumerate() {
        for (i, draft) in node.drafts.iter().enumerate() {
            node.node.interfaces.push(Interface {
                name: draft.name.clone(),
                network: draft.network,
                side: draft.side,
                addresses: settled.remove(&(n, i)).unwrap_or_default(),
                link: draft.link,
            });
        }
    }
    name_gateways(drafts)
}

/// Checks that a named gateway serves a network of the host.
fn name_gateways(drafts: Vec<DraftNode>) -> Checked<Vec<Node>> {
    let mut serves: BTreeSet<(String, usize)> = BTreeSet::new();
    for DraftNode { node, .. } in &drafts {
        let lan = node.interfaces.iter().filter(|interface| interface.side == Side::Lan);
        serves.extend(lan.map(|interface| (node.name.clone(), interface.network)));
    }
    drafts
        .into_iter()
        .map(|DraftNode { mut node, gateway, .. }| {
            if let Some(gateway) = gateway {
                let name = gateway.as_ref().clone();
                if !node.interfaces.iter().any(|it| serves.contains(&(name.clone(), it.network))) {
                    return Err(at(&gateway, Problem::UnknownGateway(name)));
                }
                node.gateway = Some(name);
            }
            Ok(node)
        })
        .collect()
}
