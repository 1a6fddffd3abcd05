//! Two ends of an SA, packets for it, and authentic packets that no honest sender makes.

use std::net::IpAddr;
use std::time::Instant;

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use twinmesh_esp::{
    Addresses, Content, DropReason, InboundSa, KeyMaterial, Lifetime, Mode, Opened, OutboundSa, SaParameters,
    Selectors, Spi, Suite,
};
use twinmesh_packet::Checksum;

pub(crate) const SPI: u32 = 0x8000_1234;

pub(crate) fn parameters(suite: Suite) -> SaParameters {
    SaParameters {
        spi: Spi::new(SPI).unwrap(),
        suite,
        mode: Mode::Tunnel,
        esn: false,
        selectors: Selectors::any_any(),
        lifetime: Lifetime::default(),
        replay_window: 64,
        tfc_multiple: 0,
        tfc_limit: 0,
        align_8: false,
    }
}

pub(crate) fn gcm() -> SaParameters {
    parameters(Suite::AES_128_GCM_16)
}

pub(crate) fn keys(suite: Suite) -> KeyMaterial {
    KeyMaterial::new((1..=u8::try_from(suite.key_len()).unwrap()).collect())
}

pub(crate) fn start() -> Instant {
    Instant::now()
}

pub(crate) fn outbound(parameters: &SaParameters) -> OutboundSa {
    OutboundSa::new(parameters.clone(), &keys(parameters.suite), start()).unwrap()
}

pub(crate) fn inbound(parameters: &SaParameters) -> InboundSa {
    InboundSa::new(parameters.clone(), &keys(parameters.suite), start()).unwrap()
}

pub(crate) fn pair(parameters: &SaParameters) -> (OutboundSa, InboundSa) {
    (outbound(parameters), inbound(parameters))
}

pub(crate) fn seal(sa: &OutboundSa, packet: &[u8]) -> Vec<u8> {
    let mut out = vec![0xee; sa.sealed_len(packet.len()) + 32];
    let len = sa.seal(packet, &mut out, sa.made()).unwrap();
    assert!(out[len..].iter().all(|byte| *byte == 0xee), "written past the sealed packet");
    out.truncate(len);
    out
}

pub(crate) fn addresses(source: &str, destination: &str) -> Addresses {
    Addresses { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

pub(crate) fn outer() -> Addresses {
    addresses("203.0.113.1", "203.0.113.2")
}

/// The content as bytes, with its next header in transport mode.
pub(crate) fn open(sa: &InboundSa, sealed: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut packet = sealed.to_vec();
    let Opened { content, .. } = sa.open(&mut packet, outer(), sa.made())?;
    Ok(match content {
        Content::Packet(range) => packet[range].to_vec(),
        Content::Payload { next_header, range } => [&[next_header], &packet[range]].concat(),
        Content::Dummy => Vec::new(),
    })
}

/// An IPv4 or IPv6 packet, after the addresses' family.
pub(crate) fn packet(source: &str, destination: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap();
    match (source.parse().unwrap(), destination.parse().unwrap()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let [l0, l1] = (len + 20).to_be_bytes();
            let mut header = vec![0x45, 0, l0, l1, 0, 0, 0x40, 0, 64, protocol, 0, 0];
            header.extend(source.octets());
            header.extend(destination.octets());
            let sum = Checksum::new().with(&header).finish().to_be_bytes();
            header[10..12].copy_from_slice(&sum);
            [&header, payload].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let [l0, l1] = len.to_be_bytes();
            let header = [0x60, 0, 0, 0, l0, l1, protocol, 64];
            [&header, &source.octets()[..], &destination.octets(), payload].concat()
        }
        _ => panic!("addresses of two families"),
    }
}

pub(crate) fn v4(payload: &[u8]) -> Vec<u8> {
    packet("192.0.2.1", "198.51.100.1", 17, payload)
}

pub(crate) fn v6(payload: &[u8]) -> Vec<u8> {
    packet("2001:db8::1", "2001:db8:1::1", 17, payload)
}

/// Seals `text`, trailer included, whatever it is: AES-128-GCM with [`keys`], written down from RFC 4106 and
/// apart from the engine.
pub(crate) fn forge(sequence: u64, esn: bool, text: &[u8]) -> Vec<u8> {
    let keys: Vec<u8> = (1..=20).collect();
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &keys[..16]).unwrap());
    let iv = sequence.to_be_bytes();
    let nonce = Nonce::assume_unique_for_key([&keys[16..], &iv].concat().try_into().unwrap());
    let spi = SPI.to_be_bytes();
    let aad = if esn { [&spi[..], &iv].concat() } else { [&spi, &iv[4..]].concat() };
    let mut text = text.to_vec();
    key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut text).unwrap();
    [&spi, &iv[4..], &iv, &text].concat()
}

/// Payload with right padding and trailer.
pub(crate) fn text(payload: &[u8], next_header: u8) -> Vec<u8> {
    let pad_len = u8::try_from((payload.len() + 2).next_multiple_of(4) - payload.len() - 2).unwrap();
    let padding: Vec<u8> = (1..=pad_len).collect();
    [payload, &padding, &[pad_len, next_header]].concat()
}
