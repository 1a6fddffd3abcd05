//! Datagrams as they come, and with a header that lets them in.

use twinmesh_ike::wire::{Message, MessageWriter, Payload, strip_non_esp_marker};

use crate::ike_payload;

pub(crate) fn run(data: &[u8]) {
    read(data);
    if let Some(message) = strip_non_esp_marker(data) {
        read(message);
    }
    // Version, length and SPI right: the payloads are what matters.
    if data.len() >= 28 {
        let mut datagram = data.to_vec();
        datagram[0] |= 1;
        datagram[17] = 0x20;
        let length = u32::try_from(data.len()).expect("an input is short");
        datagram[24..28].copy_from_slice(&length.to_be_bytes());
        read(&datagram);
    }
}

fn read(datagram: &[u8]) {
    let message = match Message::parse(datagram) {
        Ok(message) => message,
        Err(error) => {
            assert!(error.payload.is_none() && error.offset <= datagram.len());
            return;
        }
    };
    let Some(payloads) = ike_payload::read(message.payloads(), datagram.len()) else { return };
    let written = payloads.iter().fold(MessageWriter::new(message.header), MessageWriter::payload);
    let written = written.finish().expect("what was read can be written");
    assert_eq!(written.len(), datagram.len());
    let again = Message::parse(&written).expect("what was written can be read");
    assert_eq!(again.header, message.header);
    assert_eq!(again.payloads().collect::<Result<Vec<Payload<'_>>, _>>(), Ok(payloads));
}
