//! TLS between a node and a coordinator in memory: who is let through, and what each side learns.

#![expect(clippy::unwrap_used, clippy::unwrap_in_result, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use twinmesh_control::{
    Fingerprint, IdentityKeyPair, PinnedCoordinator, client_config, peer_identity, relay_client_config,
    relay_fingerprint, server_config,
};

struct Pair {
    client: ClientConnection,
    server: ServerConnection,
}

/// Runs the handshake to its end or its first error.
fn shake(
    node: &IdentityKeyPair,
    coordinator: &IdentityKeyPair,
    pin: Arc<PinnedCoordinator>,
) -> Result<Pair, rustls::Error> {
    connect(client_config(node, pin).unwrap(), server_config(coordinator).unwrap())
}

fn connect(client: ClientConfig, server: ServerConfig) -> Result<Pair, rustls::Error> {
    let name = ServerName::try_from("coordinator").unwrap();
    let mut pair = Pair {
        client: ClientConnection::new(Arc::new(client), name).unwrap(),
        server: ServerConnection::new(Arc::new(server)).unwrap(),
    };
    while pair.client.is_handshaking() || pair.server.is_handshaking() {
        let mut wire = Vec::new();
        pair.client.write_tls(&mut wire).unwrap();
        pair.server.read_tls(&mut wire.as_slice()).unwrap();
        pair.server.process_new_packets()?;
        let mut wire = Vec::new();
        pair.server.write_tls(&mut wire).unwrap();
        pair.client.read_tls(&mut wire.as_slice()).unwrap();
        pair.client.process_new_packets()?;
    }
    Ok(pair)
}

#[test]
fn a_node_reaches_the_pinned_coordinator_which_learns_the_nodes_key() {
    let (node, coordinator) = (IdentityKeyPair::generate().unwrap(), IdentityKeyPair::generate().unwrap());
    let pin = PinnedCoordinator::new(coordinator.public().fingerprint());
    let pair = shake(&node, &coordinator, pin.clone()).unwrap();
    assert_eq!(peer_identity(pair.server.peer_certificates().unwrap()), Some(node.public()));
    assert_eq!(pair.client.alpn_protocol(), Some(b"twinmesh/1".as_slice()));
    assert_eq!(pin.mismatch(), None);
}

#[test]
fn a_coordinator_of_another_key_is_refused_and_its_fingerprint_is_told() {
    let (node, stranger) = (IdentityKeyPair::generate().unwrap(), IdentityKeyPair::generate().unwrap());
    let pin = PinnedCoordinator::new(Fingerprint([5; 32]));
    let error = shake(&node, &stranger, pin.clone()).err().unwrap().to_string();
    let seen = stranger.public().fingerprint();
    assert_eq!(pin.mismatch(), Some(seen));
    assert!(error.contains(&seen.to_string()) && error.contains(&pin.expected().to_string()), "{error}");
}

#[test]
fn a_relays_certificate_counts_by_its_key_whatever_else_it_says() {
    for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P256_SHA256] {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let mut told = None;
        // The second one stands for a renewal: another name and time, the same key.
        for (name, year) in [("relay.example.net", 2020), ("other.example.net", 2030)] {
            let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
            parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
            let certificate = parameters.self_signed(&key).unwrap().der().clone();
            let fingerprint = relay_fingerprint(&certificate).unwrap();
            assert_eq!(*told.get_or_insert(fingerprint), fingerprint);
            let server = || {
                let key = PrivatePkcs8KeyDer::from(key.serialize_der());
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                let builder = ServerConfig::builder_with_provider(provider);
                let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
                builder.with_no_client_auth().with_single_cert(vec![certificate.clone()], key.into()).unwrap()
            };
            connect(relay_client_config(fingerprint).unwrap(), server()).unwrap();
            let error = connect(relay_client_config(Fingerprint([5; 32])).unwrap(), server()).err().unwrap();
            assert!(error.to_string().contains(&fingerprint.to_string()), "{error}");
        }
    }
}
