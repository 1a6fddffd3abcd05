//! Notifications with their data.

use std::net::{IpAddr, SocketAddr};

use super::values::{bytes, group, hex, printable, spi};
use super::{Envelope, PayloadText, line};
use crate::auth::{SignatureHash, SignatureHashes};
use crate::session::detection_hash;
use crate::wire::{Notify, NotifyType, PayloadType, ProtocolId};

pub(super) fn describe(notify: &Notify<'_>, envelope: Envelope<'_>) -> PayloadText {
    let concerns = spi(&notify.spi).map(|spi| {
        if notify.protocol == ProtocolId::None {
            format!("SPI {spi}")
        } else {
            format!("{} {spi}", notify.protocol)
        }
    });
    let words = [concerns, data(notify, envelope)];
    let words: Vec<String> = words.into_iter().flatten().collect();
    line(format!("N({})", notify.kind), words.join(", "))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the data of all others is shown as it is, if there is any"
)]
fn data(notify: &Notify<'_>, envelope: Envelope<'_>) -> Option<String> {
    let data = notify.data;
    let number = || data.as_array::<2>().map(|number| u16::from_be_bytes(*number));
    let known = match notify.kind {
        NotifyType::NatDetectionSourceIp => Some(source(data, envelope)),
        NotifyType::NatDetectionDestinationIp => Some(destination(data, envelope)),
        NotifyType::InvalidKePayload => number().map(|wanted| format!("wants {}", group(wanted))),
        NotifyType::UnsupportedCriticalPayload => {
            data.first().map(|kind| format!("payload {}", PayloadType::from(*kind)))
        }
        NotifyType::SignatureHashAlgorithms => Some(hashes(data)),
        NotifyType::AdditionalIp4Address | NotifyType::AdditionalIp6Address => address(data),
        NotifyType::SetWindowSize | NotifyType::AuthLifetime | NotifyType::InvalidMessageId => {
            data.as_array::<4>().map(|number| u32::from_be_bytes(*number).to_string())
        }
        // The last is an authentication, as AUTH has it.
        NotifyType::Cookie | NotifyType::Cookie2 | NotifyType::NoPpkAuth => Some(bytes(data.len())),
        NotifyType::PpkIdentity => data.split_first().map(|(_, id)| printable(id)),
        _ => None,
    };
    known.or_else(|| (!data.is_empty()).then(|| format!("{}, {}", bytes(data.len()), hex(data))))
}

fn matches(hash: &[u8], envelope: Envelope<'_>, end: SocketAddr) -> bool {
    let header = envelope.header;
    detection_hash(header.initiator_spi, header.responder_spi, end) == hash
}

/// RFC 7296 §2.23: the sender hashes the address that it has.
fn source(hash: &[u8], envelope: Envelope<'_>) -> String {
    let end = envelope.source;
    if matches(hash, envelope, end) {
        format!("{end}, as this datagram has it: no NAT before the sender")
    } else {
        format!("not {end}: the sender is behind a NAT, or claims to be")
    }
}

fn destination(hash: &[u8], envelope: Envelope<'_>) -> String {
    let end = envelope.destination;
    if matches(hash, envelope, end) {
        format!("{end}, as this datagram has it: no NAT before the receiver")
    } else {
        format!("not {end}: the receiver is behind a NAT")
    }
}

fn hashes(data: &[u8]) -> String {
    let set = SignatureHashes::from_notify_data(data);
    let names: Vec<&str> =
        SignatureHash::ALL.into_iter().filter(|hash| set.contains(*hash)).map(SignatureHash::name).collect();
    if names.is_empty() { "none known here".to_owned() } else { names.join(", ") }
}

fn address(data: &[u8]) -> Option<String> {
    let address = match (data.as_array::<4>(), data.as_array::<16>()) {
        (Some(octets), _) => IpAddr::from(*octets),
        (None, Some(octets)) => IpAddr::from(*octets),
        (None, None) => return None,
    };
    Some(address.to_string())
}
