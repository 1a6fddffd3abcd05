//! Inbound SA: one ESP packet in, what it carries out (RFC 4303 §3.4).

mod check;

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Instant;

use twinmesh_packet::IpPacket;

use crate::cipher::Cipher;
use crate::counters::Counters;
use crate::keys::{KeyError, KeyMaterial};
use crate::lifetime::{LifetimeState, Used};
use crate::nat::{OriginalAddresses, repair_checksum};
use crate::parameters::{Mode, SaParameters};
use crate::reason::DropReason;
use crate::replay::ReplayWindow;
use crate::{lifetime, next_header};
use check::Check;

/// SPI and the sequence's low half.
const HEADER_LEN: usize = 8;
/// Pad length and next header.
const TRAILER_LEN: usize = 2;

/// Of the IP header around the ESP packet, as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    pub source: IpAddr,
    pub destination: IpAddr,
}

/// An authentic packet, opened in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub content: Content,
    /// Whether no packet with a higher sequence number came before: only such a packet may move a peer's
    /// address to where it came from (RFC 7296 §2.23), or an attacker who delays packets moves it back.
    pub newest: bool,
}

/// Ranges are of the buffer that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Tunnel mode: one whole IP packet.
    Packet(Range<usize>),
    /// Transport mode: what follows the headers that stayed outside.
    Payload { next_header: u8, range: Range<usize> },
    /// Nothing to deliver (RFC 4303 §2.6).
    Dummy,
}

/// Shared by all workers that receive on it.
pub struct InboundSa {
    parameters: SaParameters,
    cipher: Cipher,
    window: ReplayWindow,
    counters: Counters,
    made: Instant,
    original: Option<OriginalAddresses>,
    iv_len: usize,
    icv_len: usize,
    /// The cipher's block less one; blocks are powers of two.
    block_mask: usize,
    check: Check,
    limited: bool,
}

impl InboundSa {
    pub fn new(parameters: SaParameters, keys: &KeyMaterial, now: Instant) -> Result<Self, KeyError> {
        Self::with_top(parameters, keys, now, 0)
    }

    /// As if `top` had been the highest sequence number so far; for tests of the far end of the sequence space.
    pub fn with_top(
        parameters: SaParameters,
        keys: &KeyMaterial,
        now: Instant,
        top: u64,
    ) -> Result<Self, KeyError> {
        let suite = parameters.suite;
        Ok(Self {
            cipher: Cipher::new(suite, keys)?,
            window: ReplayWindow::with_top(parameters.replay_window, top),
            counters: Counters::new(),
            made: now,
            original: None,
            iv_len: suite.iv_len(),
            icv_len: suite.icv_len(),
            block_mask: suite.block().next_power_of_two() - 1,
            limited: parameters.lifetime.is_limited(),
            check: Check::needed_for(&parameters.selectors),
            parameters,
        })
    }

    /// For transport mode through a NAT: the addresses that the peer wrote into its own header, so that TCP and
    /// UDP checksums are made to fit those which arrive (RFC 7296 §2.23.1). Selectors are compared with the
    /// addresses that arrive, into which IKE has translated them.
    #[must_use]
    pub const fn behind_nat(mut self, original: OriginalAddresses) -> Self {
        self.original = Some(original);
        self
    }

    /// Opens the packet, SPI to ICV, in place. `outer` are the addresses around it; tunnel mode ignores them.
    ///
    /// After an error nothing in `packet` may be used. What is authentic counts as seen, even if the packet
    /// is then dropped for what it carries.
    pub fn open(&self, packet: &mut [u8], outer: Addresses, now: Instant) -> Result<Opened, DropReason> {
        let opened = self.try_open(packet, outer, now);
        match &opened {
            Ok(Opened { content: Content::Packet(_) | Content::Payload { .. }, .. }) => {}
            Ok(Opened { content: Content::Dummy, .. }) => self.counters.count_drop(DropReason::Dummy),
            Err(reason) => self.counters.count_drop(*reason),
        }
        opened
    }

    fn try_open(&self, packet: &mut [u8], outer: Addresses, now: Instant) -> Result<Opened, DropReason> {
        let sequence = self.authenticate(packet, now)?;
        // Looked at before the number is marked, so that packet and bytes are counted under the window's lock.
        let content = self.content(packet, outer);
        let newest = self.window.accept_and(sequence, || match &content {
            Ok(Content::Packet(range) | Content::Payload { range, .. }) => {
                self.counters.count_alone(range.len());
            }
            Ok(Content::Dummy) => self.counters.count_alone(0),
            Err(_) => {}
        })?;
        content.map(|content| Opened { content, newest })
    }

    pub const fn parameters(&self) -> &SaParameters {
        &self.parameters
    }

    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Highest authenticated sequence number, 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.window.top()
    }

    /// Moment from which its lifetime counts.
    pub const fn made(&self) -> Instant {
        self.made
    }

    /// Soft also when the peer has an eighth of its sequence numbers left.
    pub fn lifetime_state(&self, now: Instant) -> LifetimeState {
        let space = lifetime::state_of_space(self.sequence(), self.parameters.esn).min(LifetimeState::Soft);
        self.parameters.lifetime.state(self.used(now)).max(space)
    }

    fn used(&self, now: Instant) -> Used {
        Used {
            bytes: self.counters.bytes(),
            packets: self.counters.packets(),
            age: now.saturating_duration_since(self.made),
        }
    }

    /// The window first, because it is cheap, then the ICV; the window moves later still (RFC 4303 §3.4.3).
    /// Gives the whole sequence number.
    fn authenticate(&self, packet: &mut [u8], now: Instant) -> Result<u64, DropReason> {
        let ends = HEADER_LEN + self.iv_len + self.icv_len;
        let text_len = packet.len().checked_sub(ends).ok_or(DropReason::Truncated)?;
        if text_len < TRAILER_LEN || text_len & self.block_mask != 0 {
            return Err(DropReason::Truncated);
        }
        let [s0, s1, s2, s3, n0, n1, n2, n3, ..] = *packet else {
            return Err(DropReason::Truncated);
        };
        if u32::from_be_bytes([s0, s1, s2, s3]) != self.parameters.spi.get() {
            return Err(DropReason::UnknownSpi);
        }
        if self.limited && self.parameters.lifetime.is_over(self.used(now)) {
            return Err(DropReason::Expired);
        }
        let low = u32::from_be_bytes([n0, n1, n2, n3]);
        let sequence = self.window.precheck(low, self.parameters.esn)?;
        self.cipher.open(sequence, self.parameters.esn, packet).map_err(|_| DropReason::Forged)?;
        Ok(sequence)
    }

    fn content(&self, packet: &mut [u8], outer: Addresses) -> Result<Content, DropReason> {
        let start = HEADER_LEN + self.iv_len;
        let end = packet.len().saturating_sub(self.icv_len);
        let text = packet.get_mut(start..end).ok_or(DropReason::Truncated)?;
        let (next_header, payload) = without_trailer(text)?;
        if next_header == next_header::NONE {
            return Ok(Content::Dummy);
        }
        match self.parameters.mode {
            Mode::Tunnel => {
                let len = self.inner_packet(next_header, payload)?;
                Ok(Content::Packet(start..start + len))
            }
            Mode::Transport => {
                self.transport_payload(next_header, payload, outer)?;
                Ok(Content::Payload { next_header, range: start..start + payload.len() })
            }
        }
    }

    /// Length of the inner packet; what follows is TFC padding (RFC 4303 §2.7).
    fn inner_packet(&self, next_header: u8, payload: &[u8]) -> Result<usize, DropReason> {
        if !matches!(next_header, next_header::IPV4 | next_header::IPV6) {
            return Err(DropReason::NotTunnelled);
        }
        let inner = IpPacket::parse(payload).map_err(|_| DropReason::InnerMalformed)?;
        if next_header::of_family(inner.source()) != next_header {
            return Err(DropReason::InnerMalformed);
        }
        self.check.packet(&self.parameters.selectors, &inner)?;
        Ok(inner.bytes().len())
    }

    fn transport_payload(
        &self,
        next_header: u8,
        payload: &mut [u8],
        outer: Addresses,
    ) -> Result<(), DropReason> {
        if matches!(next_header, next_header::IPV4 | next_header::IPV6) {
            return Err(DropReason::NotTransported);
        }
        self.check.payload(&self.parameters.selectors, outer, next_header, payload)?;
        match self.original {
            Some(original) => {
                repair_checksum(payload, next_header, original, (outer.source, outer.destination))
            }
            None => Ok(()),
        }
    }
}

/// Next header, and the text without padding and trailer. It is authentic, so its time may depend on it.
fn without_trailer(text: &mut [u8]) -> Result<(u8, &mut [u8]), DropReason> {
    let (text, [pad_len, next_header]) = text.split_last_chunk_mut().ok_or(DropReason::Truncated)?;
    let payload_len = text.len().checked_sub(usize::from(*pad_len)).ok_or(DropReason::BadPadding)?;
    let (payload, padding) = text.split_at_mut_checked(payload_len).ok_or(DropReason::BadPadding)?;
    if padding.iter().zip(1..=u8::MAX).any(|(byte, count)| *byte != count) {
        return Err(DropReason::BadPadding);
    }
    Ok((*next_header, payload))
}

impl fmt::Debug for InboundSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundSa")
            .field("parameters", &self.parameters)
            .field("sequence", &self.sequence())
            .finish_non_exhaustive()
    }
}
