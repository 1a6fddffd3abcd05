//! The receiver's side of an AH SA (RFC 4302 §3.4).

use std::ops::Range;
use std::time::Instant;

use twinmesh_packet::IpPacket;

use super::canonical::{Canonical, End};
use super::layout::Layout;
use super::{AhParameters, FIXED_LEN, LONGEST_ICV_FIELD};
use crate::cipher::Mac;
use crate::counters::Counters;
use crate::keys::{KeyError, KeyMaterial};
use crate::lifetime::{LifetimeState, Used};
use crate::next_header::{IPV4, IPV6};
use crate::outer::decapsulate_ecn;
use crate::parameters::Mode;
use crate::reason::DropReason;
use crate::replay::ReplayWindow;
use crate::selector::Flow;
use crate::spi::Spi;
use crate::transport::rewrite_header;

/// Verifies packets and takes their authentication headers out; several threads may share it.
pub struct AhInboundSa {
    parameters: AhParameters,
    mac: Mac,
    window: ReplayWindow,
    counters: Counters,
    since: Instant,
}

/// What was in an authentic packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AhOpened {
    /// Where in the buffer the IP packet without AH now is.
    pub packet: Range<usize>,
    /// Whether no later one has been seen.
    pub newest: bool,
}

/// A packet whose lengths hold.
struct Parsed {
    layout: Layout,
    next_header: u8,
    ah_len: usize,
    /// The sequence number's low half.
    low: u32,
}

impl AhInboundSa {
    pub fn new(parameters: AhParameters, keys: &KeyMaterial, now: Instant) -> Result<Self, KeyError> {
        let window = ReplayWindow::new(parameters.replay_window);
        Self::with_window(parameters, keys, now, window)
    }

    /// With a window that has moved on; for tests of the end of the sequence space.
    pub fn with_window(
        parameters: AhParameters,
        keys: &KeyMaterial,
        now: Instant,
        window: ReplayWindow,
    ) -> Result<Self, KeyError> {
        let mac = Mac::new(parameters.suite.integrity(), keys)?;
        Ok(Self { parameters, mac, window, counters: Counters::new(), since: now })
    }

    pub const fn parameters(&self) -> &AhParameters {
        &self.parameters
    }

    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    pub const fn window(&self) -> &ReplayWindow {
        &self.window
    }

    pub fn lifetime_state(&self, now: Instant) -> LifetimeState {
        self.parameters.lifetime.state(self.used(now))
    }

    /// Opens a whole IP packet in place. Tunnel mode yields the packet inside, with the ECN mark of the
    /// header outside (RFC 6040); transport mode the packet as it was before AH went in.
    pub fn open(&self, packet: &mut [u8], now: Instant) -> Result<AhOpened, DropReason> {
        self.try_open(packet, now).inspect_err(|reason| self.counters.count_drop(*reason))
    }

    fn try_open(&self, packet: &mut [u8], now: Instant) -> Result<AhOpened, DropReason> {
        if self.parameters.lifetime.is_over(self.used(now)) {
            return Err(DropReason::Expired);
        }
        let parsed = self.parse(packet)?;
        let sequence = self.window.precheck(parsed.low, self.parameters.esn)?;
        self.verify(packet, &parsed, sequence)?;
        let newest = self.window.accept(sequence)?;
        let range = match self.parameters.mode {
            Mode::Tunnel => untunnel(packet, &parsed)?,
            Mode::Transport => take_out(packet, &parsed)?,
        };
        let inner = packet.get(range.clone()).ok_or(DropReason::InnerMalformed)?;
        let flow = Flow::of_packet(inner).map_err(|_| DropReason::InnerMalformed)?;
        if !self.parameters.selectors.allows_inbound(&flow) {
            return Err(DropReason::OutsideSelectors);
        }
        let headers_len = match self.parameters.mode {
            Mode::Tunnel => 0,
            Mode::Transport => parsed.layout.headers_len,
        };
        self.counters.count(inner.len() - headers_len);
        Ok(AhOpened { packet: range, newest })
    }

    fn parse(&self, packet: &[u8]) -> Result<Parsed, DropReason> {
        let layout = Layout::find(packet)?;
        let ah = packet.get(layout.headers_len..layout.total_len).ok_or(DropReason::Truncated)?;
        let [next_header, len, _, _, s0, s1, s2, s3, q0, q1, q2, q3] =
            *ah.first_chunk::<FIXED_LEN>().ok_or(DropReason::Truncated)?;
        if Spi::new(u32::from_be_bytes([s0, s1, s2, s3])) != Some(self.parameters.spi) {
            return Err(DropReason::UnknownSpi);
        }
        let ah_len = (usize::from(len) + 2) * 4;
        let suite = self.parameters.suite;
        // IPv4 peers differ in whether they pad as IPv6 does; the padding is authenticated either way.
        let expected = ah_len == suite.header_len(true) || !layout.v6 && ah_len == suite.header_len(false);
        if !expected || ah_len > ah.len() {
            return Err(DropReason::Truncated);
        }
        Ok(Parsed { layout, next_header, ah_len, low: u32::from_be_bytes([q0, q1, q2, q3]) })
    }

    /// RFC 4302 §3.4.4.
    fn verify(&self, packet: &[u8], parsed: &Parsed, sequence: u64) -> Result<(), DropReason> {
        let suite = self.parameters.suite;
        let whole = packet.get(..parsed.layout.total_len).ok_or(DropReason::Truncated)?;
        let (headers, rest) =
            whole.split_at_checked(parsed.layout.headers_len).ok_or(DropReason::Truncated)?;
        let (fixed, rest) = rest.split_first_chunk::<FIXED_LEN>().ok_or(DropReason::Truncated)?;
        let (field, rest) = rest.split_at_checked(suite.icv_field_len()).ok_or(DropReason::Truncated)?;
        let (iv, icv) = field.split_at_checked(suite.iv_len()).ok_or(DropReason::Truncated)?;
        let canonical = Canonical::new(headers, End::Receiver).map_err(|_| DropReason::InnerMalformed)?;
        let [h0, h1, h2, h3, ..] = sequence.to_be_bytes();
        let high = [h0, h1, h2, h3];
        let high: &[u8] = if self.parameters.esn { &high } else { &[] };
        let zero = [0; LONGEST_ICV_FIELD];
        let zero = zero.get(..field.len()).unwrap_or_default();
        let iv = iv.first_chunk().copied().unwrap_or_default();
        // `rest` is padding and payload, both as they came.
        self.mac
            .verify(&[canonical.bytes(), fixed, zero, rest, high], iv, icv)
            .map_err(|_| DropReason::Forged)
    }

    fn used(&self, now: Instant) -> Used {
        Used {
            bytes: self.counters.bytes(),
            packets: self.counters.packets(),
            age: now.saturating_duration_since(self.since),
        }
    }
}

/// RFC 4301 §5.2: the packet inside is one, of the family that AH announces, and fits.
fn untunnel(packet: &mut [u8], parsed: &Parsed) -> Result<Range<usize>, DropReason> {
    let v6 = match parsed.next_header {
        IPV4 => false,
        IPV6 => true,
        _ => return Err(DropReason::NotTunnelled),
    };
    let class = traffic_class(packet).ok_or(DropReason::InnerMalformed)?;
    let start = parsed.layout.headers_len + parsed.ah_len;
    let inner = packet.get_mut(start..parsed.layout.total_len).ok_or(DropReason::InnerMalformed)?;
    let ip = IpPacket::parse(inner).map_err(|_| DropReason::InnerMalformed)?;
    if ip.source().is_ipv6() != v6 {
        return Err(DropReason::InnerMalformed);
    }
    let len = ip.bytes().len();
    decapsulate_ecn(class, inner)?;
    Ok(start..start + len)
}

/// Moves the headers over AH to the payload, and makes them say what they said before.
fn take_out(packet: &mut [u8], parsed: &Parsed) -> Result<Range<usize>, DropReason> {
    if matches!(parsed.next_header, IPV4 | IPV6) {
        return Err(DropReason::NotTransported);
    }
    let Layout { headers_len, total_len, .. } = parsed.layout;
    let range = parsed.ah_len..total_len;
    packet.copy_within(..headers_len, parsed.ah_len);
    let headers = packet
        .get_mut(range.clone())
        .and_then(|packet| packet.get_mut(..headers_len))
        .ok_or(DropReason::InnerMalformed)?;
    let payload_len = total_len - headers_len - parsed.ah_len;
    rewrite_header(headers, parsed.next_header, payload_len).ok_or(DropReason::InnerMalformed)?;
    Ok(range)
}

fn traffic_class(packet: &[u8]) -> Option<u8> {
    match packet {
        [0x40..=0x4f, tos, ..] => Some(*tos),
        [first @ 0x60..=0x6f, second, ..] => Some(first << 4 | second >> 4),
        _ => None,
    }
}
