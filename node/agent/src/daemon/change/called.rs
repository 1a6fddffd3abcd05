//! A peer begins IKE although WireGuard is to carry the pair's traffic: its own WireGuard fails, which an end that has
//! nothing to send does not see. So it is answered for a while.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use twinmesh_control::NodeId;
use twinmesh_ike::wire::strip_non_esp_marker;

use super::{Carrier, EngineChanges};
use crate::daemon::agent::Agent;

/// Who called is looked for among all peers so often, whatever comes.
const INTERVAL: Duration = Duration::from_millis(100);
/// Peers behind one address that may be meant.
const MOST: usize = 16;

/// IKE_SA_INIT, in the header of a request that begins an IKE SA (RFC 7296 §3.1).
const EXCHANGE: usize = 18;
const IKE_SA_INIT: u8 = 34;

/// As it came by the shared port.
fn begins(datagram: &[u8]) -> bool {
    let Some(message) = strip_non_esp_marker(datagram) else { return false };
    let no_responder_yet = message.get(8..16).is_some_and(|spi| spi.iter().all(|byte| *byte == 0));
    no_responder_yet && message.get(EXCHANGE) == Some(&IKE_SA_INIT)
}

impl EngineChanges {
    /// Opens ESP for those peers that may be at that address, and says for which.
    fn called(&mut self, is_at: impl Fn(NodeId) -> bool, now: Instant) -> Vec<NodeId> {
        if self.next_call.is_some_and(|at| at > now) {
            return Vec::new();
        }
        self.next_call = Some(now + INTERVAL);
        let closed = self.pairs.iter_mut().filter(|(_, pair)| !pair.change.is_open(Carrier::Esp));
        let meant = closed.filter(|(id, _)| is_at(**id)).take(MOST);
        meant
            .map(|(id, pair)| {
                pair.change.called(now, Carrier::Esp);
                self.agenda.touch(*id);
                *id
            })
            .collect()
    }
}

impl Agent {
    /// Somebody there may begin IKE with this node. What it says is not authentic: it is worth an answer only.
    pub(in crate::daemon) fn ike_called(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        let Some(map) = self.stored.map.as_ref().filter(|_| begins(datagram)) else { return };
        let is_at = |address: IpAddr| {
            move |id: NodeId| {
                let peer = map.peers.get(&id);
                peer.is_some_and(|peer| {
                    peer.endpoints.iter().any(|endpoint| endpoint.address.ip() == address)
                })
            }
        };
        let opened = self.changes.called(is_at(from.ip()), now);
        if !opened.is_empty() {
            tracing::debug!(peers = ?opened, %from, "peers that may speak ESP are answered");
            self.drive_changes(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use twinmesh_ike::wire::{NON_ESP_MARKER, with_non_esp_marker};

    use super::*;

    #[test]
    fn only_the_first_message_of_ike_is_a_call() {
        let mut message = [0; 28];
        message[..8].fill(7);
        message[EXCHANGE] = IKE_SA_INIT;
        let call = with_non_esp_marker(&message);
        assert!(begins(&call));
        for length in 0..=NON_ESP_MARKER.len() + EXCHANGE {
            assert!(!begins(call.get(..length).unwrap_or_default()));
        }
        assert!(!begins(&message), "without the marker");
        let answer = [&message[..8], &[1], &message[9..]].concat();
        assert!(!begins(&with_non_esp_marker(&answer)));
        message[EXCHANGE] = 35;
        assert!(!begins(&with_non_esp_marker(&message)), "another exchange");
    }
}
