//! Addresses as they stand in the notifications of MOBIKE (RFC 4555 §4.2).

use std::net::IpAddr;

use super::body::Body;
use super::context::Path;
use super::draft::Draft;
use crate::wire::NotifyType;

/// Of a peer that says more, the rest is passed over.
const MOST_ADDRESSES: usize = 8;

/// RFC 4555 §3.9: whether the packet came between the addresses that its sender wrote.
pub(super) fn is_as_sent(body: &Body<'_>, arrival: Path) -> bool {
    let as_sent = no_nats(Path { local: arrival.remote, remote: arrival.local });
    body.notify(NotifyType::NoNatsAllowed).is_none_or(|notify| notify.data == as_sent)
}

/// The data of NO_NATS_ALLOWED (RFC 4555 §4.2.6), from its sender's point of view.
pub(super) fn no_nats(path: Path) -> Vec<u8> {
    let mut data = Vec::new();
    for end in [path.local, path.remote] {
        match end.ip() {
            IpAddr::V4(address) => data.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => data.extend_from_slice(&address.octets()),
        }
    }
    data.extend_from_slice(&path.local.port().to_be_bytes());
    data.extend_from_slice(&path.remote.port().to_be_bytes());
    data
}

pub(super) fn others(all: &[IpAddr], used: IpAddr) -> Vec<IpAddr> {
    all.iter().copied().filter(|address| *address != used).take(MOST_ADDRESSES).collect()
}

pub(super) fn list(draft: &mut Draft, own: &[IpAddr]) {
    for address in own {
        match address {
            IpAddr::V4(address) => draft.notify(NotifyType::AdditionalIp4Address, &address.octets()),
            IpAddr::V6(address) => draft.notify(NotifyType::AdditionalIp6Address, &address.octets()),
        };
    }
}

/// Where the peer says that it may be found, besides where the message came from.
pub(super) fn listed(body: &Body<'_>) -> Vec<IpAddr> {
    let v4 = body.all(NotifyType::AdditionalIp4Address).filter_map(|data| <[u8; 4]>::try_from(data).ok());
    let v6 = body.all(NotifyType::AdditionalIp6Address).filter_map(|data| <[u8; 16]>::try_from(data).ok());
    let all = v4.map(IpAddr::from).chain(v6.map(IpAddr::from));
    all.filter(|address| is_unicast(*address)).take(MOST_ADDRESSES).collect()
}

pub(super) fn is_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || broadcast)
}
