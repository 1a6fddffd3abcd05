//! Counters of one thread, summed by whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};

use twinmesh_esp::{DropReason as EspDrop, SealError};
use twinmesh_wireguard::DropReason as WireGuardDrop;

use crate::datagram::DatagramKind;
use crate::status::Totals;

/// Why the data plane dropped a packet or datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DropReason {
    /// From the TUN device: no whole IP packet.
    Malformed,
    /// From the TUN device: longer than its MTU or than the way to the peer carries; answered by ICMP.
    TooBig,
    /// Nobody has the destination; answered by ICMP.
    NoRoute,
    /// From the TUN device, to a group: machines ask every new link for routers and listeners, and a peer has
    /// no groups. Apart from [`Self::NoRoute`], which points to a mistake.
    Multicast,
    /// The peer was removed meanwhile.
    PeerRemoved,
    /// From the TUN device: its checksum is wrong, and the peer would take it for a partial one and make it right.
    WrongChecksum,
    /// The inner source does not belong to the peer that sent the packet.
    SourceNotAllowed,
    /// Channel data from a server, or by a number, that no relayed address belongs to.
    UnknownChannel,
    /// Channel data that is cut short, or carries channel data.
    MalformedChannel,
    /// No known kind of datagram.
    UnknownDatagram,
    /// The node has no IPv6, the peer's endpoint is one.
    NoIpv6,
    /// The interface's MTU is less than the datagram.
    DatagramTooBig,
    /// The system refused to send.
    SendFailed,
    /// The socket's buffer stayed full.
    SendBlocked,
    /// The system refused to receive.
    ReceiveFailed,
    /// The TUN device refused the packet.
    TunWrite,
    /// A policy forbids the packet.
    Discarded,
    /// Only an SA may carry the packet, and there is none.
    NoSa,
    /// The connection to the relay takes no more.
    RelayBusy,
    /// More came from relays than the worker could take.
    RelayedBacklog,
    WireGuard(WireGuardDrop),
    /// Inbound, by an SA.
    Esp(EspDrop),
    /// Outbound, by an SA.
    EspSeal(SealError),
}

impl DropReason {
    const OWN: [Self; 20] = [
        Self::Malformed,
        Self::TooBig,
        Self::NoRoute,
        Self::Multicast,
        Self::PeerRemoved,
        Self::SourceNotAllowed,
        Self::UnknownChannel,
        Self::MalformedChannel,
        Self::UnknownDatagram,
        Self::NoIpv6,
        Self::DatagramTooBig,
        Self::SendFailed,
        Self::SendBlocked,
        Self::ReceiveFailed,
        Self::TunWrite,
        Self::Discarded,
        Self::NoSa,
        Self::RelayBusy,
        Self::RelayedBacklog,
        Self::WrongChecksum,
    ];
    const COUNT: usize = Self::ESP_SEAL + SealError::ALL.len();
    /// Where the slots of each engine begin.
    const WIREGUARD: usize = Self::OWN.len();
    const ESP: usize = Self::WIREGUARD + WireGuardDrop::ALL.len();
    const ESP_SEAL: usize = Self::ESP + EspDrop::ALL.len();

    fn all() -> impl Iterator<Item = Self> {
        Self::OWN
            .into_iter()
            .chain(WireGuardDrop::ALL.iter().copied().map(Self::WireGuard))
            .chain(EspDrop::ALL.iter().copied().map(Self::Esp))
            .chain(SealError::ALL.iter().copied().map(Self::EspSeal))
    }

    /// Kebab-case, stable.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooBig => "too-big",
            Self::NoRoute => "no-route",
            Self::Multicast => "multicast",
            Self::PeerRemoved => "peer-removed",
            Self::SourceNotAllowed => "source-not-allowed",
            Self::UnknownChannel => "unknown-channel",
            Self::MalformedChannel => "malformed-channel",
            Self::UnknownDatagram => "unknown-datagram",
            Self::NoIpv6 => "no-ipv6",
            Self::DatagramTooBig => "datagram-too-big",
            Self::SendFailed => "send-failed",
            Self::SendBlocked => "send-blocked",
            Self::ReceiveFailed => "receive-failed",
            Self::TunWrite => "tun-write",
            Self::Discarded => "discarded",
            Self::NoSa => "no-sa",
            Self::RelayBusy => "relay-busy",
            Self::RelayedBacklog => "relayed-backlog",
            Self::WrongChecksum => "wrong-checksum",
            Self::WireGuard(reason) => reason.as_str(),
            Self::Esp(reason) => reason.as_str(),
            Self::EspSeal(reason) => reason.as_str(),
        }
    }

    const fn slot(self) -> usize {
        match self {
            Self::Malformed => 0,
            Self::TooBig => 1,
            Self::NoRoute => 2,
            Self::Multicast => 3,
            Self::PeerRemoved => 4,
            Self::SourceNotAllowed => 5,
            Self::UnknownChannel => 6,
            Self::MalformedChannel => 7,
            Self::UnknownDatagram => 8,
            Self::NoIpv6 => 9,
            Self::DatagramTooBig => 10,
            Self::SendFailed => 11,
            Self::SendBlocked => 12,
            Self::ReceiveFailed => 13,
            Self::TunWrite => 14,
            Self::Discarded => 15,
            Self::NoSa => 16,
            Self::RelayBusy => 17,
            Self::RelayedBacklog => 18,
            Self::WrongChecksum => 19,
            Self::WireGuard(reason) => Self::WIREGUARD + reason as usize,
            Self::Esp(reason) => Self::ESP + reason as usize,
            Self::EspSeal(reason) => Self::ESP_SEAL + reason as usize,
        }
    }
}

/// What the data plane did to packets so that they pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adjustment {
    /// IPv4 from the TUN device was longer than its way carries, and cut into fragments, which are sealed.
    InnerFragmented,
    /// The sealed packet was longer than its way carries, and may be cut into fragments outside.
    OuterFragmented,
    /// A TCP connection was told of shorter segments.
    MssClamped,
}

impl Adjustment {
    const ALL: [Self; 3] = [Self::InnerFragmented, Self::OuterFragmented, Self::MssClamped];

    /// Kebab-case, stable.
    const fn as_str(self) -> &'static str {
        match self {
            Self::InnerFragmented => "inner-fragmented",
            Self::OuterFragmented => "outer-fragmented",
            Self::MssClamped => "mss-clamped",
        }
    }
}

/// A call of the system that moves packets; what offloads save is seen by these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    TunRead,
    TunWrite,
    /// Of one socket, any number of datagrams.
    Send,
    Receive,
}

impl Call {
    const ALL: [Self; 4] = [Self::TunRead, Self::TunWrite, Self::Send, Self::Receive];

    /// Kebab-case, stable.
    const fn as_str(self) -> &'static str {
        match self {
            Self::TunRead => "tun-read",
            Self::TunWrite => "tun-write",
            Self::Send => "send",
            Self::Receive => "receive",
        }
    }
}

/// Written by one thread mostly, read by any; on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Counters {
    drops: [AtomicU64; DropReason::COUNT],
    datagrams: [AtomicU64; DatagramKind::ALL.len()],
    adjustments: [AtomicU64; Adjustment::ALL.len()],
    calls: [AtomicU64; Call::ALL.len()],
    raw_esp: AtomicU64,
    rx_packets: AtomicU64,
    rx_bytes: AtomicU64,
    tx_packets: AtomicU64,
    tx_bytes: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            drops: [const { AtomicU64::new(0) }; DropReason::COUNT],
            datagrams: [const { AtomicU64::new(0) }; DatagramKind::ALL.len()],
            adjustments: [const { AtomicU64::new(0) }; Adjustment::ALL.len()],
            calls: [const { AtomicU64::new(0) }; Call::ALL.len()],
            raw_esp: AtomicU64::new(0),
            rx_packets: AtomicU64::new(0),
            rx_bytes: AtomicU64::new(0),
            tx_packets: AtomicU64::new(0),
            tx_bytes: AtomicU64::new(0),
        }
    }
}

impl Counters {
    pub(crate) fn dropped(&self, reason: DropReason) {
        if let Some(counter) = self.drops.get(reason.slot()) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// So many datagrams of one kind came.
    pub(crate) fn datagrams(&self, kind: DatagramKind, count: u64) {
        if let Some(counter) = self.datagrams.get(kind as usize) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(crate) fn adjusted(&self, adjustment: Adjustment) {
        if let Some(counter) = self.adjustments.get(adjustment as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn called(&self, call: Call) {
        if let Some(counter) = self.calls.get(call as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// ESP came without UDP, for an SA of ours.
    pub(crate) fn raw_esp(&self) {
        self.raw_esp.fetch_add(1, Ordering::Relaxed);
    }

    /// So many inner packets, of so many bytes together, were written to the TUN device.
    pub(crate) fn received(&self, packets: usize, bytes: usize) {
        self.rx_packets.fetch_add(packets as u64, Ordering::Relaxed);
        self.rx_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So many inner packets, of so many bytes together, were sealed, or wait for their session.
    pub(crate) fn sent(&self, packets: usize, bytes: usize) {
        self.tx_packets.fetch_add(packets as u64, Ordering::Relaxed);
        self.tx_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Sums over threads, in the form that [`crate::Status`] shows.
pub(crate) struct Sums {
    pub(crate) totals: Totals,
    pub(crate) datagrams: Vec<(&'static str, u64)>,
    pub(crate) drops: Vec<(&'static str, u64)>,
    pub(crate) adjusted: Vec<(&'static str, u64)>,
    pub(crate) calls: Vec<(&'static str, u64)>,
}

impl Sums {
    pub(crate) fn of<'a>(threads: &(impl Iterator<Item = &'a Counters> + Clone)) -> Self {
        let sum = |counter: &dyn Fn(&Counters) -> Option<&AtomicU64>| {
            threads.clone().filter_map(counter).map(|counter| counter.load(Ordering::Relaxed)).sum()
        };
        Self {
            totals: Totals {
                rx_packets: sum(&|thread| Some(&thread.rx_packets)),
                rx_bytes: sum(&|thread| Some(&thread.rx_bytes)),
                tx_packets: sum(&|thread| Some(&thread.tx_packets)),
                tx_bytes: sum(&|thread| Some(&thread.tx_bytes)),
            },
            datagrams: DatagramKind::ALL
                .iter()
                .map(|kind| (kind.as_str(), sum(&|thread| thread.datagrams.get(*kind as usize))))
                .chain([("esp-raw", sum(&|thread| Some(&thread.raw_esp)))])
                .collect(),
            drops: DropReason::all()
                .map(|reason| (reason.as_str(), sum(&|thread| thread.drops.get(reason.slot()))))
                .collect(),
            adjusted: Adjustment::ALL
                .iter()
                .map(|kind| (kind.as_str(), sum(&|thread| thread.adjustments.get(*kind as usize))))
                .collect(),
            calls: Call::ALL
                .iter()
                .map(|call| (call.as_str(), sum(&|thread| thread.calls.get(*call as usize))))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_has_a_counter_and_a_name_of_its_own() {
        let reasons: Vec<_> = DropReason::all().collect();
        let slots: HashSet<_> = reasons.iter().map(|reason| reason.slot()).collect();
        let names: HashSet<_> = reasons.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(
            (reasons.len(), slots.len(), names.len()),
            (DropReason::COUNT, DropReason::COUNT, DropReason::COUNT)
        );
        assert_eq!(slots.into_iter().max(), Some(DropReason::COUNT - 1));
    }

    #[test]
    fn threads_add_up() {
        let threads = [Counters::default(), Counters::default()];
        for thread in &threads {
            thread.dropped(DropReason::NoRoute);
            thread.datagrams(DatagramKind::Stun, 1);
            thread.received(1, 100);
            thread.adjusted(Adjustment::MssClamped);
        }
        let sums = Sums::of(&threads.iter());
        assert!(sums.drops.contains(&("no-route", 2)));
        assert!(sums.datagrams.contains(&("stun", 2)));
        assert_eq!(sums.adjusted, [("inner-fragmented", 0), ("outer-fragmented", 0), ("mss-clamped", 2)]);
        assert_eq!((sums.totals.rx_packets, sums.totals.rx_bytes), (2, 200));
    }
}
