//! One table `[[child]]`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use twinmesh_dataplane::esp::{IpRange, TrafficSelector as EspSelector};
use twinmesh_ike::config::{
    ChildConfig, Legacy, Lifetime, MOST_SELECTORS, Mode, Protocol, Remote, SelectorPair, StartAction,
    TrafficSelector,
};

use super::SiteChild;
use super::check::{Checked, at, name, proposals, start, time};
use super::error::Problem;
use super::file::{ChildTable, ModeName};
use super::selectors::to_ike;
use crate::sa;

pub(super) fn child(
    written: &Spanned<ChildTable>,
    remote: Remote,
    legacy: Legacy,
    default_start: StartAction,
    names: &mut BTreeSet<String>,
) -> Checked<SiteChild> {
    let table = written.as_ref();
    name(&table.name)?;
    if !names.insert(table.name.as_ref().clone()) {
        return Err(at(&table.name, Problem::ChildTwice(table.name.as_ref().clone())));
    }
    let mode = match table.mode {
        ModeName::Tunnel => Mode::Tunnel,
        ModeName::Transport => Mode::Transport,
    };
    let local = side(table, "local_ts", table.local_ts.as_ref(), mode)?;
    let remote_ts = side(table, "remote_ts", table.remote_ts.as_ref(), mode)?;
    if mode == Mode::Transport {
        hosts(table.local_ts.as_ref(), &local, None)?;
        hosts(table.remote_ts.as_ref(), &remote_ts, Some(remote))?;
    }
    let routes = routes(table)?;
    if routes.is_none() && mode == Mode::Tunnel {
        let everything = everything(&remote_ts);
        if let (Some(everything), Some(place)) = (everything, &table.remote_ts) {
            return Err(at(place, Problem::DefaultRoute(everything)));
        }
    }
    let mut config = ChildConfig::new(
        table.name.as_ref(),
        SelectorPair { local: all_to_ike(&local), remote: all_to_ike(&remote_ts) },
    );
    config.proposals = proposals(table.proposals.as_ref(), Protocol::Esp, legacy)?;
    config.mode = mode;
    config.start = start(table.start.as_ref(), remote, Some(default_start))?;
    config.lifetime = lifetime(table)?;
    let is_ipv4 = matches!(remote, Remote::At(remote) if remote.is_ipv4());
    Ok(SiteChild {
        config,
        routes,
        rekey_bytes: table
            .rekey_bytes
            .as_ref()
            .map(|written| sa::bytes(written.as_ref()).map_err(|problem| at(written, problem)))
            .transpose()?,
        path_mtu: sa::path_mtu(table.path_mtu.as_ref(), is_ipv4)?,
        replay_window: sa::replay_window(table.replay_window.as_ref())?,
    })
}

fn all_to_ike(selectors: &[EspSelector]) -> Vec<TrafficSelector> {
    selectors.iter().filter_map(to_ike).collect()
}

/// The prefix of length 0 that selectors amount to; halves of everything are everything.
fn everything(selectors: &[EspSelector]) -> Option<IpNet> {
    let all: Vec<IpNet> = sa::destinations_of(selectors).into_iter().collect();
    IpNet::aggregate(&all).into_iter().find(|prefix| prefix.prefix_len() == 0)
}

fn side(
    table: &ChildTable,
    name: &'static str,
    written: Option<&Spanned<Vec<Spanned<String>>>>,
    mode: Mode,
) -> Checked<Vec<EspSelector>> {
    let Some(written) = written else {
        return match mode {
            Mode::Transport => Ok(Vec::new()),
            Mode::Tunnel => Err(at(&table.name, Problem::NoSelectors(name))),
        };
    };
    match written.as_ref().len() {
        0 => return Err(at(written, Problem::NoSelectors(name))),
        1..=MOST_SELECTORS => {}
        _ => return Err(at(written, Problem::TooManySelectors)),
    }
    let selector = |text: &Spanned<String>| {
        let given = text.as_ref();
        given.parse().map_err(|error| at(text, Problem::Selector { given: given.clone(), error }))
    };
    written.as_ref().iter().map(selector).collect()
}

/// In transport mode the two ends talk to each other, and to nobody else; `end` is the peer.
fn hosts(
    written: Option<&Spanned<Vec<Spanned<String>>>>,
    selectors: &[EspSelector],
    end: Option<Remote>,
) -> Checked<()> {
    let texts = written.map(|written| written.as_ref().as_slice()).unwrap_or_default();
    for (text, selector) in texts.iter().zip(selectors) {
        let address = selector.addresses.first();
        match end {
            Some(Remote::Anywhere | Remote::Roaming(_)) => return Err(at(text, Problem::TransportAnywhere)),
            Some(Remote::At(remote)) if selector.addresses != IpRange::single(remote.ip()) => {
                return Err(at(text, sa::Problem::NotTheHost(remote.ip())));
            }
            None if selector.addresses != IpRange::single(address) => {
                return Err(at(text, Problem::NotOneAddress));
            }
            Some(Remote::At(_)) | None => {}
        }
    }
    Ok(())
}

fn routes(table: &ChildTable) -> Checked<Option<BTreeSet<IpNet>>> {
    let Some(written) = &table.routes else { return Ok(None) };
    let route = |text: &Spanned<String>| {
        let given = text.as_ref();
        let prefix = given.parse::<IpNet>().or_else(|_| given.parse::<IpAddr>().map(IpNet::from));
        match prefix {
            Ok(prefix) if prefix.prefix_len() == 0 => Err(at(text, Problem::DefaultRoute(prefix))),
            Ok(prefix) => Ok(prefix.trunc()),
            Err(_) => Err(at(text, Problem::Route(given.clone()))),
        }
    };
    written.as_ref().iter().map(route).collect::<Checked<BTreeSet<_>>>().map(Some)
}

fn lifetime(table: &ChildTable) -> Checked<Lifetime> {
    let mut lifetime = time(table.rekey_time.as_ref())?.map_or_else(Lifetime::of_child, Lifetime::of);
    if let Some(written) = &table.life_time {
        let hard: Option<Duration> = time(Some(written))?;
        if hard < lifetime.rekey {
            return Err(at(written, Problem::LifeBeforeRekey));
        }
        lifetime.hard = hard;
    }
    Ok(lifetime)
}
