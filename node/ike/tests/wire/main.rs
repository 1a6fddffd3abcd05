//! The wire format, from outside: what is written is read back, what is malformed is refused, nothing panics.
#![expect(clippy::unwrap_used, reason = "helpers of tests, as in the tests themselves")]

mod charon;
mod garbage;
mod layout;
mod malformed;
mod protected;
mod recipe;
mod registry;
mod round_trip;
mod truncation;

use twinmesh_ike::wire::{
    ExchangeType, Flags, Header, IkeSpi, Message, MessageId, MessageWriter, Payload, PayloadType, WireError,
};

/// A header of the original initiator's first message.
fn header() -> Header {
    Header {
        initiator_spi: IkeSpi([1, 2, 3, 4, 5, 6, 7, 8]),
        responder_spi: IkeSpi::ZERO,
        exchange: ExchangeType::IkeSaInit,
        flags: Flags { initiator: true, response: false, version: false },
        message_id: MessageId(0),
    }
}

fn message(payloads: &[Payload<'_>]) -> Vec<u8> {
    let mut writer = MessageWriter::new(header());
    for payload in payloads {
        writer.push(payload);
    }
    writer.finish().unwrap()
}

/// A message of one payload whose type and body are free.
fn message_of(kind: PayloadType, body: &[u8]) -> Vec<u8> {
    let mut datagram = message(&[Payload::VendorId(body)]);
    datagram[16] = kind.into();
    datagram
}

fn payloads(datagram: &[u8]) -> Result<Vec<Payload<'_>>, WireError> {
    Message::parse(datagram)?.payloads().collect()
}

/// The header's length made that of the datagram.
fn set_length(datagram: &mut [u8]) {
    let length = u32::try_from(datagram.len()).unwrap();
    datagram[24..28].copy_from_slice(&length.to_be_bytes());
}
