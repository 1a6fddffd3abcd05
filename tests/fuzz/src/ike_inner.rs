//! The opened content of an encrypted payload, as a malicious but authenticated peer makes it.

use twinmesh_ike::wire::{ChainWriter, Payload, PayloadType, Payloads};

use crate::ike_payload;

pub(crate) fn run(data: &[u8]) {
    let Some((first, content)) = data.split_first() else { return };
    // Mostly a type that is known.
    let first = PayloadType::from(if *first < 200 { 33 + *first % 21 } else { *first });
    let Some(payloads) = ike_payload::read(Payloads::inner(first, content), content.len()) else { return };
    let written = payloads.iter().fold(ChainWriter::new(), ChainWriter::payload);
    let written = written.finish().expect("what was read can be written");
    assert_eq!((written.first, written.bytes.len()), (first, content.len()));
    let again: Result<Vec<Payload<'_>>, _> = Payloads::inner(first, &written.bytes).collect();
    assert_eq!(again, Ok(payloads));
}
