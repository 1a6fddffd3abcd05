//! Where the ends are, what may pass, and what has to be routed for it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use toml::Spanned;
use twinmesh_dataplane::esp::{IpRange, Selectors, TrafficSelector};
use twinmesh_dataplane::{Encapsulation, EspPath};

use super::check::{Checked, at};
use super::error::Problem;
use super::file::{EncapsulationName, ModeName, SaTable};

/// More do not fit into an IKE payload either (RFC 7296 §3.13).
const MOST_SELECTORS: usize = 255;

/// The outer addresses: in transport mode this node's is known.
pub(super) fn ends(table: &SaTable) -> Checked<EspPath> {
    let (remote, encapsulation) = match table.encapsulation {
        EncapsulationName::Udp => (remote_port(&table.remote)?, Encapsulation::Udp),
        EncapsulationName::Raw => (SocketAddr::new(remote_host(&table.remote)?, 0), Encapsulation::Raw),
    };
    let local = match (table.mode.as_ref(), &table.local) {
        (ModeName::Transport, None) => return Err(at(&table.mode, Problem::NoLocal)),
        (ModeName::Tunnel, Some(local)) if encapsulation == Encapsulation::Udp => {
            return Err(at(local, Problem::LocalInTunnel));
        }
        (_, written) => written.as_ref().map(|written| local(written, remote)).transpose()?,
    };
    Ok(EspPath { local, remote, encapsulation })
}

fn remote_port(written: &Spanned<String>) -> Checked<SocketAddr> {
    let remote = written.as_ref().parse().ok();
    remote
        .filter(|remote: &SocketAddr| remote.port() != 0 && is_a_machine(remote.ip()))
        .ok_or_else(|| at(written, Problem::Remote(written.as_ref().clone())))
}

fn remote_host(written: &Spanned<String>) -> Checked<IpAddr> {
    let remote = written.as_ref().parse().ok();
    remote
        .filter(|remote| is_a_machine(*remote))
        .ok_or_else(|| at(written, Problem::RemoteRaw(written.as_ref().clone())))
}

fn local(written: &Spanned<String>, remote: SocketAddr) -> Checked<IpAddr> {
    let local = written.as_ref().parse().ok().filter(|local| is_a_machine(*local));
    let local = local.ok_or_else(|| at(written, Problem::Local(written.as_ref().clone())))?;
    if local.is_ipv4() != remote.is_ipv4() {
        return Err(at(written, Problem::MixedEnds(remote.ip())));
    }
    Ok(local)
}

pub(crate) fn is_a_machine(address: IpAddr) -> bool {
    !(address.is_unspecified() || address.is_multicast())
}

/// The selectors, and the prefixes that must be routed into the TUN device.
pub(super) fn traffic(table: &SaTable, ends: &EspPath) -> Checked<(Selectors, BTreeSet<IpNet>)> {
    let local_only = ends.local.filter(|_| *table.mode.as_ref() == ModeName::Transport);
    let remote_only = local_only.map(|_| ends.remote.ip());
    let local = side(table, "local_ts", table.local_ts.as_ref(), local_only)?;
    let remote = side(table, "remote_ts", table.remote_ts.as_ref(), remote_only)?;
    let has = |side: &[TrafficSelector], v6| side.iter().any(|selector| selector.addresses.is_v6() == v6);
    if ![false, true].into_iter().any(|v6| has(&local, v6) && has(&remote, v6)) {
        return Err(at(&table.name, Problem::MixedSelectors));
    }
    let destinations = match (remote_only, &table.remote_ts) {
        (Some(only), _) => BTreeSet::from([IpNet::from(only)]),
        (None, Some(written)) => destinations(written.as_ref(), &remote)?,
        (None, None) => BTreeSet::new(),
    };
    Ok((Selectors { local, remote }, destinations))
}

/// One side's selectors; `only` is the one address that transport mode allows, and then the default.
fn side(
    table: &SaTable,
    name: &'static str,
    written: Option<&Spanned<Vec<Spanned<String>>>>,
    only: Option<IpAddr>,
) -> Checked<Vec<TrafficSelector>> {
    let Some(written) = written else {
        let only = only.ok_or_else(|| at(&table.name, Problem::NoSelectors(name)))?;
        return Ok(vec![TrafficSelector::new(IpRange::single(only))]);
    };
    match written.as_ref().len() {
        0 => return Err(at(written, Problem::NoSelectors(name))),
        1..=MOST_SELECTORS => {}
        _ => return Err(at(written, Problem::TooManySelectors(MOST_SELECTORS))),
    }
    let selector = |text: &Spanned<String>| {
        let selector: TrafficSelector =
            text.as_ref().parse().map_err(|error| at(text, Problem::Selector(error)))?;
        match only {
            Some(only) if selector.addresses != IpRange::single(only) => {
                Err(at(text, Problem::NotTheHost(only)))
            }
            Some(_) | None => Ok(selector),
        }
    };
    written.as_ref().iter().map(selector).collect()
}

/// The selectors' addresses as prefixes, none inside another. Halves of everything are everything.
fn destinations(written: &[Spanned<String>], selectors: &[TrafficSelector]) -> Checked<BTreeSet<IpNet>> {
    let mut all = Vec::new();
    for (text, selector) in written.iter().zip(selectors) {
        let prefixes = prefixes_of(selector.addresses);
        if let Some(everything) = prefixes.iter().find(|prefix| prefix.prefix_len() == 0) {
            return Err(at(text, Problem::DefaultRoute(*everything)));
        }
        all.extend(prefixes);
    }
    let together = IpNet::aggregate(&all);
    if let Some(everything) = together.iter().find(|prefix| prefix.prefix_len() == 0)
        && let Some(last) = written.last()
    {
        return Err(at(last, Problem::DefaultRoute(*everything)));
    }
    Ok(outermost(&all))
}

/// The selectors' addresses as prefixes, none inside another.
pub(crate) fn destinations_of(selectors: &[TrafficSelector]) -> BTreeSet<IpNet> {
    let all: Vec<IpNet> = selectors.iter().flat_map(|selector| prefixes_of(selector.addresses)).collect();
    outermost(&all)
}

fn outermost(all: &[IpNet]) -> BTreeSet<IpNet> {
    let covered = |prefix: &IpNet| all.iter().any(|wide| wide != prefix && wide.contains(prefix));
    all.iter().filter(|prefix| !covered(prefix)).copied().collect()
}

/// A range as the fewest prefixes.
fn prefixes_of(range: IpRange) -> Vec<IpNet> {
    match (range.first(), range.last()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect(),
        (IpAddr::V6(first), IpAddr::V6(last)) => Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Vec::new(),
    }
}
