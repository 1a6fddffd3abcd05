//! Between what stands on the wire and what a configuration says.

use std::collections::VecDeque;

use super::body::Proposed;
use crate::config::{Choice, Offer, Proposal, Protocol, TrafficSelector, Transform, TransformKind};
use crate::crypto::{Encryption, Group, Integrity, Prf, Suite};
use crate::error::IkeError;
use crate::wire::{self, ProtocolId, SaSpi, TransformType};

/// `None` for AH and the like, which nothing here chooses.
pub(super) fn proposed(proposal: wire::Proposal) -> Option<Proposed> {
    let protocol = match proposal.protocol {
        ProtocolId::Ike => Protocol::Ike,
        ProtocolId::Esp => Protocol::Esp,
        ProtocolId::None | ProtocolId::Ah | ProtocolId::Other(_) => return None,
    };
    // RFC 7296 §3.3.6: a transform with an attribute that is not understood cannot be chosen; others of its kind can.
    let transforms = proposal.transforms.iter().filter(|transform| !transform.unknown_attribute);
    let transforms = transforms
        .map(|transform| Transform {
            kind: TransformKind::of_number(transform.kind.into()),
            id: transform.id,
            key_bits: transform.key_length,
        })
        .collect();
    let offer = Offer { number: proposal.number, proposal: Proposal::offered(protocol, transforms) };
    Some(Proposed { offer, spi: proposal.spi })
}

pub(super) fn selector(selector: wire::TrafficSelector) -> Option<TrafficSelector> {
    let addresses = TrafficSelector::new(selector.first, selector.last)?;
    Some(addresses.with_protocol(selector.protocol, selector.first_port, selector.last_port))
}

pub(super) fn wire_selectors(selectors: &[TrafficSelector]) -> Vec<wire::TrafficSelector> {
    let one = |selector: &TrafficSelector| wire::TrafficSelector {
        protocol: selector.protocol,
        first_port: selector.start_port,
        last_port: selector.end_port,
        first: selector.first(),
        last: selector.last(),
    };
    selectors.iter().map(one).collect()
}

/// Proposals of a request, numbered from 1 (RFC 7296 §3.3.1).
pub(super) fn wire_proposals(proposals: &[Proposal], spi: &SaSpi) -> Vec<wire::Proposal> {
    (1..=u8::MAX)
        .zip(proposals)
        .map(|(number, proposal)| {
            wire_proposal(number, proposal.protocol(), proposal.transforms(), spi.clone())
        })
        .collect()
}

/// The one proposal of an answer.
pub(super) fn wire_choice(choice: &Choice, spi: SaSpi) -> Vec<wire::Proposal> {
    vec![wire_proposal(choice.number, choice.protocol(), choice.transforms(), spi)]
}

fn wire_proposal(number: u8, protocol: Protocol, transforms: &[Transform], spi: SaSpi) -> wire::Proposal {
    let protocol = match protocol {
        Protocol::Ike => ProtocolId::Ike,
        Protocol::Esp => ProtocolId::Esp,
    };
    let one = |transform: &Transform| {
        let plain = wire::Transform::new(TransformType::from(transform.kind.number()), transform.id);
        transform.key_bits.map_or(plain, |bits| plain.with_key_length(bits))
    };
    wire::Proposal { number, protocol, spi, transforms: transforms.iter().map(one).collect() }
}

/// What protects the IKE SA.
pub(super) fn suite(choice: &Choice) -> Result<Suite, IkeError> {
    let unusable = || IkeError::Unusable(choice.name());
    let encryption = choice.encryption().ok_or_else(unusable)?;
    let encryption = Encryption::of_transform(encryption.id, encryption.key_bits).ok_or_else(unusable)?;
    let integrity = match choice.integrity() {
        Some(integrity) => Some(Integrity::try_from(integrity.id).map_err(|_| unusable())?),
        None => None,
    };
    let prf = choice.prf().and_then(|prf| Prf::try_from(prf.id).ok()).ok_or_else(unusable)?;
    Suite::new(encryption, integrity, prf).map_err(|_| unusable())
}

/// The additional key exchanges to be made, in their order (RFC 9370 §2.2.2): seven at most.
pub(super) fn rounds(choice: &Choice) -> Result<VecDeque<Group>, IkeError> {
    let groups = choice.additional_key_exchanges().map(Group::try_from);
    groups.collect::<Result<_, _>>().map_err(|_| IkeError::Unusable(choice.name()))
}

/// Bytes of KEYMAT in one direction of an ESP SA: encryption key, salt, integrity key (RFC 7296 §2.17, RFC 4106 §8.1).
pub(super) fn keymat_len(choice: &Choice) -> Option<usize> {
    let encryption = choice.encryption()?;
    let bytes = usize::from(encryption.key_bits.unwrap_or(0)) / 8;
    let encryption = match encryption.id {
        // 3DES.
        3 => 24,
        // AES-CBC.
        12 => bytes,
        // AES-CTR (RFC 3686) and AES-GCM, with a salt or nonce of four bytes.
        13 | 18..=20 => bytes + 4,
        // ChaCha20-Poly1305 (RFC 7634).
        28 => 36,
        _ => return None,
    };
    let integrity = match choice.integrity().map(|integrity| integrity.id) {
        None => 0,
        Some(2) => 20,
        Some(12) => 32,
        Some(13) => 48,
        Some(14) => 64,
        Some(_) => return None,
    };
    Some(encryption + integrity)
}
