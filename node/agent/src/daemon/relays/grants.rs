//! What the coordinator says of relays, in the client's words.

use std::net::SocketAddr;

use twinmesh_control::{Fingerprint, RelayAccess, RelayTransport};
use twinmesh_path::relay::{Credential, RelayServer, Transport};
use zeroize::Zeroizing;

/// A relay, and the key of its certificate if it is spoken to by TLS. `None` where this version cannot speak to it.
pub(super) fn usable(access: &RelayAccess) -> Option<(RelayServer, Option<(SocketAddr, Fingerprint)>)> {
    let (transport, fingerprint) = match (&access.transport, access.fingerprint) {
        (RelayTransport::Udp, _) => (Transport::Udp, None),
        (RelayTransport::Tls, Some(fingerprint)) => (Transport::Tls, Some((access.address, fingerprint))),
        // Without its key anybody could stand in its place.
        (RelayTransport::Tls, None) | (RelayTransport::Other(_), _) => return None,
    };
    let password = Zeroizing::new(access.password.0.clone());
    let credential = Credential::new(access.username.clone(), password)?;
    Some((RelayServer { address: access.address, transport, credential }, fingerprint))
}

#[cfg(test)]
mod tests {
    use twinmesh_control::RelayPassword;

    use super::*;

    fn access(transport: RelayTransport, fingerprint: Option<Fingerprint>) -> RelayAccess {
        RelayAccess {
            address: "192.0.2.1:3478".parse().unwrap(),
            transport,
            fingerprint,
            username: "1:2:192.0.2.1".to_owned(),
            password: RelayPassword("secret".to_owned()),
            valid_for: 60,
        }
    }

    #[test]
    fn a_relay_is_used_if_this_version_can_speak_to_it_and_know_it() {
        let key = Fingerprint::of_spki(b"key");
        assert!(usable(&access(RelayTransport::Udp, None)).is_some());
        assert!(usable(&access(RelayTransport::Tls, None)).is_none());
        let (relay, known) = usable(&access(RelayTransport::Tls, Some(key))).unwrap();
        assert_eq!((relay.transport, known), (Transport::Tls, Some((relay.address, key))));
        assert!(usable(&access(RelayTransport::Other("quic".to_owned()), Some(key))).is_none());
        let endless = RelayAccess { username: "n".repeat(600), ..access(RelayTransport::Udp, None) };
        assert!(usable(&endless).is_none());
    }
}
