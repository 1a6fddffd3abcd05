//! The answers to a node's first message.

use std::collections::BTreeSet;

use twinmesh_control::{
    Enrol, FEATURE_AES, FEATURE_COMPLIANCE, FEATURE_ESP, Hello, IdentityKey, NodeId, PROTOCOL_VERSION,
    Preference, Refusal, RefusalCode, WireguardKey,
};

use crate::choice::Abilities;
use crate::mesh::{HelloError, Mesh};
use crate::name::check_label;
use crate::store::{Announcement, Enrolment, EnrolmentError, StoreError};

/// Bytes of a node's version that are kept.
const MAX_VERSION: usize = 64;

/// The answer to `hello`.
pub(super) async fn greet(mesh: &Mesh, identity: IdentityKey, hello: Hello) -> Result<NodeId, Refusal> {
    check_protocol(hello.protocol)?;
    let said = announcement(hello.wireguard_key, &hello.version, hello.preference, &hello.features);
    mesh.hello(identity, said).await.map_err(|error| {
        let code = match &error {
            HelloError::Unknown => RefusalCode::NodeUnknown,
            HelloError::KeyTaken => RefusalCode::KeyTaken,
            HelloError::Store(error) => return unavailable(error),
        };
        refusal(code, error.to_string())
    })
}

/// The answer to `enrol`.
pub(super) async fn admit(mesh: &Mesh, identity: IdentityKey, enrol: Enrol) -> Result<NodeId, Refusal> {
    check_protocol(enrol.protocol)?;
    let hostname = check_label(&enrol.hostname)
        .map_err(|error| refusal(RefusalCode::HostnameInvalid, format!("the host name {error}")))?;
    let enrolment = Enrolment {
        token_hash: enrol.token.hash(),
        hostname,
        identity,
        said: announcement(enrol.wireguard_key, &enrol.version, enrol.preference, &enrol.features),
    };
    mesh.enrol(enrolment).await.map_err(|error| {
        let code = match &error {
            EnrolmentError::TokenUnknown => RefusalCode::TokenUnknown,
            EnrolmentError::TokenExpired(_) => RefusalCode::TokenExpired,
            EnrolmentError::TokenUsed => RefusalCode::TokenUsed,
            EnrolmentError::TokenRevoked => RefusalCode::TokenRevoked,
            EnrolmentError::KeyTaken => RefusalCode::KeyTaken,
            EnrolmentError::AddressesExhausted => RefusalCode::AddressesExhausted,
            EnrolmentError::NamesExhausted(_) => RefusalCode::HostnameInvalid,
            EnrolmentError::Store(error) => return unavailable(error),
        };
        refusal(code, error.to_string())
    })
}

fn announcement(
    wireguard_key: WireguardKey,
    version: &str,
    preference: Preference,
    features: &BTreeSet<String>,
) -> Announcement {
    let preference = match preference {
        // A wish of a later version, that this one cannot fulfil.
        Preference::Other(_) => Preference::Auto,
        known @ (Preference::Auto | Preference::Wireguard | Preference::Esp) => known,
    };
    Announcement {
        wireguard_key,
        version: printable(version),
        preference,
        abilities: Abilities {
            esp: features.contains(FEATURE_ESP),
            compliance: features.contains(FEATURE_COMPLIANCE),
            aes: features.contains(FEATURE_AES),
        },
    }
}

fn check_protocol(protocol: u16) -> Result<(), Refusal> {
    if protocol == PROTOCOL_VERSION {
        return Ok(());
    }
    let message =
        format!("the node speaks version {protocol} of the protocol, this coordinator {PROTOCOL_VERSION}");
    Err(refusal(RefusalCode::ProtocolUnsupported, message))
}

pub(super) fn refusal(code: RefusalCode, message: String) -> Refusal {
    Refusal { code, message }
}

/// The store's trouble is ours: the node only hears that it should try again.
pub(super) fn unavailable(error: &StoreError) -> Refusal {
    tracing::error!(%error, "a node's request failed");
    refusal(RefusalCode::Unavailable, "the coordinator cannot store anything now; try again later".to_owned())
}

/// A version as an administrator's terminal may show it.
fn printable(version: &str) -> String {
    version.chars().filter(char::is_ascii_graphic).take(MAX_VERSION).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_cannot_write_to_the_administrators_terminal() {
        assert_eq!(printable("1.2.3-rc.1"), "1.2.3-rc.1");
        assert_eq!(printable("1\u{1b}[2J\n2ä"), "1[2J2");
        assert_eq!(printable(&"9".repeat(1000)).len(), MAX_VERSION);
    }
}
