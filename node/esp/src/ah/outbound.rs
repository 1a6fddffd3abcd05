//! The sender's side of an AH SA (RFC 4302 §3.3).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use twinmesh_packet::IpPacket;

use super::canonical::{Canonical, End};
use super::{AH, AhParameters, FIXED_LEN, LONGEST_ICV_FIELD};
use crate::cipher::Mac;
use crate::counters::Counters;
use crate::keys::{KeyError, KeyMaterial};
use crate::lifetime::{LifetimeState, Used};
use crate::next_header;
use crate::outer::{OuterHeader, write_ip_header};
use crate::parameters::Mode;
use crate::reason::SealError;
use crate::transport::{rewrite_header, split_transport};

/// Puts authentication headers into packets; several threads may share it.
pub struct AhOutboundSa {
    parameters: AhParameters,
    mac: Mac,
    /// Last one used.
    sequence: AtomicU64,
    counters: Counters,
    since: Instant,
}

/// A packet as it will be sent.
struct Plan<'a> {
    headers_len: usize,
    next_header: u8,
    payload: &'a [u8],
    ah_len: usize,
}

impl Plan<'_> {
    fn total_len(&self) -> usize {
        self.headers_len + self.ah_len + self.payload.len()
    }
}

impl AhOutboundSa {
    pub fn new(parameters: AhParameters, keys: &KeyMaterial, now: Instant) -> Result<Self, KeyError> {
        Self::with_sequence(parameters, keys, now, 0)
    }

    /// As if `sequence` packets had been sent already; for tests of the end of the sequence space. With keys
    /// that were in use it would repeat sequence numbers, which receivers drop, and with GMAC give away the
    /// key.
    pub fn with_sequence(
        parameters: AhParameters,
        keys: &KeyMaterial,
        now: Instant,
        sequence: u64,
    ) -> Result<Self, KeyError> {
        let mac = Mac::new(parameters.suite.integrity(), keys)?;
        let sequence = AtomicU64::new(sequence);
        Ok(Self { parameters, mac, sequence, counters: Counters::new(), since: now })
    }

    pub const fn parameters(&self) -> &AhParameters {
        &self.parameters
    }

    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Last sequence number used, 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    pub fn lifetime_state(&self, now: Instant) -> LifetimeState {
        self.parameters.lifetime.state(self.used(now))
    }

    /// Bytes that [`Self::seal`] adds, if the packet that leaves is IPv6 or IPv4.
    pub fn overhead(&self, outer_v6: bool) -> usize {
        let outer = match (self.parameters.mode, outer_v6) {
            (Mode::Transport, _) => 0,
            (Mode::Tunnel, false) => 20,
            (Mode::Tunnel, true) => 40,
        };
        outer + self.ah_len(outer_v6)
    }

    /// Writes `packet`, a whole IP packet, with its authentication header to `out` and returns the length.
    /// Tunnel mode needs the header outside, whose protocol is AH whatever it says; transport mode has none.
    pub fn seal(
        &self,
        packet: &[u8],
        outer: Option<&OuterHeader>,
        out: &mut [u8],
        now: Instant,
    ) -> Result<usize, SealError> {
        self.try_seal(packet, outer, out, now).inspect_err(|reason| self.counters.count_refusal(*reason))
    }

    fn try_seal(
        &self,
        packet: &[u8],
        outer: Option<&OuterHeader>,
        out: &mut [u8],
        now: Instant,
    ) -> Result<usize, SealError> {
        if self.parameters.lifetime.is_over(self.used(now)) {
            return Err(SealError::Expired);
        }
        let packet = IpPacket::parse(packet).map_err(|_| SealError::Malformed)?;
        let plan = match (self.parameters.mode, outer) {
            (Mode::Tunnel, Some(outer)) => self.tunnel(&packet, outer, out)?,
            (Mode::Transport, None) => self.transport(&packet, out)?,
            (Mode::Tunnel, None) | (Mode::Transport, Some(_)) => return Err(SealError::Malformed),
        };
        let total_len = plan.total_len();
        let out = out.get_mut(..total_len).ok_or(SealError::BufferTooShort)?;
        let (headers, ah) = out.split_at_mut_checked(plan.headers_len).ok_or(SealError::BufferTooShort)?;
        let canonical = Canonical::new(headers, End::Sender).map_err(|_| SealError::Malformed)?;
        // Nothing can fail from here on, so no sequence number is spent in vain.
        let sequence = self.next_sequence()?;
        self.authenticate(&canonical, &plan, sequence, ah)?;
        self.counters.count(plan.payload.len());
        Ok(total_len)
    }

    /// Writes the header outside (RFC 4302 §3.1.2).
    fn tunnel<'a>(
        &self,
        packet: &IpPacket<'a>,
        outer: &OuterHeader,
        out: &mut [u8],
    ) -> Result<Plan<'a>, SealError> {
        let ah_len = self.ah_len(outer.destination.is_ipv6());
        let header = OuterHeader { protocol: AH, ..*outer };
        let headers_len = write_ip_header(&header, ah_len + packet.bytes().len(), out)?;
        let next_header = next_header::of_family(packet.source());
        Ok(Plan { headers_len, next_header, payload: packet.bytes(), ah_len })
    }

    /// Copies the headers that stay before AH (RFC 4302 §3.1.1) and makes them announce it.
    fn transport<'a>(&self, packet: &IpPacket<'a>, out: &mut [u8]) -> Result<Plan<'a>, SealError> {
        let split = split_transport(packet.bytes())?;
        let v6 = packet.source().is_ipv6();
        let ah_len = self.ah_len(v6);
        let (from, payload) =
            packet.bytes().split_at_checked(split.header_len).ok_or(SealError::Malformed)?;
        let headers = out.get_mut(..split.header_len).ok_or(SealError::BufferTooShort)?;
        headers.copy_from_slice(from);
        rewrite_header(headers, AH, ah_len + payload.len()).ok_or(SealError::Malformed)?;
        Ok(Plan { headers_len: split.header_len, next_header: split.next_header, payload, ah_len })
    }

    /// `out` begins where AH does, and is as long as AH and payload.
    fn authenticate(
        &self,
        canonical: &Canonical,
        plan: &Plan<'_>,
        sequence: u64,
        out: &mut [u8],
    ) -> Result<(), SealError> {
        let suite = self.parameters.suite;
        let (ah, payload) = out.split_at_mut_checked(plan.ah_len).ok_or(SealError::BufferTooShort)?;
        payload.copy_from_slice(plan.payload);
        let (fixed, rest) = ah.split_first_chunk_mut::<FIXED_LEN>().ok_or(SealError::BufferTooShort)?;
        let (field, padding) =
            rest.split_at_mut_checked(suite.icv_field_len()).ok_or(SealError::BufferTooShort)?;
        padding.fill(0);
        let [h0, h1, h2, h3, q0, q1, q2, q3] = sequence.to_be_bytes();
        let [s0, s1, s2, s3] = self.parameters.spi.get().to_be_bytes();
        // RFC 4302 §2.2: in 32-bit words, less 2.
        let len = u8::try_from(plan.ah_len / 4 - 2).map_err(|_| SealError::Malformed)?;
        *fixed = [plan.next_header, len, 0, 0, s0, s1, s2, s3, q0, q1, q2, q3];
        let high = [h0, h1, h2, h3];
        let high: &[u8] = if self.parameters.esn { &high } else { &[] };
        let zero = [0; LONGEST_ICV_FIELD];
        let zero = zero.get(..field.len()).unwrap_or_default();
        let (iv, icv) = field.split_at_mut_checked(suite.iv_len()).ok_or(SealError::BufferTooShort)?;
        if let Some(iv) = iv.first_chunk_mut() {
            *iv = sequence.to_be_bytes();
        }
        let pieces = [canonical.bytes(), fixed, zero, padding, payload, high];
        self.mac.compute(&pieces, sequence.to_be_bytes(), icv);
        Ok(())
    }

    /// RFC 4302 §3.3.2: the counter never wraps, also with several threads at its end.
    fn next_sequence(&self) -> Result<u64, SealError> {
        let last = if self.parameters.esn { u64::MAX } else { u32::MAX.into() };
        self.sequence
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| (used < last).then(|| used + 1))
            .map(|used| used + 1)
            .map_err(|_| SealError::SequenceExhausted)
    }

    const fn ah_len(&self, v6: bool) -> usize {
        self.parameters.suite.header_len(v6 || self.parameters.align_8)
    }

    fn used(&self, now: Instant) -> Used {
        Used {
            bytes: self.counters.bytes(),
            packets: self.counters.packets(),
            age: now.saturating_duration_since(self.since),
        }
    }
}
