use super::chain::GENERIC_HEADER;
use super::error::WriteError;
use super::header::Header;
use super::payload::Payload;
use super::registry::PayloadType;

/// Payloads that were written one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub first: PayloadType,
    pub bytes: Vec<u8>,
}

/// Writes the content of an encrypted payload.
#[derive(Debug)]
pub struct ChainWriter {
    first: PayloadType,
    bytes: Vec<u8>,
    /// Where the next payload's type goes, once one is written.
    next: Next,
    error: Option<WriteError>,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    First,
    At(usize),
    /// Behind an encrypted payload.
    Never,
}

impl ChainWriter {
    pub fn new() -> Self {
        Self { first: PayloadType::NoNextPayload, bytes: Vec::new(), next: Next::First, error: None }
    }

    #[must_use]
    pub fn payload(mut self, payload: &Payload<'_>) -> Self {
        self.push(payload);
        self
    }

    /// An error is kept until [`finish`](Self::finish).
    pub fn push(&mut self, payload: &Payload<'_>) {
        let pushed = self.try_push(payload);
        self.error = self.error.or(pushed.err());
    }

    pub fn finish(self) -> Result<Chain, WriteError> {
        self.error.map_or(Ok(Chain { first: self.first, bytes: self.bytes }), Err)
    }

    fn try_push(&mut self, payload: &Payload<'_>) -> Result<(), WriteError> {
        let mut body = Vec::new();
        payload.write(&mut body)?;
        let length = body.len().checked_add(GENERIC_HEADER).and_then(|length| u16::try_from(length).ok());
        let length = length.ok_or(WriteError::PayloadTooLong)?;
        match self.next {
            Next::First => self.first = payload.kind(),
            Next::At(place) => {
                if let Some(next) = self.bytes.get_mut(place) {
                    *next = payload.kind().into();
                }
            }
            Next::Never => return Err(WriteError::AfterEncrypted),
        }
        let inside = payload.first_inside();
        self.next = if inside.is_some() { Next::Never } else { Next::At(self.bytes.len()) };
        self.bytes.push(inside.unwrap_or(PayloadType::NoNextPayload).into());
        self.bytes.push(0);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.append(&mut body);
        Ok(())
    }
}

impl Default for ChainWriter {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes a message in the clear: IKE_SA_INIT, and answers to messages that cannot be opened.
#[derive(Debug)]
pub struct MessageWriter {
    header: Header,
    chain: ChainWriter,
}

impl MessageWriter {
    pub fn new(header: Header) -> Self {
        Self { header, chain: ChainWriter::new() }
    }

    #[must_use]
    pub fn payload(mut self, payload: &Payload<'_>) -> Self {
        self.push(payload);
        self
    }

    /// An error is kept until [`finish`](Self::finish).
    pub fn push(&mut self, payload: &Payload<'_>) {
        self.chain.push(payload);
    }

    pub fn finish(self) -> Result<Vec<u8>, WriteError> {
        let chain = self.chain.finish()?;
        let length =
            chain.bytes.len().checked_add(Header::LENGTH).and_then(|length| u32::try_from(length).ok());
        let header = self.header.write(chain.first, length.ok_or(WriteError::PayloadTooLong)?);
        Ok([header.as_slice(), &chain.bytes].concat())
    }
}
