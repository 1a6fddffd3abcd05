//! Packets into one inbound SA: arbitrary ones, and authentic ones with arbitrary content, as a malicious peer
//! makes them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use twinmesh_esp::{
    Addresses, Content, Flow, InboundSa, KeyMaterial, Lifetime, Mode, OriginalAddresses, OutboundSa,
    SaParameters, Selectors, Spi, Suite,
};

use crate::script::Script;

/// One of each kind.
const SUITES: [&str; 12] = [
    "null-sha256",
    "aes128gcm16",
    "chacha20poly1305",
    "aes192gcm16",
    "aes256gcm8",
    "aes128gcm12",
    "aes128gmac",
    "aes128-sha256",
    "aes256-sha512",
    "aes128ctr-sha384",
    "3des-md5",
    "null-sha1",
];
const SPI: u32 = 0x8765_4321;
const KEY_BYTE: u8 = 0x5a;

pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    Inbound::new(&mut script).follow(script);
}

struct Inbound {
    parameters: SaParameters,
    sa: InboundSa,
    outer: Addresses,
    now: Instant,
    seen: BTreeSet<u64>,
    next: u64,
}

impl Inbound {
    fn new(script: &mut Script<'_>) -> Self {
        let suite: Suite = script.of(&SUITES).parse().expect("each of them is one");
        let flags = script.byte();
        let is_v6 = flags & 4 != 0;
        let parameters = SaParameters {
            spi: Spi::new(SPI).expect("it is not reserved"),
            suite,
            mode: if flags & 1 == 0 { Mode::Tunnel } else { Mode::Transport },
            esn: flags & 2 != 0,
            selectors: if flags & 8 == 0 { Selectors::any_any() } else { narrow() },
            lifetime: Lifetime::default(),
            replay_window: script.of(&[32, 64, 128, 4096, 65_536, 0, 33, u32::MAX]),
            tfc_multiple: 0,
            tfc_limit: 0,
            align_8: is_v6,
        };
        let top = script.of(&[0, 1, 63, 0xffff_fffd, 0x1_0000_0001, u64::MAX - 2]);
        let top = if parameters.esn { top } else { top & 0xffff_ffff };
        let now = Instant::now();
        let sa =
            InboundSa::with_top(parameters.clone(), &keys(suite), now, top).expect("the key fits the suite");
        let sa = if flags & 16 == 0 { sa } else { sa.behind_nat(original(is_v6)) };
        Self { parameters, sa, outer: outer(is_v6), now, seen: BTreeSet::new(), next: top }
    }

    fn follow(&mut self, mut script: Script<'_>) {
        let mut steps = 0;
        while !script.is_over() && steps < 64 {
            steps += 1;
            let action = script.byte();
            let len =
                usize::from(if action & 0x40 == 0 { script.byte().into() } else { script.word() % 2048 });
            match action & 7 {
                0 => self.arbitrary(script.bytes(len).to_vec()),
                1 => {
                    // Behind a header that finds its way to the cipher.
                    let sequence = self.sequence(&mut script);
                    let bytes = script.bytes(len);
                    self.arbitrary([&header(sequence)[..], bytes].concat());
                }
                2 | 3 => {
                    let sequence = self.sequence(&mut script);
                    let plaintext = script.bytes(len).to_vec();
                    if let Some(packet) = self.authentic(sequence, &plaintext) {
                        self.authentic_packet(packet, sequence, &mut script, action);
                    }
                }
                4 => {
                    let sequence = self.sequence(&mut script);
                    let next_header = script.byte();
                    let payload = script.bytes(len).to_vec();
                    if let Some(packet) = self.sealed(sequence, next_header, &payload) {
                        self.authentic_packet(packet, sequence, &mut script, action);
                    }
                }
                _ => {
                    let sequence = self.sequence(&mut script);
                    let (next_header, inner) = ip_packet(&mut script, len);
                    if let Some(packet) = self.sealed(sequence, next_header, &inner) {
                        self.authentic_packet(packet, sequence, &mut script, action);
                    }
                }
            }
        }
    }

    /// Near the last one, so that the window has something to decide.
    fn sequence(&mut self, script: &mut Script<'_>) -> u64 {
        let step = script.byte();
        let distance = u64::from(step & 0x3f) << script.of(&[0, 0, 0, 6, 12, 27, 32]);
        let sequence = if step & 0x40 == 0 {
            self.next.wrapping_add(distance)
        } else {
            self.next.wrapping_sub(distance)
        };
        self.next = if self.parameters.esn { sequence } else { sequence & 0xffff_ffff };
        self.next
    }

    /// NULL encryption, so that the plaintext is ours down to the padding.
    fn authentic(&self, sequence: u64, plaintext: &[u8]) -> Option<Vec<u8>> {
        if self.parameters.suite.to_string() != "null-sha256" {
            return None;
        }
        let mut packet = [&header(sequence)[..], plaintext].concat();
        let mut mac = Hmac::<Sha256>::new_from_slice(&[KEY_BYTE; 32]).ok()?;
        mac.update(&packet);
        if self.parameters.esn {
            mac.update(&sequence.to_be_bytes()[..4]);
        }
        packet.extend(&mac.finalize().into_bytes()[..16]);
        Some(packet)
    }

    /// By an SA in transport mode, which takes any payload behind any next header, whatever our mode.
    fn sealed(&self, sequence: u64, next_header: u8, payload: &[u8]) -> Option<Vec<u8>> {
        let parameters = SaParameters { mode: Mode::Transport, ..self.parameters.clone() };
        let last = sequence.checked_sub(1)?;
        let sa = OutboundSa::with_sequence(parameters, &keys(self.parameters.suite), self.now, last).ok()?;
        let total = u16::try_from(20 + payload.len()).ok()?.to_be_bytes();
        let ip =
            [0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, next_header, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1];
        let mut out = vec![0; payload.len() + 256];
        let len = sa.seal(&[&ip[..], payload].concat(), &mut out, self.now).ok()?;
        out.truncate(len);
        Some(out)
    }

    /// Nobody without the key gets anything in.
    fn arbitrary(&self, mut packet: Vec<u8>) {
        assert!(self.sa.open(&mut packet, self.outer, self.now).is_err(), "a forged packet came in");
    }

    fn authentic_packet(&mut self, mut packet: Vec<u8>, sequence: u64, script: &mut Script<'_>, action: u8) {
        if action & 0x80 != 0 {
            let bit = usize::from(script.word()) % (packet.len() * 8);
            packet[bit / 8] ^= 1 << (bit % 8);
            return self.arbitrary(packet);
        }
        let Ok(opened) = self.sa.open(&mut packet, self.outer, self.now) else { return };
        assert!(self.seen.insert(sequence), "a packet was accepted twice");
        match opened.content {
            Content::Packet(range) => {
                assert_eq!(self.parameters.mode, Mode::Tunnel);
                let flow = Flow::of_packet(&packet[range]);
                assert!(
                    flow.is_ok_and(|flow| self.parameters.selectors.allows_inbound(&flow))
                        || self.passes_all()
                );
            }
            Content::Payload { next_header, range } => {
                assert_eq!(self.parameters.mode, Mode::Transport);
                let Addresses { source, destination } = self.outer;
                let flow = Flow::of_payload(source, destination, next_header, &packet[range]);
                assert!(
                    flow.is_ok_and(|flow| self.parameters.selectors.allows_inbound(&flow))
                        || self.passes_all()
                );
            }
            Content::Dummy => {}
        }
    }

    fn passes_all(&self) -> bool {
        self.parameters.selectors == Selectors::any_any()
    }
}

/// Nearly right, with the next header that announces it: now and then its length lies, or padding follows.
fn ip_packet(script: &mut Script<'_>, len: usize) -> (u8, Vec<u8>) {
    let protocol = script.of(&[6, 17, 1, 58, 0, 44, 60, 43, 4, 132]);
    let is_v6 = script.byte() & 1 != 0;
    let lie = script.of(&[0, 0, 0, 0, 1, 8, u16::MAX, u16::MAX - 19, 0x4000]);
    let hosts = [script.byte(), script.byte()];
    let payload = script.bytes(len);
    let payload_len = u16::try_from(payload.len()).expect("the fuzzer's inputs are short");
    if is_v6 {
        let [l0, l1] = payload_len.wrapping_add(lie).to_be_bytes();
        let nets = [0x2001_0db8u32, 0x2001_0000, 0xff02_0000, 0];
        let mut packet = vec![0x60, 0, 0, 0, l0, l1, protocol, 64];
        for host in hosts {
            packet.extend(nets[usize::from(host % 4)].to_be_bytes());
            packet.extend([0; 11]);
            packet.push(host);
        }
        packet.extend(payload);
        (41, packet)
    } else {
        let [l0, l1] = (20 + payload_len).wrapping_add(lie).to_be_bytes();
        let nets = [[192, 0, 2], [198, 51, 100], [10, 0, 0], [224, 0, 0]];
        let mut packet = vec![0x45, 0, l0, l1, 0, 0, 0, 0, 64, protocol, 0, 0];
        for host in hosts {
            packet.extend(nets[usize::from(host % 4)]);
            packet.push(host);
        }
        packet.extend(payload);
        (4, packet)
    }
}

fn keys(suite: Suite) -> KeyMaterial {
    KeyMaterial::new(vec![KEY_BYTE; suite.key_len()])
}

fn header(sequence: u64) -> [u8; 8] {
    let [s0, s1, s2, s3] = SPI.to_be_bytes();
    let [_, _, _, _, n0, n1, n2, n3] = sequence.to_be_bytes();
    [s0, s1, s2, s3, n0, n1, n2, n3]
}

fn narrow() -> Selectors {
    let list = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("it is a selector")).collect();
    Selectors {
        local: list(&["192.0.0.0/8", "198.51.100.0/24[udp/0-1000]", "2001:db8::/32"]),
        remote: list(&["0.0.0.0/1", "192.0.0.0/8[tcp]", "::/1[icmpv6]", "2001::/16[udp/opaque]"]),
    }
}

fn outer(is_v6: bool) -> Addresses {
    if is_v6 {
        Addresses { source: v6(1), destination: v6(2) }
    } else {
        Addresses {
            source: Ipv4Addr::new(192, 0, 2, 1).into(),
            destination: Ipv4Addr::new(198, 51, 100, 1).into(),
        }
    }
}

fn original(is_v6: bool) -> OriginalAddresses {
    if is_v6 {
        OriginalAddresses { source: v6(3), destination: v6(4) }
    } else {
        OriginalAddresses {
            source: Ipv4Addr::new(10, 0, 0, 1).into(),
            destination: Ipv4Addr::new(10, 0, 0, 2).into(),
        }
    }
}

fn v6(last: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into()
}
