use proptest::collection::vec;
use proptest::prelude::*;
use twinmesh_ike::wire::{Message, Payload, PayloadType, Payloads};

use super::recipe::{Recipe, recipes};
use super::{message, set_length};

/// Reads all that can be read; says how many payloads there were.
fn read_all(payloads: Payloads<'_>, length: usize) -> usize {
    let mut count = 0;
    let mut failed = false;
    for payload in payloads {
        assert!(!failed, "something follows an error");
        let payload = match payload {
            Ok(payload) => payload,
            Err(error) => {
                assert!(error.offset <= length + 28, "{error} lies outside");
                let _ = error.notification();
                failed = true;
                continue;
            }
        };
        count += 1;
        match payload {
            Payload::SecurityAssociation(list) => assert!(list.proposals().count() >= 1),
            Payload::TrafficSelectorsInitiator(list) | Payload::TrafficSelectorsResponder(list) => {
                assert!(list.selectors().all(|selector| selector.first <= selector.last));
            }
            Payload::Delete(list) => assert!(list.child_spis().count() <= length / 4),
            Payload::Configuration(list) => assert!(list.attributes().count() <= length / 4),
            Payload::CertificateRequest(list) => assert!(list.hashes().count() <= length / 20),
            Payload::Encrypted(sealed) => assert_eq!(sealed.range.len(), sealed.body.len()),
            Payload::EncryptedFragment(sealed) => assert!((1..=sealed.total).contains(&sealed.number)),
            Payload::KeyExchange(_)
            | Payload::IdInitiator(_)
            | Payload::IdResponder(_)
            | Payload::Certificate(_)
            | Payload::Authentication(_)
            | Payload::Nonce(_)
            | Payload::Notify(_)
            | Payload::VendorId(_)
            | Payload::Eap(_)
            | Payload::Unknown { .. } => {}
        }
    }
    count
}

proptest! {
    #[test]
    fn garbage_panics_nowhere(bytes in vec(any::<u8>(), 0..600)) {
        if let Ok(message) = Message::parse(&bytes) {
            read_all(message.payloads(), bytes.len());
        }
    }

    #[test]
    fn garbage_behind_a_header_panics_nowhere(first in 30_u8..60, bytes in vec(any::<u8>(), 0..600)) {
        let mut datagram = message(&[]);
        datagram[16] = first;
        datagram.extend_from_slice(&bytes);
        set_length(&mut datagram);
        let payloads = Message::parse(&datagram).unwrap().payloads();
        prop_assert!(read_all(payloads, bytes.len()) <= 128);
        prop_assert!(read_all(Payloads::inner(PayloadType::from(first), &bytes), bytes.len()) <= 128);
    }

    /// Small numbers make lengths, counts and types that hold together more often.
    #[test]
    fn small_numbers_panic_nowhere(first in 33_u8..54, bytes in vec(0_u8..48, 0..300)) {
        prop_assert!(read_all(Payloads::inner(PayloadType::from(first), &bytes), bytes.len()) <= 128);
    }

    #[test]
    fn a_message_with_some_bytes_changed_panics_nowhere(
        recipes in recipes(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut datagram = message(&recipes.iter().map(Recipe::payload).collect::<Vec<_>>());
        for (place, byte) in changes {
            let place = place.index(datagram.len());
            datagram[place] = byte;
        }
        set_length(&mut datagram);
        if let Ok(message) = Message::parse(&datagram) {
            read_all(message.payloads(), datagram.len());
        }
    }
}
