//! What the engine is told of a peer.

use std::net::SocketAddr;
use std::time::Duration;

use twinmesh_control::{IdentityKey, IdentityKeyPair};
use twinmesh_ike::Retransmission;
use twinmesh_ike::auth::{
    Credentials, Identity, IdentityPattern, KeyError, LocalCredential, PrivateKey, PublicKey, RawKeys,
    RemoteCredential,
};
use twinmesh_ike::config::{
    ChildConfig, ConnectionConfig, EncapsulationPolicy, Legacy, Proposal, Protocol, Remote, StartAction,
};

use super::Node;

/// As WireGuard's keepalive: a NAT's mapping that was lost is known after so long without a word.
const DPD_DELAY: Duration = Duration::from_secs(20);
/// Given up after 13 s: another address is tried then.
const RETRANSMISSION: Retransmission =
    Retransmission { first: Duration::from_secs(1), factor: 15, longest: Duration::from_secs(5), tries: 5 };

const IKE: &[&str] = &["aes128gcm16-prfsha256-x25519-ke1_mlkem768"];
/// Each rekey with a key exchange of its own.
const ESP: &str = "aes128gcm16-x25519";
/// The same of algorithms that FIPS approves alone: AES-GCM (SP 800-38D), HMAC-SHA-384, ECDH over P-384
/// (SP 800-56A), ML-KEM-768 (FIPS 203); X25519 is none of them. The nodes' Ed25519 signatures are (FIPS 186-5).
const APPROVED_IKE: &[&str] = &["aes256gcm16-prfsha384-ecp384-ke1_mlkem768"];
const APPROVED_ESP: &str = "aes256gcm16-ecp384";

/// For the engine, from this address of this node.
pub(super) fn of(
    node: &Node,
    own: &IdentityKeyPair,
    local: SocketAddr,
    remote: Remote,
) -> Result<ConnectionConfig, KeyError> {
    let credentials = Credentials {
        local: LocalCredential::RawKey(PrivateKey::from_pkcs8(own.pkcs8())?),
        remote: RemoteCredential::RawKeys(RawKeys::new(vec![PublicKey::from_ed25519(&node.wanted.key.0)?])),
    };
    let (ike, esp) = if node.wanted.compliance { (APPROVED_IKE, APPROVED_ESP) } else { (IKE, ESP) };
    let (own, peer) = (identity(own.public()), identity(node.wanted.key));
    Ok(ConnectionConfig {
        proposals: ike.iter().filter_map(|text| proposal(Protocol::Ike, text)).collect(),
        children: vec![ChildConfig {
            proposals: proposal(Protocol::Esp, esp).into_iter().collect(),
            ..node.child.config().clone()
        }],
        start: StartAction::None,
        // A key is followed wherever it is, by either end's authentic messages: no lists of addresses.
        mobike: false,
        dpd_delay: Some(DPD_DELAY),
        // The peer may move behind a NAT at any time.
        encapsulation: EncapsulationPolicy::Udp,
        retransmission: Some(RETRANSMISSION),
        ..ConnectionConfig::new(
            &node.connection,
            local,
            remote,
            own,
            IdentityPattern::Like(peer),
            credentials,
        )
    })
}

fn proposal(protocol: Protocol, text: &str) -> Option<Proposal> {
    Proposal::parse(protocol, text, Legacy::Refused).ok()
}

/// The key is the name (ID_KEY_ID, RFC 7296 §3.5): host names are the coordinator's to give.
fn identity(key: IdentityKey) -> Identity {
    Identity::KeyId(key.0.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_proposal_is_one_that_the_engine_knows() {
        for text in IKE.iter().chain(APPROVED_IKE) {
            assert!(proposal(Protocol::Ike, text).is_some(), "{text}");
        }
        for text in [ESP, APPROVED_ESP] {
            assert!(proposal(Protocol::Esp, text).is_some(), "{text}");
        }
    }

    #[test]
    fn under_compliance_nothing_is_proposed_that_fips_does_not_approve() {
        let approved = ["aes256gcm16", "prfsha384", "ecp384", "ke1_mlkem768"];
        for text in APPROVED_IKE.iter().chain(&[APPROVED_ESP]) {
            assert!(text.split('-').all(|word| approved.contains(&word)), "{text}");
        }
    }
}
