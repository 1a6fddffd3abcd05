//! NAT detection (RFC 7296 §2.23): each side hashes the addresses that it sees.

use std::net::{IpAddr, SocketAddr};

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use crate::wire::IkeSpi;

/// The data of NAT_DETECTION_SOURCE_IP and NAT_DETECTION_DESTINATION_IP: SHA-1 of SPIs, address and port. No secret
/// and no signature hangs on the hash.
pub(crate) fn detection_hash(initiator: IkeSpi, responder: IkeSpi, end: SocketAddr) -> Vec<u8> {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(&initiator.0);
    context.update(&responder.0);
    match end.ip() {
        IpAddr::V4(address) => context.update(&address.octets()),
        IpAddr::V6(address) => context.update(&address.octets()),
    }
    context.update(&end.port().to_be_bytes());
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_covers_spis_address_and_port() {
        let end = SocketAddr::from(([192, 0, 2, 1], 500));
        let hash = detection_hash(IkeSpi([1; 8]), IkeSpi::ZERO, end);
        assert_eq!(hash.len(), 20);
        let others = [
            detection_hash(IkeSpi([2; 8]), IkeSpi::ZERO, end),
            detection_hash(IkeSpi([1; 8]), IkeSpi([1; 8]), end),
            detection_hash(IkeSpi([1; 8]), IkeSpi::ZERO, SocketAddr::from(([192, 0, 2, 1], 4500))),
            detection_hash(IkeSpi([1; 8]), IkeSpi::ZERO, SocketAddr::from(([192, 0, 2, 2], 500))),
        ];
        assert!(others.iter().all(|other| *other != hash));
    }
}
