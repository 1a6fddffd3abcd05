//! All that can be asked of a chain of payloads.

use twinmesh_ike::wire::{
    Configuration, Delete, Payload, Payloads, ProtocolId, SecurityAssociation, TrafficSelectors,
};

/// The payloads, if each of them is in order.
pub(crate) fn read(payloads: Payloads<'_>, length: usize) -> Option<Vec<Payload<'_>>> {
    let payloads: Vec<_> = payloads.collect();
    assert!(payloads.len() <= 129, "{} payloads", payloads.len());
    let errors = payloads.iter().filter(|payload| payload.is_err()).count();
    assert!(
        errors == 0 || errors == 1 && payloads.last().is_some_and(Result::is_err),
        "an error is the last"
    );
    for payload in &payloads {
        match payload {
            Ok(payload) => walk(payload, length),
            Err(error) => {
                assert!(error.offset <= length, "{error} of {length}");
                let _ = (error.to_string(), error.notification());
            }
        }
    }
    payloads.into_iter().collect::<Result<_, _>>().ok()
}

/// Lists are written again from their elements, and then have the same elements.
fn walk(payload: &Payload<'_>, length: usize) {
    match payload {
        Payload::SecurityAssociation(list) => {
            let proposals: Vec<_> = list.proposals().collect();
            assert!(!proposals.is_empty());
            let understood = proposals
                .iter()
                .all(|proposal| proposal.transforms.iter().all(|item| !item.unknown_attribute));
            let again = SecurityAssociation::new(&proposals).expect("as many as were read");
            assert!(!understood || again.proposals().eq(proposals));
        }
        Payload::TrafficSelectorsInitiator(list) | Payload::TrafficSelectorsResponder(list) => {
            let selectors: Vec<_> = list.selectors().collect();
            assert!(selectors.iter().all(|selector| selector.first <= selector.last));
            assert!(
                TrafficSelectors::new(&selectors).expect("as many as were read").selectors().eq(selectors)
            );
        }
        Payload::Delete(list) => {
            let spis: Vec<_> = list.child_spis().collect();
            assert!(spis.len() * 4 <= length);
            assert!(
                Delete::children(ProtocolId::Esp, &spis).expect("as many as were read").child_spis().eq(spis)
            );
        }
        Payload::Configuration(list) => {
            let attributes: Vec<_> = list.attributes().collect();
            let again = Configuration::new(list.kind, &attributes).expect("as long as what was read");
            assert!(again.attributes().eq(attributes));
        }
        Payload::CertificateRequest(list) => assert!(list.hashes().count() * 20 <= length),
        Payload::IdInitiator(id) | Payload::IdResponder(id) => assert_eq!(id.body().len(), id.data.len() + 4),
        Payload::Encrypted(sealed) => assert_eq!(sealed.range.len(), sealed.body.len()),
        Payload::EncryptedFragment(sealed) => {
            assert_eq!(sealed.range.len(), sealed.body.len());
            assert!((1..=sealed.total).contains(&sealed.number));
        }
        Payload::Nonce(nonce) => assert!((16..=256).contains(&nonce.len())),
        Payload::KeyExchange(_)
        | Payload::Certificate(_)
        | Payload::Authentication(_)
        | Payload::Notify(_)
        | Payload::VendorId(_)
        | Payload::Eap(_)
        | Payload::Unknown { .. } => {}
    }
}
