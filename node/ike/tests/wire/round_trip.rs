use proptest::prelude::*;
use twinmesh_ike::wire::{
    ChainWriter, Flags, Header, IkeSpi, Message, MessageId, MessageWriter, Payload, Payloads,
};

use super::recipe::{Recipe, recipes};

fn header() -> impl Strategy<Value = Header> {
    (any::<[u8; 8]>(), any::<[u8; 8]>(), any::<u8>(), any::<[bool; 3]>(), any::<u32>()).prop_map(
        |(initiator, responder, exchange, [from_initiator, response, version], id)| Header {
            initiator_spi: IkeSpi(initiator.map(|byte| byte | 1)),
            responder_spi: IkeSpi(responder),
            exchange: exchange.into(),
            flags: Flags { initiator: from_initiator, response, version },
            message_id: MessageId(id),
        },
    )
}

proptest! {
    #[test]
    fn a_message_is_read_back_as_it_was_written(header in header(), recipes in recipes()) {
        let written: Vec<Payload<'_>> = recipes.iter().map(Recipe::payload).collect();
        let mut writer = MessageWriter::new(header);
        for payload in &written {
            writer.push(payload);
        }
        let datagram = writer.finish().unwrap();
        let message = Message::parse(&datagram).unwrap();
        prop_assert_eq!(message.header, header);
        prop_assert_eq!(message.bytes(), &datagram);
        let read: Vec<Payload<'_>> = message.payloads().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(&read, &written);

        let again = read.iter().fold(MessageWriter::new(header), MessageWriter::payload).finish().unwrap();
        prop_assert_eq!(again, datagram);
    }

    #[test]
    fn the_inside_of_an_encrypted_payload_is_read_back_too(recipes in recipes()) {
        let written: Vec<Payload<'_>> = recipes.iter().map(Recipe::payload).collect();
        let chain = written.iter().fold(ChainWriter::new(), ChainWriter::payload).finish().unwrap();
        let read: Result<Vec<Payload<'_>>, _> = Payloads::inner(chain.first, &chain.bytes).collect();
        prop_assert_eq!(read, Ok(written));
    }

    #[test]
    fn lists_come_back_element_by_element(recipes in recipes()) {
        for recipe in &recipes {
            match (recipe, recipe.payload()) {
                (Recipe::SecurityAssociation(proposals), Payload::SecurityAssociation(read)) => {
                    prop_assert_eq!(&read.proposals().collect::<Vec<_>>(), proposals);
                }
                (Recipe::DeleteChildren(_, spis), Payload::Delete(read)) => {
                    prop_assert_eq!(&read.child_spis().collect::<Vec<_>>(), spis);
                }
                (
                    Recipe::TrafficSelectors(_, selectors),
                    Payload::TrafficSelectorsInitiator(read) | Payload::TrafficSelectorsResponder(read),
                ) => prop_assert_eq!(&read.selectors().collect::<Vec<_>>(), selectors),
                (Recipe::Configuration(_, attributes), Payload::Configuration(read)) => {
                    let read: Vec<_> =
                        read.attributes().map(|attribute| (attribute.kind, attribute.value.to_vec())).collect();
                    prop_assert_eq!(&read, attributes);
                }
                _ => {}
            }
        }
    }
}
