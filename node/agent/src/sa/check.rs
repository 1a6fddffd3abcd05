//! From the written tables to checked SAs.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use twinmesh_dataplane::esp::{DscpPolicy, Lifetime, Limits, Mode, OuterPolicy, SaParameters, Spi, Suite};
use twinmesh_dataplane::{Encapsulation, EspConfig, EspPath};

use super::error::{Problem, SaFileError};
use super::file::{File, LifetimeTable, LimitsTable, ModeName, Number, SaTable};
use super::suite::{inbound_spi, key, spi, suite};
use super::traffic::{ends, traffic};
use super::{KeyDigest, ManualSa, quantity};

pub(crate) const DEFAULT_PATH_MTU: u16 = 1500;
pub(crate) const DEFAULT_REPLAY_WINDOW: u32 = 4096;
const LONGEST_NAME: usize = 64;

/// A fault and the place of the value that causes it.
pub(crate) struct Fault {
    pub(crate) span: Range<usize>,
    pub(crate) problem: Problem,
}

pub(crate) type Checked<T> = Result<T, Fault>;

/// Ties a problem to the value's place.
pub(super) fn at<T>(value: &Spanned<T>, problem: Problem) -> Fault {
    Fault { span: value.span(), problem }
}

pub(super) fn check(text: &str, file: &str) -> Result<Vec<ManualSa>, SaFileError> {
    let line_of = |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
    let wrong = |offset, problem| SaFileError { file: file.to_owned(), line: line_of(offset), problem };
    let tables: File = toml::from_str(text).map_err(|error| {
        let message = error.message().trim_end().replace('\n', "; ");
        wrong(error.span().map_or(0, |span| span.start), Problem::Toml(message))
    })?;
    if tables.sa.is_empty() {
        return Err(wrong(0, Problem::Empty));
    }
    let mut taken = Taken::default();
    tables
        .sa
        .into_iter()
        .map(|table| manual_sa(table, &mut taken).map_err(|fault| wrong(fault.span.start, fault.problem)))
        .collect()
}

/// What no two SAs of a file may share.
#[derive(Default)]
struct Taken {
    names: BTreeSet<String>,
    spis: BTreeSet<Spi>,
    keys: BTreeSet<KeyDigest>,
}

fn manual_sa(table: SaTable, taken: &mut Taken) -> Checked<ManualSa> {
    name(&table.name, &mut taken.names)?;
    let suite = suite(&table)?;
    let ends = ends(&table)?;
    let (selectors, destinations) = traffic(&table, &ends)?;
    let mode = match table.mode.as_ref() {
        ModeName::Tunnel => Mode::Tunnel,
        ModeName::Transport => Mode::Transport,
    };
    let path_mtu = path_mtu(table.path_mtu.as_ref(), ends.remote.is_ipv4())?;
    let (tfc_multiple, tfc_limit) = tfc(table.tfc.as_ref(), mode, longest_plaintext(path_mtu, &ends, suite))?;
    let inbound = SaParameters {
        spi: inbound_spi(&table.inbound.spi, &mut taken.spis)?,
        suite,
        mode,
        esn: table.esn,
        selectors,
        lifetime: lifetime(table.lifetime.as_ref())?,
        replay_window: replay_window(table.replay_window.as_ref())?,
        tfc_multiple: 0,
        tfc_limit: 0,
        align_8: needs_alignment_of_8(&ends),
    };
    let outbound =
        SaParameters { spi: spi(&table.outbound.spi)?, tfc_multiple, tfc_limit, ..inbound.clone() };
    let outer = outer(&table)?;
    let (inbound_key, inbound_digest) = key(table.inbound.key, suite, &mut taken.keys)?;
    let (outbound_key, outbound_digest) = key(table.outbound.key, suite, &mut taken.keys)?;
    Ok(ManualSa {
        config: EspConfig {
            name: table.name.into_inner(),
            inbound,
            inbound_key,
            outbound,
            outbound_key,
            path: ends,
            follow_remote: follow_remote(table.follow_remote.as_ref(), ends)?,
            original: None,
            follows: None,
            guard: None,
            peer: None,
            outer,
            path_mtu,
            partial_checksums: partial_checksums(table.partial_checksums.as_ref(), mode)?,
        },
        destinations,
        keys: [inbound_digest, outbound_digest],
    })
}

fn name(written: &Spanned<String>, taken: &mut BTreeSet<String>) -> Checked<()> {
    let name = written.as_ref();
    if !is_name(name) {
        return Err(at(written, Problem::Name(name.clone())));
    }
    if !taken.insert(name.clone()) {
        return Err(at(written, Problem::NameTwice(name.clone())));
    }
    Ok(())
}

/// Fit for files, logs and command lines.
pub(crate) fn is_name(name: &str) -> bool {
    let letters =
        name.bytes().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'.' | b'_' | b'-'));
    let begins = name.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    letters && begins && name.len() <= LONGEST_NAME
}

/// The kernel completes the checksums of packets that come out of a tunnel; in transport mode none comes out.
fn partial_checksums(written: Option<&Spanned<bool>>, mode: Mode) -> Checked<bool> {
    match written {
        Some(written) if *written.as_ref() && mode == Mode::Transport => {
            Err(at(written, Problem::PartialInTransport))
        }
        written => Ok(written.is_some_and(|written| *written.as_ref())),
    }
}

fn number_within(written: &Spanned<Number>, least: u32, most: u32) -> Option<u32> {
    let number = match written.as_ref() {
        Number::Integer(number) => u32::try_from(*number).ok()?,
        Number::Text(text) => text.parse().ok()?,
    };
    (least..=most).contains(&number).then_some(number)
}

pub(crate) fn replay_window(written: Option<&Spanned<Number>>) -> Checked<u32> {
    let Some(written) = written else { return Ok(DEFAULT_REPLAY_WINDOW) };
    number_within(written, 32, 65_536)
        .ok_or_else(|| at(written, Problem::ReplayWindow(written.as_ref().to_string())))
}

pub(crate) fn path_mtu(written: Option<&Spanned<Number>>, is_ipv4: bool) -> Checked<u16> {
    let Some(written) = written else { return Ok(DEFAULT_PATH_MTU) };
    // RFC 791 and RFC 8200 §5: what every path carries.
    let least = if is_ipv4 { 576 } else { 1280 };
    number_within(written, least.into(), u16::MAX.into())
        .and_then(|mtu| u16::try_from(mtu).ok())
        .ok_or_else(|| at(written, Problem::PathMtu { given: written.as_ref().to_string(), least }))
}

fn follow_remote(written: Option<&Spanned<bool>>, ends: EspPath) -> Checked<bool> {
    match (written.filter(|written| *written.as_ref()), ends.encapsulation) {
        (Some(written), Encapsulation::Raw) => Err(at(written, Problem::FollowRaw)),
        (written, _) => Ok(written.is_some()),
    }
}

/// RFC 8200 §4: in IPv6 ESP is an extension header. Inside UDP nothing has to be a multiple of 8 bytes.
pub(crate) const fn needs_alignment_of_8(path: &EspPath) -> bool {
    matches!(path.encapsulation, Encapsulation::Raw) && path.remote.is_ipv6()
}

/// What is left of the path's MTU after all headers and the worst alignment.
fn longest_plaintext(path_mtu: u16, ends: &EspPath, suite: Suite) -> u16 {
    let outer = if ends.remote.is_ipv4() { 20 } else { 40 };
    let udp = if ends.encapsulation == Encapsulation::Udp { 8 } else { 0 };
    let alignment = if needs_alignment_of_8(ends) { 8 } else { 4 };
    // SPI and sequence number; IV; padding to the block, or for alignment; pad length and next header; ICV.
    let around = outer + udp + 8 + suite.iv_len() + suite.block().max(alignment) + 2 + suite.icv_len();
    path_mtu.saturating_sub(u16::try_from(around).unwrap_or(u16::MAX))
}

fn tfc(written: Option<&Spanned<Number>>, mode: Mode, limit: u16) -> Checked<(u16, u16)> {
    let Some(written) = written else { return Ok((0, 0)) };
    if mode == Mode::Transport {
        return Err(at(written, Problem::TfcInTransport));
    }
    let multiple = number_within(written, 4, 9_000).and_then(|multiple| u16::try_from(multiple).ok());
    let multiple = multiple.ok_or_else(|| at(written, Problem::Tfc(written.as_ref().to_string())))?;
    Ok((multiple, limit))
}

fn outer(table: &SaTable) -> Checked<OuterPolicy> {
    let dscp = match &table.dscp {
        None => DscpPolicy::Copy,
        Some(written) if matches!(written.as_ref(), Number::Text(text) if text == "copy") => DscpPolicy::Copy,
        Some(written) => number_within(written, 0, 63)
            .and_then(|dscp| u8::try_from(dscp).ok())
            .map(DscpPolicy::Fixed)
            .ok_or_else(|| at(written, Problem::Dscp(written.as_ref().to_string())))?,
    };
    Ok(OuterPolicy { dscp, ..OuterPolicy::default() })
}

fn lifetime(table: Option<&LifetimeTable>) -> Checked<Lifetime> {
    let Some(LifetimeTable { soft, hard }) = table else { return Ok(Lifetime::default()) };
    let lifetime = Lifetime { soft: limits(soft)?, hard: limits(hard)? };
    let (early, late) = (&lifetime.soft, &lifetime.hard);
    ordered(early.bytes, late.bytes, hard.bytes.as_ref())?;
    ordered(early.packets, late.packets, hard.packets.as_ref())?;
    ordered(early.time, late.time, hard.time.as_ref())?;
    Ok(lifetime)
}

fn ordered<T: Ord>(soft: Option<T>, hard: Option<T>, place: Option<&Spanned<Number>>) -> Checked<()> {
    match (soft, hard, place) {
        (Some(soft), Some(hard), Some(place)) if soft > hard => Err(at(place, Problem::LimitOrder)),
        _ => Ok(()),
    }
}

fn limits(table: &LimitsTable) -> Checked<Limits> {
    Ok(Limits {
        bytes: limit(table.bytes.as_ref(), quantity::bytes)?,
        packets: limit(table.packets.as_ref(), quantity::packets)?,
        time: limit(table.time.as_ref(), quantity::time)?,
    })
}

fn limit<T>(
    written: Option<&Spanned<Number>>,
    read: fn(&Number) -> Result<T, Problem>,
) -> Checked<Option<T>> {
    written.map(|written| read(written.as_ref()).map_err(|problem| at(written, problem))).transpose()
}
