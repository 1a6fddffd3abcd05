//! From the written tables to a checked site.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use twinmesh_ike::config::{
    EncapsulationPolicy, Legacy, Lifetime, Proposal, Protocol, Quirks, Remote, StartAction, Vendor,
};

use super::Site;
use super::child::child;
use super::credentials::auth;
use super::error::{Problem, SiteFileError};
use super::file::{EncapsulationName, SiteTable, StartName};
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

pub(super) fn check(text: &str, file: &str, folder: &Path) -> Result<Site, SiteFileError> {
    let line_of = |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
    let wrong = |offset, problem| SiteFileError { file: file.to_owned(), line: line_of(offset), problem };
    let table: SiteTable = toml::from_str(text).map_err(|error| {
        let message = error.message().trim_end().replace('\n', "; ");
        wrong(error.span().map_or(0, |span| span.start), Problem::Toml(message))
    })?;
    site(&table, folder).map_err(|fault| wrong(fault.span.start, fault.problem))
}

fn site(table: &SiteTable, folder: &Path) -> Checked<Site> {
    name(&table.name)?;
    let remote = remote(&table.remote)?;
    let local = table.local.as_ref().map(|written| local(written, remote)).transpose()?;
    let legacy = if table.allow_legacy { Legacy::Allowed } else { Legacy::Refused };
    let auth = auth(&table.auth, folder, legacy, &table.remote, remote)?;
    if table.child.is_empty() {
        return Err(at(&table.name, Problem::NoChild));
    }
    let mut names = BTreeSet::new();
    let children = table
        .child
        .iter()
        .map(|written| child(written, remote, legacy, &mut names))
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
        start: start(table.start.as_ref(), remote)?,
        proposals: proposals(table.proposals.as_ref(), Protocol::Ike, legacy)?,
        lifetime: time(table.rekey_time.as_ref())?.map_or_else(Lifetime::of_ike, Lifetime::of),
        dpd_delay: dpd_delay(table.dpd_delay.as_ref())?,
        mobike: table.mobike.unwrap_or(true),
        reauth: time(table.reauth_time.as_ref())?,
        quirks: Quirks::default(),
        credentials: auth.credentials,
        weakness: auth.weakness,
        local_identity: auth.local_identity,
        remote_identity: auth.remote_identity,
        children,
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
        Remote::At(_) | Remote::Anywhere => Ok(local),
    }
}

fn vendor(written: &Spanned<String>) -> Checked<Vendor> {
    written.as_ref().parse().map_err(|error: twinmesh_ike::config::UnknownVendor| at(written, error))
}

fn start(written: Option<&Spanned<StartName>>, remote: Remote) -> Checked<StartAction> {
    match (written, remote) {
        (Some(written), Remote::Anywhere) if *written.as_ref() == StartName::Start => {
            Err(at(written, Problem::StartAnywhere))
        }
        (_, Remote::Anywhere) => Ok(StartAction::None),
        (written, Remote::At(_)) => Ok(start_action(written)),
    }
}

pub(super) fn start_action(written: Option<&Spanned<StartName>>) -> StartAction {
    match written.map(AsRef::as_ref) {
        Some(StartName::Start) | None => StartAction::Start,
        Some(StartName::None) => StartAction::None,
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
