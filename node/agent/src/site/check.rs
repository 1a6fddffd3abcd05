//! From the written tables to a checked site.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use twinmesh_ike::config::{
    EncapsulationPolicy, Legacy, Lifetime, Narrowing, Proposal, Protocol, Quirks, Remote, StartAction, Vendor,
};

use super::child::child;
use super::credentials::auth;
use super::error::{Problem, SiteFileError};
use super::exchanges::Exchanges;
use super::file::{AfterLossName, EncapsulationName, SiteTable, StartName};
use super::sources::Sources;
use super::{AfterLoss, Site, SiteChild};
use crate::sa::{self, Number};

/// Where the peer listens for IKE and ESP in UDP from the first message on (RFC 7296 §2.23).
const REMOTE_PORT: u16 = 4500;
/// Short of a word from the peer for so long, it is asked for one.
const DPD_DELAY: Duration = Duration::from_secs(30);

/// A fault and the place of the value that causes it.
pub(super) struct Fault {
    span: Range<usize>,
    problem: Problem,
}

impl From<sa::Fault> for Fault {
    fn from(fault: sa::Fault) -> Self {
        Self { span: fault.span, problem: fault.problem.into() }
    }
}

pub(super) type Checked<T> = Result<T, Fault>;

/// Ties a problem to the value's place.
pub(super) fn at<T>(value: &Spanned<T>, problem: impl Into<Problem>) -> Fault {
    Fault { span: value.span(), problem: problem.into() }
}

pub(super) fn check(text: &str, file: &str, mut sources: Sources<'_>) -> Result<Site, SiteFileError> {
    let line_of = |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
    let wrong = |offset, problem| SiteFileError { file: file.to_owned(), line: line_of(offset), problem };
    let table: SiteTable = toml::from_str(text).map_err(|error| {
        let message = error.message().trim_end().replace('\n', "; ");
        wrong(error.span().map_or(0, |span| span.start), Problem::Toml(message))
    })?;
    let mut site = site(&table, &mut sources).map_err(|fault| wrong(fault.span.start, fault.problem))?;
    site.files = sources.read;
    Ok(site)
}

fn site(table: &SiteTable, sources: &mut Sources<'_>) -> Checked<Site> {
    name(&table.name)?;
    let remote = remote(&table.remote)?;
    let local = table.local.as_ref().map(|written| local(written, remote)).transpose()?;
    let legacy = if table.allow_legacy { Legacy::Allowed } else { Legacy::Refused };
    let auth = auth(&table.auth, sources, legacy, &table.remote, remote)?;
    if table.child.is_empty() {
        return Err(at(&table.name, Problem::NoChild));
    }
    let default_start = start(table.start.as_ref(), remote, None)?;
    let mut names = BTreeSet::new();
    let children = table
        .child
        .iter()
        .map(|written| child(written, remote, legacy, default_start, &mut names))
        .collect::<Checked<Vec<_>>>()?;
    Ok(Site {
        name: table.name.as_ref().clone(),
        remote,
        local,
        vendor: table.vendor.as_ref().map(vendor).transpose()?,
        encapsulation: match table.encapsulation {
            EncapsulationName::Auto => EncapsulationPolicy::Auto,
            EncapsulationName::Udp => EncapsulationPolicy::Udp,
            EncapsulationName::Raw => EncapsulationPolicy::Raw,
        },
        after_loss: after_loss(table.dpd_action.as_ref(), remote, &children)?,
        proposals: proposals(table.proposals.as_ref(), Protocol::Ike, legacy)?,
        lifetime: time(table.rekey_time.as_ref())?.map_or_else(Lifetime::of_ike, Lifetime::of),
        dpd_delay: dpd_delay(table.dpd_delay.as_ref())?,
        mobike: table.mobike.unwrap_or(true),
        reauth: time(table.reauth_time.as_ref())?,
        exchanges: Exchanges::of(table)?,
        quirks: Quirks {
            narrowing: if table.single_pair { Narrowing::SinglePair } else { Narrowing::Whole },
            ..Quirks::default()
        },
        credentials: auth.credentials,
        ppk: auth.ppk,
        weakness: auth.weakness,
        local_identity: auth.local_identity,
        remote_identity: auth.remote_identity,
        children,
        files: BTreeMap::new(),
    })
}

pub(super) fn name(written: &Spanned<String>) -> Checked<()> {
    if sa::is_name(written.as_ref()) {
        return Ok(());
    }
    Err(at(written, sa::Problem::Name(written.as_ref().clone())))
}

fn remote(written: &Spanned<String>) -> Checked<Remote> {
    let text = written.as_ref().as_str();
    if text == "any" {
        return Ok(Remote::Anywhere);
    }
    let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, REMOTE_PORT));
    address
        .or_else(|_| text.parse::<SocketAddr>())
        .ok()
        .filter(|remote| remote.port() != 0 && sa::is_a_machine(remote.ip()))
        .map(Remote::At)
        .ok_or_else(|| at(written, Problem::Remote(text.to_owned())))
}

fn local(written: &Spanned<String>, remote: Remote) -> Checked<IpAddr> {
    let text = written.as_ref();
    let local = text.parse().ok().filter(|local| sa::is_a_machine(*local));
    let local = local.ok_or_else(|| at(written, sa::Problem::Local(text.clone())))?;
    match remote {
        Remote::At(remote) if remote.is_ipv4() != local.is_ipv4() => {
            Err(at(written, sa::Problem::MixedEnds(remote.ip())))
        }
        Remote::At(_) | Remote::Anywhere | Remote::Roaming(_) => Ok(local),
    }
}

fn vendor(written: &Spanned<String>) -> Checked<Vendor> {
    written.as_ref().parse().map_err(|error: twinmesh_ike::config::UnknownVendor| at(written, error))
}

/// Who begins; `default` where nothing is written.
pub(super) fn start(
    written: Option<&Spanned<StartName>>,
    remote: Remote,
    default: Option<StartAction>,
) -> Checked<StartAction> {
    let action = match written.map(AsRef::as_ref) {
        Some(StartName::Start) => StartAction::Start,
        Some(StartName::Trap) => StartAction::Trap,
        Some(StartName::None) => StartAction::None,
        None => {
            return Ok(default.unwrap_or(match remote {
                Remote::At(_) | Remote::Roaming(_) => StartAction::Start,
                Remote::Anywhere => StartAction::None,
            }));
        }
    };
    match (written, remote) {
        (Some(written), Remote::Anywhere) if action != StartAction::None => {
            Err(at(written, Problem::StartAnywhere))
        }
        _ => Ok(action),
    }
}

/// What is written, or what goes with how the children start.
fn after_loss(
    written: Option<&Spanned<AfterLossName>>,
    remote: Remote,
    children: &[SiteChild],
) -> Checked<AfterLoss> {
    let any = |action| children.iter().any(|child| child.start() == action);
    match (written.map(|written| (written, *written.as_ref())), remote) {
        (Some((place, AfterLossName::Restart | AfterLossName::Trap)), Remote::Anywhere) => {
            Err(at(place, Problem::StartAnywhere))
        }
        (Some((_, AfterLossName::Restart)), _) => Ok(AfterLoss::Restart),
        (Some((_, AfterLossName::Trap)), _) => Ok(AfterLoss::Trap),
        (None, _) if any(StartAction::Start) => Ok(AfterLoss::Restart),
        (None, _) if any(StartAction::Trap) => Ok(AfterLoss::Trap),
        (Some((_, AfterLossName::Clear)) | None, _) => Ok(AfterLoss::Clear),
    }
}

pub(super) fn proposals(
    written: Option<&Spanned<Vec<Spanned<String>>>>,
    protocol: Protocol,
    legacy: Legacy,
) -> Checked<Vec<Proposal>> {
    let Some(written) = written else { return Ok(Proposal::defaults(protocol)) };
    if written.as_ref().is_empty() {
        return Err(at(written, Problem::NoProposals));
    }
    let read = |text: &Spanned<String>| {
        Proposal::parse(protocol, text.as_ref(), legacy)
            .map_err(|error| at(text, Problem::Proposal(text.as_ref().clone(), error)))
    };
    written.as_ref().iter().map(read).collect()
}

pub(super) fn time(written: Option<&Spanned<Number>>) -> Checked<Option<Duration>> {
    written.map(|written| sa::time(written.as_ref()).map_err(|problem| at(written, problem))).transpose()
}

fn dpd_delay(written: Option<&Spanned<Number>>) -> Checked<Option<Duration>> {
    match written {
        Some(written) if matches!(written.as_ref(), Number::Text(text) if text == "off") => Ok(None),
        written => Ok(Some(time(written)?.unwrap_or(DPD_DELAY))),
    }
}
