//! TLS between a node and a coordinator in memory: who is let through, and what each side learns.

#![expect(clippy::unwrap_used, clippy::unwrap_in_result, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection};
use twinmesh_control::{
    Fingerprint, IdentityKeyPair, PinnedCoordinator, client_config, peer_identity, server_config,
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
    let client = client_config(node, pin).unwrap();
    let server = server_config(coordinator).unwrap();
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
