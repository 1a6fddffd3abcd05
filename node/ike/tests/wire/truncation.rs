use proptest::prelude::*;
use twinmesh_ike::wire::{Message, PayloadType, WireErrorKind};

use super::recipe::{Recipe, recipe, recipes};
use super::{message, message_of, payloads, set_length};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_truncation_of_a_message_is_refused(recipes in recipes()) {
        let datagram = message(&recipes.iter().map(Recipe::payload).collect::<Vec<_>>());
        for length in 0..datagram.len() {
            let mut cut = datagram[..length].to_vec();
            prop_assert!(Message::parse(&cut).is_err(), "the header's length is not the datagram's");
            if length >= 28 {
                set_length(&mut cut);
                prop_assert!(payloads(&cut).is_err(), "cut at {length} of {}", datagram.len());
            }
        }
    }

    #[test]
    fn a_byte_more_than_the_chain_is_refused(recipes in recipes(), extra: u8) {
        let mut datagram = message(&recipes.iter().map(Recipe::payload).collect::<Vec<_>>());
        datagram.push(extra);
        prop_assert!(Message::parse(&datagram).is_err());
        set_length(&mut datagram);
        prop_assert_eq!(payloads(&datagram).unwrap_err().kind, WireErrorKind::TrailingBytes);
    }

    #[test]
    fn every_truncation_of_a_counted_list_is_refused(recipe in recipe()) {
        let payload = recipe.payload();
        let counted = [
            PayloadType::SecurityAssociation,
            PayloadType::Delete,
            PayloadType::TrafficSelectorsInitiator,
            PayloadType::TrafficSelectorsResponder,
        ];
        prop_assume!(counted.contains(&payload.kind()));
        let body = &message(std::slice::from_ref(&payload))[32..];
        for length in 0..body.len() {
            prop_assert!(payloads(&message_of(payload.kind(), &body[..length])).is_err(), "cut at {length}");
        }
        let longer = [body, &[0]].concat();
        prop_assert!(payloads(&message_of(payload.kind(), &longer)).is_err());
    }
}
