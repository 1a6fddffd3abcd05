//! Addresses at relays, and what carries datagrams there.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;
use rpds::HashTrieMapSync;

use crate::counters::DropReason;
use crate::path_mtu::Hop;
use crate::turn::{HEADROOM, frame_channel, frame_indication};

/// How datagrams to one relayed address leave (RFC 8656): through this node's own allocation at `server`.
#[derive(Clone)]
pub enum RelayCarrier {
    /// In Send indications from the shared port.
    Indication { server: SocketAddr },
    /// As channel data from the shared port.
    Channel { server: SocketAddr, number: u16 },
    /// By a connection of the agent's.
    Stream(Arc<dyn RelayStream>),
}

/// A connection to a relay.
pub trait RelayStream: Send + Sync {
    /// Takes a datagram for the relayed address `to`, or refuses it with `false` since too many wait. Workers call this:
    /// it must not block.
    fn send(&self, to: SocketAddr, datagram: &[u8]) -> bool;
}

/// All relayed addresses in use. A clone shares its contents.
#[derive(Clone)]
pub(crate) struct Relays {
    carriers: HashTrieMapSync<SocketAddr, RelayCarrier, RandomState>,
    /// Relayed addresses by the server and number of their channel.
    channels: HashTrieMapSync<(SocketAddr, u16), SocketAddr, RandomState>,
}

impl Default for Relays {
    fn default() -> Self {
        Self {
            carriers: HashTrieMapSync::new_with_hasher_and_ptr_kind(RandomState::default()),
            channels: HashTrieMapSync::new_with_hasher_and_ptr_kind(RandomState::default()),
        }
    }
}

impl Relays {
    /// Channels of former carriers are received on until their address goes: the peer's datagrams are on their way.
    pub(crate) fn set(&mut self, address: SocketAddr, carrier: RelayCarrier) {
        if let RelayCarrier::Channel { server, number } = carrier {
            self.channels.insert_mut((server, number), address);
        }
        self.carriers.insert_mut(address, carrier);
    }

    /// False where there was none.
    pub(crate) fn remove(&mut self, address: SocketAddr) -> bool {
        let channels = self.channels.iter().filter(|(_, peer)| **peer == address);
        let gone: Vec<_> = channels.map(|(channel, _)| *channel).collect();
        for channel in gone {
            self.channels.remove_mut(&channel);
        }
        self.carriers.remove_mut(&address)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.carriers.is_empty()
    }

    /// Whose datagrams this server sends through this channel.
    pub(crate) fn peer_of(&self, server: SocketAddr, number: u16) -> Option<SocketAddr> {
        self.channels.get(&(server, number)).copied()
    }

    /// Where datagrams to this address really go.
    pub(crate) fn hop(&self, to: SocketAddr) -> Hop {
        match self.carriers.get(&to) {
            None => Hop::Direct(to),
            Some(RelayCarrier::Channel { server, .. } | RelayCarrier::Indication { server }) => {
                Hop::Relay(*server)
            }
            Some(RelayCarrier::Stream(_)) => Hop::Stream,
        }
    }

    /// The one place that knows how a datagram leaves: where the `length` bytes behind [`HEADROOM`] in `buffer` go by
    /// UDP and, with what they got around them, lie; `None` if a stream took them. `transaction` names an indication;
    /// nobody answers it, so nobody compares that.
    pub(crate) fn carry(
        &self,
        to: SocketAddr,
        buffer: &mut [u8],
        length: usize,
        transaction: impl FnOnce() -> Option<[u8; 12]>,
    ) -> Result<Option<(SocketAddr, Range<usize>)>, DropReason> {
        if self.is_empty() {
            return Ok(Some((to, HEADROOM..HEADROOM + length)));
        }
        let (server, framed) = match self.carriers.get(&to) {
            None => (to, Some(HEADROOM..HEADROOM + length)),
            Some(RelayCarrier::Channel { server, number }) => {
                (*server, frame_channel(*number, buffer, length))
            }
            Some(RelayCarrier::Indication { server }) => {
                let transaction = transaction().ok_or(DropReason::SendFailed)?;
                (*server, frame_indication(to, transaction, buffer, length))
            }
            Some(RelayCarrier::Stream(stream)) => {
                let datagram = buffer.get(HEADROOM..HEADROOM + length).unwrap_or_default();
                return if stream.send(to, datagram) { Ok(None) } else { Err(DropReason::RelayBusy) };
            }
        };
        framed.map(|range| Some((server, range))).ok_or(DropReason::DatagramTooBig)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 3478))
    }

    struct Full;

    impl RelayStream for Full {
        fn send(&self, _to: SocketAddr, _datagram: &[u8]) -> bool {
            false
        }
    }

    #[test]
    fn each_address_has_its_carrier_and_others_none() {
        let mut relays = Relays::default();
        let mut buffer = [0; HEADROOM + 8];
        let plain = |to| Ok(Some((to, HEADROOM..HEADROOM + 8)));
        let named = || Some(*b"transaction!");
        assert_eq!(relays.carry(address(9), &mut buffer, 8, named), plain(address(9)));
        relays.set(address(9), RelayCarrier::Indication { server: address(1) });
        relays.set(address(8), RelayCarrier::Stream(Arc::new(Full)));
        assert_eq!(relays.carry(address(7), &mut buffer, 8, named), plain(address(7)));
        assert_eq!(relays.carry(address(9), &mut buffer, 8, named), Ok(Some((address(1), 12..HEADROOM + 8))));
        assert_eq!(relays.carry(address(8), &mut buffer, 8, named), Err(DropReason::RelayBusy));
        relays.set(address(9), RelayCarrier::Channel { server: address(1), number: 0x4001 });
        assert_eq!(
            relays.carry(address(9), &mut buffer, 8, named),
            Ok(Some((address(1), HEADROOM - 4..HEADROOM + 8)))
        );
    }

    #[test]
    fn a_channel_is_received_on_as_long_as_its_address_is_in_use() {
        let mut relays = Relays::default();
        relays.set(address(9), RelayCarrier::Channel { server: address(1), number: 0x4001 });
        relays.set(address(9), RelayCarrier::Channel { server: address(2), number: 0x4001 });
        assert_eq!(relays.peer_of(address(1), 0x4001), Some(address(9)));
        assert_eq!(relays.peer_of(address(2), 0x4001), Some(address(9)));
        assert_eq!((relays.peer_of(address(3), 0x4001), relays.peer_of(address(1), 0x4002)), (None, None));
        assert!(relays.remove(address(9)));
        assert!(!relays.remove(address(9)));
        assert_eq!((relays.peer_of(address(1), 0x4001), relays.peer_of(address(2), 0x4001)), (None, None));
    }
}
