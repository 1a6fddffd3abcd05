//! Payloads from owned values, for properties.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use twinmesh_ike::wire::{
    Authentication, Certificate, CertificateRequest, Configuration, ConfigurationAttribute, Delete, IdType,
    Identification, KeyExchange, Notify, NotifyType, Payload, PayloadType, Proposal, ProtocolId, SaSpi,
    SecurityAssociation, TrafficSelector, TrafficSelectors, Transform, TransformType,
};

#[derive(Clone, Debug)]
pub(crate) enum Recipe {
    SecurityAssociation(Vec<Proposal>),
    KeyExchange(u16, Vec<u8>),
    Id(bool, u8, Vec<u8>),
    Certificate(u8, Vec<u8>),
    CertificateRequest(u8, Vec<u8>),
    Authentication(u8, Vec<u8>),
    Nonce(Vec<u8>),
    Notify(u8, SaSpi, u16, Vec<u8>),
    DeleteIke,
    DeleteChildren(bool, Vec<u32>),
    VendorId(Vec<u8>),
    TrafficSelectors(bool, Vec<TrafficSelector>),
    Configuration(u8, Vec<(u16, Vec<u8>)>),
    Eap(Vec<u8>),
    Unknown(u8, Vec<u8>),
}

impl Recipe {
    pub(crate) fn payload(&self) -> Payload<'_> {
        match self {
            Self::SecurityAssociation(proposals) => {
                Payload::SecurityAssociation(SecurityAssociation::new(proposals).unwrap())
            }
            Self::KeyExchange(group, public) => Payload::KeyExchange(KeyExchange { group: *group, public }),
            Self::Id(true, kind, data) => {
                Payload::IdInitiator(Identification::new(IdType::from(*kind), data))
            }
            Self::Id(false, kind, data) => {
                Payload::IdResponder(Identification::new(IdType::from(*kind), data))
            }
            Self::Certificate(encoding, data) => {
                Payload::Certificate(Certificate { encoding: (*encoding).into(), data })
            }
            Self::CertificateRequest(encoding, authorities) => {
                Payload::CertificateRequest(CertificateRequest { encoding: (*encoding).into(), authorities })
            }
            Self::Authentication(method, data) => {
                Payload::Authentication(Authentication { method: (*method).into(), data })
            }
            Self::Nonce(nonce) => Payload::Nonce(nonce),
            Self::Notify(protocol, spi, kind, data) => Payload::Notify(Notify {
                protocol: ProtocolId::from(*protocol),
                spi: spi.clone(),
                kind: NotifyType::from(*kind),
                data,
            }),
            Self::DeleteIke => Payload::Delete(Delete::ike()),
            Self::DeleteChildren(esp, spis) => {
                let protocol = if *esp { ProtocolId::Esp } else { ProtocolId::Ah };
                Payload::Delete(Delete::children(protocol, spis).unwrap())
            }
            Self::VendorId(data) => Payload::VendorId(data),
            Self::TrafficSelectors(true, selectors) => {
                Payload::TrafficSelectorsInitiator(TrafficSelectors::new(selectors).unwrap())
            }
            Self::TrafficSelectors(false, selectors) => {
                Payload::TrafficSelectorsResponder(TrafficSelectors::new(selectors).unwrap())
            }
            Self::Configuration(kind, attributes) => {
                let attributes: Vec<_> = attributes
                    .iter()
                    .map(|(kind, value)| ConfigurationAttribute { kind: *kind, value })
                    .collect();
                Payload::Configuration(Configuration::new((*kind).into(), &attributes).unwrap())
            }
            Self::Eap(data) => Payload::Eap(data),
            Self::Unknown(kind, body) => Payload::Unknown { kind: PayloadType::from(*kind), body },
        }
    }
}

pub(crate) fn recipes() -> impl Strategy<Value = Vec<Recipe>> {
    vec(recipe(), 0..8)
}

pub(crate) fn recipe() -> impl Strategy<Value = Recipe> {
    let bytes = || vec(any::<u8>(), 0..64);
    prop_oneof![
        vec(proposal(), 1..4).prop_map(Recipe::SecurityAssociation),
        (any::<u16>(), bytes()).prop_map(|(group, public)| Recipe::KeyExchange(group, public)),
        (any::<bool>(), any::<u8>(), bytes())
            .prop_map(|(initiator, kind, data)| Recipe::Id(initiator, kind, data)),
        (any::<u8>(), bytes()).prop_map(|(encoding, data)| Recipe::Certificate(encoding, data)),
        (any::<u8>(), bytes()).prop_map(|(encoding, data)| Recipe::CertificateRequest(encoding, data)),
        (any::<u8>(), bytes()).prop_map(|(method, data)| Recipe::Authentication(method, data)),
        vec(any::<u8>(), 16..=256).prop_map(Recipe::Nonce),
        (any::<u8>(), spi(), any::<u16>(), bytes())
            .prop_map(|(protocol, spi, kind, data)| Recipe::Notify(protocol, spi, kind, data)),
        Just(Recipe::DeleteIke),
        (any::<bool>(), vec(any::<u32>(), 0..5)).prop_map(|(esp, spis)| Recipe::DeleteChildren(esp, spis)),
        bytes().prop_map(Recipe::VendorId),
        (any::<bool>(), vec(selector(), 1..4))
            .prop_map(|(initiator, list)| Recipe::TrafficSelectors(initiator, list)),
        (any::<u8>(), vec((0..0x8000_u16, bytes()), 0..4))
            .prop_map(|(kind, list)| Recipe::Configuration(kind, list)),
        bytes().prop_map(Recipe::Eap),
        (54_u8.., bytes()).prop_map(|(kind, body)| Recipe::Unknown(kind, body)),
    ]
}

pub(crate) fn proposal() -> impl Strategy<Value = Proposal> {
    let kinds = prop_oneof![
        Just((ProtocolId::Ike, 0)),
        Just((ProtocolId::Ike, 8)),
        Just((ProtocolId::Esp, 4)),
        Just((ProtocolId::Ah, 4)),
        Just((ProtocolId::Other(9), 3)),
    ];
    (any::<u8>(), kinds, any::<[u8; 8]>(), vec(transform(), 0..6)).prop_map(
        |(number, (protocol, size), bytes, transforms)| Proposal {
            number,
            protocol,
            spi: spi_of(&bytes[..size]),
            transforms,
        },
    )
}

fn spi() -> impl Strategy<Value = SaSpi> {
    vec(any::<u8>(), 0..12).prop_map(|bytes| spi_of(&bytes))
}

fn spi_of(bytes: &[u8]) -> SaSpi {
    match bytes.len() {
        0 => SaSpi::Empty,
        4 => SaSpi::Child(u32::from_be_bytes(bytes.try_into().unwrap())),
        8 => SaSpi::Ike(twinmesh_ike::wire::IkeSpi(bytes.try_into().unwrap())),
        _ => SaSpi::Other(bytes.to_vec()),
    }
}

fn transform() -> impl Strategy<Value = Transform> {
    (0_u8..14, any::<u16>(), any::<Option<u16>>()).prop_map(|(kind, id, bits)| {
        let transform = Transform::new(TransformType::from(kind), id);
        bits.map_or(transform, |bits| transform.with_key_length(bits))
    })
}

fn selector() -> impl Strategy<Value = TrafficSelector> {
    let addresses = prop_oneof![
        any::<[[u8; 4]; 2]>().prop_map(|ends| ends.map(IpAddr::from)),
        any::<[[u8; 16]; 2]>().prop_map(|ends| ends.map(|end| IpAddr::V6(end.into()))),
    ];
    (any::<u8>(), any::<u16>(), any::<u16>(), addresses).prop_map(
        |(protocol, first_port, last_port, [a, b])| TrafficSelector {
            protocol,
            first_port,
            last_port,
            first: a.min(b),
            last: a.max(b),
        },
    )
}
