use super::chain::GENERIC_HEADER;
use super::error::WriteError;
use super::header::Header;
use super::message::Message;
use super::registry::PayloadType;

/// What stands before the sealed part of an encrypted payload: IKE header and generic header.
pub const ENCRYPTED_PREFIX: usize = 32;
/// The same for an encrypted fragment, with its number and the total.
pub const FRAGMENT_PREFIX: usize = 36;

/// Writes a message that is one encrypted payload or fragment. Its lengths are part of what is authenticated, so the
/// length of the sealed part (initialization vector, ciphertext with padding, checksum) is said before it is sealed.
///
/// ```text
///   ProtectedWriter::encrypted(header, first, sealed_length)
///     ─► additional_data(): authenticated (RFC 5282 §5.1), or before the ciphertext in the HMAC
///     ─► finish(sealed)
/// ```
#[derive(Debug)]
pub struct ProtectedWriter {
    message: Vec<u8>,
    sealed_length: usize,
}

impl ProtectedWriter {
    /// `first` is the type of the first payload inside.
    pub fn encrypted(header: &Header, first: PayloadType, sealed_length: usize) -> Result<Self, WriteError> {
        Self::new(header, PayloadType::Encrypted, first, &[], sealed_length)
    }

    /// RFC 7383 §2.5: only the first fragment says the type of the first payload inside.
    pub fn fragment(
        header: &Header,
        first: PayloadType,
        number: u16,
        total: u16,
        sealed_length: usize,
    ) -> Result<Self, WriteError> {
        let first = if number == 1 { first } else { PayloadType::NoNextPayload };
        let ([n0, n1], [t0, t1]) = (number.to_be_bytes(), total.to_be_bytes());
        Self::new(header, PayloadType::EncryptedFragment, first, &[n0, n1, t0, t1], sealed_length)
    }

    pub fn additional_data(&self) -> &[u8] {
        &self.message
    }

    pub fn finish(self, sealed: &[u8]) -> Result<Vec<u8>, WriteError> {
        if sealed.len() != self.sealed_length {
            return Err(WriteError::SealedLength);
        }
        let mut message = self.message;
        message.extend_from_slice(sealed);
        Ok(message)
    }

    fn new(
        header: &Header,
        kind: PayloadType,
        first: PayloadType,
        fields: &[u8],
        sealed_length: usize,
    ) -> Result<Self, WriteError> {
        let length =
            fields.len().checked_add(GENERIC_HEADER).and_then(|length| length.checked_add(sealed_length));
        let length =
            length.and_then(|length| u16::try_from(length).ok()).ok_or(WriteError::PayloadTooLong)?;
        // The header's 28 bytes on top of a 16-bit length.
        let total = u32::from(length).saturating_add(28);
        let mut message = Vec::with_capacity(FRAGMENT_PREFIX.saturating_add(sealed_length));
        message.extend_from_slice(&header.write(kind, total));
        message.extend_from_slice(&[first.into(), 0]);
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(fields);
        Ok(Self { message, sealed_length })
    }
}

/// A message as IKE_AUTH covers it (RFC 9242 §3.3.2): up to the generic header of its encrypted payload, then the
/// opened `content` without padding; one piece, whether it came in fragments or not, with the lengths of that.
pub fn plain_octets(
    message: &Message<'_>,
    first: PayloadType,
    content: &[u8],
) -> Result<Vec<u8>, WriteError> {
    let too_long = WriteError::PayloadTooLong;
    let length = content.len().checked_add(GENERIC_HEADER).and_then(|length| u16::try_from(length).ok());
    let length = length.ok_or(too_long)?;
    let total = u32::from(length).saturating_add(28);
    let datagram = message.bytes();
    // As received, reserved bits too: SPIs; version to message id; the critical bit beside it.
    let (Some(spis), Some(middle), Some(critical)) =
        (datagram.get(..16), datagram.get(17..24), datagram.get(29..30))
    else {
        return Err(WriteError::SealedLength);
    };
    let encrypted = [PayloadType::Encrypted.into()];
    let first = [first.into()];
    Ok([spis, &encrypted, middle, &total.to_be_bytes(), &first, critical, &length.to_be_bytes(), content]
        .concat())
}
