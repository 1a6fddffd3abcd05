use std::collections::BTreeSet;

use twinmesh_ike::wire::{
    AuthMethod, CertificateEncoding, ConfigurationType, ExchangeType, IdType, NotifyType, PayloadType,
    ProtocolId, TransformType, TsType,
};

macro_rules! every_number_comes_back {
    ($($name:ident: $repr:ty),+) => {$(
        for number in <$repr>::MIN..=<$repr>::MAX {
            assert_eq!(<$repr>::from($name::from(number)), number);
        }
        let names: BTreeSet<_> = $name::NAMED.iter().map(|named| named.name().unwrap()).collect();
        assert_eq!(names.len(), $name::NAMED.len(), "two have the same name");
        let numbers: BTreeSet<_> = $name::NAMED.iter().map(|named| <$repr>::from(*named)).collect();
        assert_eq!(numbers.len(), $name::NAMED.len(), "two have the same number");
    )+};
}

#[test]
fn every_number_survives_its_enumeration() {
    every_number_comes_back!(
        AuthMethod: u8, CertificateEncoding: u8, ConfigurationType: u8, ExchangeType: u8, IdType: u8,
        PayloadType: u8, ProtocolId: u8, TransformType: u8, TsType: u8, NotifyType: u16
    );
}

#[test]
fn numbers_print_as_in_the_registry() {
    assert_eq!(ExchangeType::CreateChildSa.to_string(), "CREATE_CHILD_SA");
    assert_eq!(ExchangeType::Other(200).to_string(), "ExchangeType(200)");
    assert_eq!(NotifyType::NoProposalChosen.to_string(), "NO_PROPOSAL_CHOSEN");
    assert_eq!(PayloadType::TrafficSelectorsInitiator.to_string(), "TSi");
}

#[test]
fn trap_17_errors_are_told_from_status_also_among_unknown_notifies() {
    assert!(NotifyType::ChildSaNotFound.is_error() && NotifyType::from(16383).is_error());
    assert!(!NotifyType::InitialContact.is_error() && !NotifyType::from(16384).is_error());
    assert!(NotifyType::from(8191).is_error() && !NotifyType::from(40960).is_error());
}
