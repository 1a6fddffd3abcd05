//! SAs of both ends.

use std::time::Instant;

use twinmesh_esp::{
    InboundSa, Integrity, KeyMaterial, Lifetime, Mode, OutboundSa, SaParameters, Selectors, Spi, Suite,
};
use twinmesh_interop::{Encapsulation, Family, NAT_PORT, Request, algorithms};

pub(crate) const SPI: u32 = 0xc0de_0001;

/// Plaintexts that need all sorts of padding.
pub(crate) const LENGTHS: [usize; 6] = [0, 1, 6, 15, 100, 1300];

/// A sequence number, with the width that makes it possible.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequence {
    pub(crate) number: u64,
    pub(crate) esn: bool,
}

impl Sequence {
    /// Without ESN; with it before, at and long after the first wrap of the half that is sent.
    pub(crate) const ALL: [Self; 5] = [
        Self { number: 1, esn: false },
        Self { number: 0xffff_ffff, esn: false },
        Self { number: 7, esn: true },
        Self { number: 0x1_0000_0000, esn: true },
        Self { number: 0x1234_5678_9abc_def0, esn: true },
    ];
}

/// One ESP SA and one of its packets.
pub(crate) struct Case {
    pub(crate) suite: Suite,
    pub(crate) mode: Mode,
    pub(crate) outer: Family,
    pub(crate) encapsulation: Encapsulation,
    pub(crate) sequence: Sequence,
}

impl Case {
    /// Every suite with every sequence number.
    pub(crate) fn all(mode: Mode, outer: Family, encapsulation: Encapsulation) -> impl Iterator<Item = Self> {
        Suite::all().flat_map(move |suite| {
            Sequence::ALL.map(move |sequence| Self { suite, mode, outer, encapsulation, sequence })
        })
    }

    pub(crate) fn key(&self) -> Vec<u8> {
        (1u8..).take(self.suite.key_len()).collect()
    }

    pub(crate) fn parameters(&self) -> SaParameters {
        SaParameters {
            spi: Spi::new(SPI).expect("it is not reserved"),
            suite: self.suite,
            mode: self.mode,
            esn: self.sequence.esn,
            selectors: Selectors::any_any(),
            lifetime: Lifetime::default(),
            replay_window: 64,
            tfc_multiple: 0,
            tfc_limit: 0,
            align_8: self.outer == Family::V6 && self.encapsulation == Encapsulation::Raw,
        }
    }

    /// The SA that seals the packet.
    pub(crate) fn outbound(&self) -> OutboundSa {
        let keys = KeyMaterial::new(self.key());
        OutboundSa::with_sequence(self.parameters(), &keys, Instant::now(), self.sequence.number - 1)
            .expect("the key is as long as the suite wants")
    }

    /// The SA that opens it.
    pub(crate) fn inbound(&self) -> InboundSa {
        let keys = KeyMaterial::new(self.key());
        InboundSa::with_top(self.parameters(), &keys, Instant::now(), self.sequence.number - 1)
            .expect("the key is as long as the suite wants")
    }

    pub(crate) fn request(&self, task: &'static str, packet: Vec<u8>) -> Request {
        let (encryption, integrity) = algorithms(self.suite);
        let mut encryption_key = self.key();
        let integrity_key_len = self.suite.integrity().map_or(0, Integrity::key_len);
        let integrity_key = encryption_key.split_off(encryption_key.len() - integrity_key_len);
        Request {
            task,
            protocol: "esp",
            spi: SPI,
            sequence: self.sequence.number,
            esn: self.sequence.esn,
            encryption: Some(encryption),
            encryption_key,
            integrity,
            integrity_key,
            tunnel: (self.mode == Mode::Tunnel).then(|| self.outer.addresses()),
            udp: (self.encapsulation == Encapsulation::Udp).then_some([NAT_PORT; 2]),
            packet,
        }
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { suite, outer, encapsulation, sequence, .. } = self;
        write!(f, "{suite} over {outer:?} {encapsulation:?}, {sequence:?}")
    }
}
