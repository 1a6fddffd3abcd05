//! The same packets for the engine and for the bare AEAD of the same library.

use std::time::Instant;

use ring::aead::{AES_128_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use twinmesh_esp::{
    Addresses, InboundSa, KeyMaterial, Lifetime, Mode, OutboundSa, SaParameters, Selectors, Spi, Suite,
};

pub(crate) const SIZES: [usize; 4] = [64, 576, 1400, 9000];
/// Long enough for SPI, sequence, IV, any trailer, and ICV around the longest packet.
pub(crate) const BUFFER: usize = 9100;

const HEADER: usize = 16;
const TAG: usize = 16;

pub(crate) fn pair(suite: Suite, now: Instant) -> (OutboundSa, InboundSa) {
    let prefix = |text: &str| [text.parse().expect("a prefix")];
    let parameters = SaParameters {
        spi: Spi::new(0x8000_0001).expect("not reserved"),
        suite,
        mode: Mode::Tunnel,
        esn: true,
        // A site's subnets, so that each packet's addresses are compared.
        selectors: Selectors::from_prefixes(prefix("198.51.100.0/24"), prefix("192.0.2.0/24")),
        lifetime: Lifetime::default(),
        replay_window: 4096,
        tfc_multiple: 0,
        tfc_limit: 0,
        align_8: false,
    };
    let keys = KeyMaterial::new(vec![7; suite.key_len()]);
    let outbound = OutboundSa::new(parameters.clone(), &keys, now).expect("keys of the suite's length");
    (outbound, InboundSa::new(parameters, &keys, now).expect("keys of the suite's length"))
}

pub(crate) fn outer() -> Addresses {
    let address = |text: &str| text.parse().expect("an address");
    Addresses { source: address("203.0.113.1"), destination: address("203.0.113.2") }
}

/// UDP, 192.0.2.1 to 198.51.100.1.
pub(crate) fn packet(len: usize) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1];
    packet.resize(len, 0x5a);
    let [l0, l1] = u16::try_from(len).expect("an IP packet").to_be_bytes();
    (packet[2], packet[3]) = (l0, l1);
    packet
}

/// Nothing but the AEAD over so many bytes in place, with ESP's nonce and associated data.
pub(crate) struct Bare {
    key: LessSafeKey,
    sequence: u64,
}

impl Bare {
    pub(crate) fn new(suite: Suite) -> Self {
        let algorithm: &Algorithm =
            if suite == Suite::CHACHA20_POLY1305 { &CHACHA20_POLY1305 } else { &AES_128_GCM };
        let key = UnboundKey::new(algorithm, &vec![7; algorithm.key_len()]).expect("a key of its length");
        Self { key: LessSafeKey::new(key), sequence: 0 }
    }

    /// `len` bytes of plaintext in the middle of `buffer`, the tag behind.
    pub(crate) fn seal(&mut self, len: usize, buffer: &mut [u8]) {
        self.sequence += 1;
        let (header, rest) = buffer.split_at_mut(HEADER);
        header[8..].copy_from_slice(&self.sequence.to_be_bytes());
        let (text, rest) = rest.split_at_mut(len);
        let nonce = nonce(header);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(&header[..12]), text);
        rest[..TAG].copy_from_slice(tag.expect("short enough").as_ref());
    }

    pub(crate) fn open(&self, len: usize, buffer: &mut [u8]) {
        let (header, rest) = buffer.split_at_mut(HEADER);
        let nonce = nonce(header);
        let opened = self.key.open_in_place(nonce, Aad::from(&header[..12]), &mut rest[..len + TAG]);
        assert_eq!(opened.expect("authentic").len(), len);
    }
}

fn nonce(header: &[u8]) -> Nonce {
    let mut nonce = [7; 12];
    nonce[4..].copy_from_slice(&header[8..]);
    Nonce::assume_unique_for_key(nonce)
}
