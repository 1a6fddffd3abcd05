use super::error::{WireError, WireErrorKind};
use super::registry::PayloadType;

/// Takes fields from the front of a slice, and knows where it is. It cannot overrun.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
    payload: Option<PayloadType>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], offset: usize, payload: Option<PayloadType>) -> Self {
        Self { rest: bytes, offset, payload }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or_else(|| self.error(WireErrorKind::Truncated))?;
        self.advance(rest, length);
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) =
            self.rest.split_first_chunk::<N>().ok_or_else(|| self.error(WireErrorKind::Truncated))?;
        let taken = *taken;
        self.advance(rest, N);
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A part whose length field has been read: `length` counts the `header` bytes before it too.
    pub(super) fn part(&mut self, length: u16, header: usize) -> Result<Reader<'a>, WireError> {
        let length = usize::from(length)
            .checked_sub(header)
            .ok_or_else(|| self.error(WireErrorKind::LengthBelowHeader))?;
        let offset = self.offset;
        Ok(Reader::new(self.take(length)?, offset, self.payload))
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn finish(self) -> Result<(), WireError> {
        if self.is_empty() { Ok(()) } else { Err(self.error(WireErrorKind::TrailingBytes)) }
    }

    pub(super) fn error(&self, kind: WireErrorKind) -> WireError {
        WireError { payload: self.payload, offset: self.offset, kind }
    }

    fn advance(&mut self, rest: &'a [u8], length: usize) {
        self.rest = rest;
        self.offset = self.offset.saturating_add(length);
    }
}
