//! Single values in words.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::auth::Identity;
use crate::config::{self, Proposal, Protocol, Transform, TransformKind};
use crate::wire::{self, ConfigurationAttribute, Identification, ProtocolId, SaSpi};

/// Of what has no meaning here not more than so much is shown.
const SHOWN: usize = 32;

pub(super) fn bytes(count: usize) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

pub(super) fn hex(data: &[u8]) -> String {
    let mut text = String::new();
    for byte in data.iter().take(SHOWN) {
        // A String takes all that is written to it.
        let _written = write!(text, "{byte:02x}");
    }
    if data.len() > SHOWN {
        text.push('…');
    }
    text
}

/// Text where it is text, else hexadecimal digits.
pub(super) fn printable(data: &[u8]) -> String {
    let text = str::from_utf8(data).ok().filter(|text| {
        !text.is_empty()
            && text.len() <= 4 * SHOWN
            && text.chars().all(|it| it.is_ascii_graphic() || it == ' ')
    });
    text.map_or_else(|| format!("{}, {}", bytes(data.len()), hex(data)), |text| format!("\"{text}\""))
}

pub(super) fn group(number: u16) -> String {
    Transform::new(TransformKind::KeyExchange, number).to_string()
}

pub(super) fn spi(spi: &SaSpi) -> Option<String> {
    match spi {
        SaSpi::Empty => None,
        SaSpi::Child(spi) => Some(format!("{spi:08x}")),
        SaSpi::Ike(spi) => Some(spi.to_string()),
        SaSpi::Other(bytes) => Some(hex(bytes)),
    }
}

/// `1 ESP aes128gcm16-x25519, SPI c0000001`.
pub(super) fn proposal(offer: &wire::Proposal) -> String {
    let protocol = match offer.protocol {
        ProtocolId::Ike => Protocol::Ike,
        ProtocolId::Esp | ProtocolId::Ah | ProtocolId::None | ProtocolId::Other(_) => Protocol::Esp,
    };
    let transforms = offer.transforms.iter().map(|transform| Transform {
        kind: TransformKind::of_number(transform.kind.into()),
        id: transform.id,
        key_bits: transform.key_length,
    });
    let algorithms = Proposal::offered(protocol, transforms.collect());
    let mut text = format!("{} {} {algorithms}", offer.number, offer.protocol);
    if offer.transforms.iter().any(|transform| transform.unknown_attribute) {
        text.push_str(" (with an attribute unknown here)");
    }
    if let Some(spi) = spi(&offer.spi) {
        text.push_str(", SPI ");
        text.push_str(&spi);
    }
    text
}

pub(super) fn selector(selector: wire::TrafficSelector) -> String {
    match config::TrafficSelector::new(selector.first, selector.last) {
        Some(addresses) => {
            addresses.with_protocol(selector.protocol, selector.first_port, selector.last_port).to_string()
        }
        None => format!("{}-{}", selector.first, selector.last),
    }
}

pub(super) fn identity(id: &Identification<'_>) -> String {
    match Identity::from_payload(id.kind.into(), id.data) {
        Ok(identity) => identity.to_string(),
        Err(error) => format!("({error}) {}", printable(id.data)),
    }
}

/// Of a configuration payload, under its name in "IKEv2 Configuration Payload Attribute Types".
pub(super) fn attribute(attribute: ConfigurationAttribute<'_>) -> String {
    let name = match attribute.kind {
        1 => "INTERNAL_IP4_ADDRESS",
        2 => "INTERNAL_IP4_NETMASK",
        3 => "INTERNAL_IP4_DNS",
        4 => "INTERNAL_IP4_NBNS",
        6 => "INTERNAL_IP4_DHCP",
        7 => "APPLICATION_VERSION",
        8 => "INTERNAL_IP6_ADDRESS",
        10 => "INTERNAL_IP6_DNS",
        12 => "INTERNAL_IP6_DHCP",
        13 => "INTERNAL_IP4_SUBNET",
        14 => "SUPPORTED_ATTRIBUTES",
        15 => "INTERNAL_IP6_SUBNET",
        25 => "INTERNAL_DNS_DOMAIN",
        26 => "INTERNAL_DNSSEC_TA",
        other => return format!("attribute {other} {}", printable(attribute.value)),
    };
    match (attribute.kind, attribute.value) {
        (_, []) => name.to_owned(),
        (1..=6, value) if let Some(octets) = value.as_array::<4>() => {
            format!("{name} {}", Ipv4Addr::from(*octets))
        }
        (8..=12, value) if let Some((octets, rest)) = value.split_first_chunk::<16>() => {
            let prefix = rest.first().map(|length| format!("/{length}")).unwrap_or_default();
            format!("{name} {}{prefix}", Ipv6Addr::from(*octets))
        }
        (_, value) => format!("{name} {}", printable(value)),
    }
}
