//! Outbound SA: one IP packet in, one ESP packet out (RFC 4303 §3.3).

mod run;

use std::fmt;
use std::time::Instant;

use crate::cipher::Cipher;
use crate::counters::Counters;
use crate::keys::{KeyError, KeyMaterial};
use crate::lifetime::{LifetimeState, Used};
use crate::parameters::{Mode, SaParameters};
use crate::reason::SealError;
use crate::transport::split_transport;
use crate::{lifetime, next_header};
pub use run::Run;

/// SPI and the sequence's low half.
const HEADER_LEN: usize = 8;
/// Pad length and next header.
const TRAILER_LEN: usize = 2;

/// Shared by all workers that send on it.
///
/// Its sequence number is the IV of counter modes, so it must never be seen twice under one key: an SA can
/// neither be cloned nor stored, and a restart needs new keys.
///
/// ```compile_fail
/// fn twice(sa: &twinmesh_esp::OutboundSa) -> twinmesh_esp::OutboundSa { sa.clone() }
/// ```
pub struct OutboundSa {
    parameters: SaParameters,
    cipher: Cipher,
    /// Sequence numbers given out before the first packet of `counters`: 0, but in tests.
    used_before: u64,
    /// Its packets are the sequence numbers given out: one counter, and one locked instruction, for both.
    counters: Counters,
    made: Instant,
    iv_len: usize,
    icv_len: usize,
    /// The plaintext with its trailer is a multiple of this.
    alignment: usize,
    limited: bool,
}

impl OutboundSa {
    pub fn new(parameters: SaParameters, keys: &KeyMaterial, now: Instant) -> Result<Self, KeyError> {
        Self::with_sequence(parameters, keys, now, 0)
    }

    /// As if `last` sequence numbers had been used. For tests of the far end of the sequence space: resuming
    /// an SA that way gives its secrets away as soon as the number is one too low.
    pub fn with_sequence(
        parameters: SaParameters,
        keys: &KeyMaterial,
        now: Instant,
        last: u64,
    ) -> Result<Self, KeyError> {
        let suite = parameters.suite;
        Ok(Self {
            cipher: Cipher::new(suite, keys)?,
            used_before: last,
            counters: Counters::new(),
            made: now,
            iv_len: suite.iv_len(),
            icv_len: suite.icv_len(),
            // RFC 4303 §2.4: 32-bit alignment, or the block of the cipher.
            alignment: suite.block().max(if parameters.align_8 { 8 } else { 4 }),
            limited: parameters.lifetime.is_limited(),
            parameters,
        })
    }

    /// Seals one whole IP packet into the beginning of `out`: SPI to ICV, without any outer header. Returns
    /// the length.
    ///
    /// In transport mode what comes out is what goes behind the headers that [`split_transport`] leaves outside.
    pub fn seal(&self, packet: &[u8], out: &mut [u8], now: Instant) -> Result<usize, SealError> {
        let sealed = self.payload(packet).and_then(|(next_header, payload)| {
            self.protect_one(payload.len(), self.tfc_len(payload.len()), out, now, |text| {
                text.copy_from_slice(payload);
                Some(next_header)
            })
        });
        sealed.inspect_err(|error| self.counters.count_refusal(*error))
    }

    /// As [`Self::seal`], for a packet of `len` bytes that `write` makes where it is to lie; it says whether it could. For
    /// tunnel mode: transport mode, which takes packets apart, refuses it as malformed.
    pub fn seal_with(
        &self,
        len: usize,
        out: &mut [u8],
        now: Instant,
        write: impl FnOnce(&mut [u8]) -> bool,
    ) -> Result<usize, SealError> {
        let sealed = match self.parameters.mode {
            Mode::Tunnel => self.protect_one(len, self.tfc_len(len), out, now, |text| {
                write(text).then(|| next_header::of_whole_packet(text)).flatten()
            }),
            Mode::Transport => Err(SealError::Malformed),
        };
        sealed.inspect_err(|error| self.counters.count_refusal(*error))
    }

    /// Seals a dummy as long as a packet of `length` bytes, which the receiver drops (RFC 4303 §2.6).
    pub fn seal_dummy(&self, length: u16, out: &mut [u8], now: Instant) -> Result<usize, SealError> {
        let sealed = self.protect_one(0, length.into(), out, now, |_| Some(next_header::NONE));
        sealed.inspect_err(|error| self.counters.count_refusal(*error))
    }

    /// Bytes that [`Self::seal`] writes for a payload of so many: a whole packet in tunnel mode, what is inside ESP
    /// in transport mode.
    pub fn sealed_len(&self, payload_len: usize) -> usize {
        self.protected_len(self.tfc_len(payload_len))
    }

    /// Most bytes that protection adds to a payload, TFC padding apart.
    pub const fn overhead(&self) -> usize {
        HEADER_LEN + self.iv_len + self.alignment - 1 + TRAILER_LEN + self.icv_len
    }

    /// Longest payload that leaves the sealed packet within `room` bytes, TFC padding apart; 0 if none does.
    pub const fn max_payload(&self, room: usize) -> usize {
        let text = room.saturating_sub(HEADER_LEN + self.iv_len + self.icv_len);
        (text / self.alignment * self.alignment).saturating_sub(TRAILER_LEN)
    }

    pub const fn parameters(&self) -> &SaParameters {
        &self.parameters
    }

    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Last sequence number used, 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.used_before.saturating_add(self.counters.packets())
    }

    /// Moment from which its lifetime counts.
    pub const fn made(&self) -> Instant {
        self.made
    }

    /// Soft also when an eighth of the sequence numbers is left, hard when none is: without ESN a fast SA uses
    /// them up within the hour.
    pub fn lifetime_state(&self, now: Instant) -> LifetimeState {
        let space = lifetime::state_of_space(self.sequence(), self.parameters.esn);
        self.parameters.lifetime.state(self.used(now)).max(space)
    }

    fn used(&self, now: Instant) -> Used {
        Used {
            bytes: self.counters.bytes(),
            packets: self.counters.packets(),
            age: now.saturating_duration_since(self.made),
        }
    }

    /// What goes inside, and its next header.
    fn payload<'a>(&self, packet: &'a [u8]) -> Result<(u8, &'a [u8]), SealError> {
        let next_header = next_header::of_whole_packet(packet).ok_or(SealError::Malformed)?;
        match self.parameters.mode {
            Mode::Tunnel => Ok((next_header, packet)),
            Mode::Transport => {
                let header = split_transport(packet)?;
                let payload = packet.get(header.header_len..).ok_or(SealError::Malformed)?;
                Ok((header.next_header, payload))
            }
        }
    }

    /// Length with TFC padding. Transport mode has none: its payload need not say where it ends (RFC 4303 §2.7).
    fn tfc_len(&self, len: usize) -> usize {
        let multiple = usize::from(self.parameters.tfc_multiple);
        if multiple == 0 || self.parameters.mode == Mode::Transport {
            return len;
        }
        let limit = usize::from(self.parameters.tfc_limit);
        len.checked_next_multiple_of(multiple).map_or(len, |padded| padded.min(limit)).max(len)
    }

    fn protected_len(&self, padded_len: usize) -> usize {
        let text_len = (padded_len + TRAILER_LEN).next_multiple_of(self.alignment);
        HEADER_LEN + self.iv_len + text_len + self.icv_len
    }

    /// As [`Self::protect`], if the SA still lives.
    fn protect_one(
        &self,
        payload_len: usize,
        padded_len: usize,
        out: &mut [u8],
        now: Instant,
        write: impl FnOnce(&mut [u8]) -> Option<u8>,
    ) -> Result<usize, SealError> {
        if self.limited && self.parameters.lifetime.is_over(self.used(now)) {
            return Err(SealError::Expired);
        }
        let len = self.protect(payload_len, padded_len, out, || self.next_sequence(), write)?;
        self.counters.count_bytes(payload_len);
        Ok(len)
    }

    /// `write` makes the payload where it is to lie, and says what it is; after it `number` gives the sequence number.
    fn protect(
        &self,
        payload_len: usize,
        padded_len: usize,
        out: &mut [u8],
        number: impl FnOnce() -> Result<u64, SealError>,
        write: impl FnOnce(&mut [u8]) -> Option<u8>,
    ) -> Result<usize, SealError> {
        let len = self.protected_len(padded_len);
        let sealed = out.get_mut(..len).ok_or(SealError::BufferTooShort)?;
        let (header, rest) = sealed.split_first_chunk_mut::<HEADER_LEN>().ok_or(SealError::BufferTooShort)?;
        self.write_text(payload_len, padded_len, rest, write)?;
        let sequence = number()?;
        // One store, since the cipher reads it back at once as one word.
        let spi_and_low = u64::from(self.parameters.spi.get()) << 32 | sequence & u64::from(u32::MAX);
        *header = spi_and_low.to_be_bytes();
        self.cipher.seal(sequence, self.parameters.esn, sealed);
        Ok(len)
    }

    /// What is encrypted, between IV and ICV.
    #[expect(clippy::cast_possible_truncation, reason = "padding is shorter than the cipher's block")]
    fn write_text(
        &self,
        payload_len: usize,
        padded_len: usize,
        rest: &mut [u8],
        write: impl FnOnce(&mut [u8]) -> Option<u8>,
    ) -> Result<(), SealError> {
        let text_len = rest.len().checked_sub(self.iv_len + self.icv_len);
        let text = text_len.and_then(|len| rest.get_mut(self.iv_len..)?.get_mut(..len));
        let text = text.and_then(|text| text.split_at_mut_checked(payload_len));
        let (payload, tail) = text.ok_or(SealError::BufferTooShort)?;
        let next_header = write(payload).ok_or(SealError::Malformed)?;
        let tfc_len = padded_len.saturating_sub(payload_len);
        let (tfc, trailer) = tail.split_at_mut_checked(tfc_len).ok_or(SealError::BufferTooShort)?;
        if !tfc.is_empty() {
            tfc.fill(0);
        }
        // 1, 2, 3… (RFC 4303 §2.4).
        let (padding, ends) =
            trailer.split_last_chunk_mut::<TRAILER_LEN>().ok_or(SealError::BufferTooShort)?;
        *ends = [padding.len() as u8, next_header];
        for (byte, count) in padding.iter_mut().zip(1..=u8::MAX) {
            *byte = count;
        }
        Ok(())
    }

    /// The next number, until all are used. Never wraps, however many callers try (RFC 4303 §3.3.3).
    fn next_sequence(&self) -> Result<u64, SealError> {
        let before = self.counters.take_packets(1, self.numbers_left());
        Ok(self.used_before + before.ok_or(SealError::SequenceExhausted)? + 1)
    }

    /// How many packets it can number, all in all.
    const fn numbers_left(&self) -> u64 {
        lifetime::sequence_limit(self.parameters.esn).saturating_sub(self.used_before)
    }
}

impl fmt::Debug for OutboundSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundSa")
            .field("parameters", &self.parameters)
            .field("sequence", &self.sequence())
            .finish_non_exhaustive()
    }
}
