//! Pairs of clients; in each, one sends to the other as fast as that one gets it, as a TCP connection in a tunnel
//! would.

use std::io::{ErrorKind, IoSliceMut};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use serde::{Deserialize, Serialize};
use twinmesh_coordinator::relay::RelaySecret;

use super::client::{CHANNEL, Client};

/// Makes this program the load.
pub(crate) const MARKER: &str = "load";
pub(crate) const SECRET: &str = "a secret that only relays have";
/// Of the channel data.
pub(crate) const PAYLOAD: u16 = 1200;
pub(crate) const SECONDS: u64 = 2;
/// Before it is measured.
const WARM_UP: Duration = Duration::from_millis(500);
/// Packets under way, of all pairs together and of one at least.
const UNDER_WAY: usize = 256;
const LEAST: usize = 8;
/// Packets that leave with one system call.
const TRAIN: usize = 32;
/// What has not arrived after that is lost.
const LOST: Duration = Duration::from_millis(20);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Payload, in bytes.
    pub(crate) sent: f64,
    pub(crate) received: f64,
    pub(crate) seconds: f64,
    /// What was received before it was measured.
    pub(crate) warm_up: f64,
}

/// How datagrams leave a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Many with one system call, which reach the relay together (UDP GSO).
    Together,
    /// One system call and one packet for each.
    Singly,
}

impl Leave {
    pub(crate) const BOTH: [Self; 2] = [Self::Together, Self::Singly];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Together => "together",
            Self::Singly => "singly",
        }
    }
}

struct Pair {
    sender: Client,
    receiver: Client,
    states: [UdpSocketState; 2],
    leave: Leave,
    /// Packets.
    under_way: usize,
    heard: Instant,
}

pub(crate) fn run(relay: SocketAddr, pairs: usize, leave: &str) -> Result<Outcome> {
    let secret = RelaySecret::new(SECRET.to_owned().into()).context("the secret is short")?;
    let leave =
        Leave::BOTH.into_iter().find(|known| known.name() == leave).context("no such way to leave")?;
    let mut pairs =
        (0..pairs).map(|pair| Pair::new(relay, &secret, pair, leave)).collect::<Result<Vec<_>>>()?;
    let window = (UNDER_WAY / pairs.len()).max(LEAST);
    let packet =
        [&CHANNEL.to_be_bytes()[..], &PAYLOAD.to_be_bytes(), &vec![7; usize::from(PAYLOAD)]].concat();
    let train = packet.repeat(TRAIN);
    let mut buffer = vec![0; 65_536];
    let mut turn = |pairs: &mut [Pair]| -> Result<[usize; 2]> {
        let mut counts = [0; 2];
        for pair in pairs {
            counts[0] += pair.send(relay, window, packet.len(), &train)?;
            counts[1] += pair.receive(packet.len(), &mut buffer)?;
        }
        Ok(counts)
    };
    let (begin, mut warm_up) = (Instant::now(), 0);
    while begin.elapsed() < WARM_UP {
        warm_up += turn(&mut pairs)?[1];
    }
    let (begin, mut total) = (Instant::now(), [0; 2]);
    while begin.elapsed() < Duration::from_secs(SECONDS) {
        let counts = turn(&mut pairs)?;
        total = [total[0] + counts[0], total[1] + counts[1]];
    }
    let seconds = begin.elapsed().as_secs_f64();
    let bytes = |packets: usize| anyhow::Ok(f64::from(u32::try_from(packets)?) * f64::from(PAYLOAD));
    Ok(Outcome { sent: bytes(total[0])?, received: bytes(total[1])?, seconds, warm_up: bytes(warm_up)? })
}

impl Pair {
    fn new(relay: SocketAddr, secret: &RelaySecret, number: usize, leave: Leave) -> Result<Self> {
        let node = 2 * u64::try_from(number)?;
        let sender = Client::allocate(relay, secret, node)?;
        let receiver = Client::allocate(relay, secret, node + 1)?;
        sender.bind(receiver.relayed)?;
        receiver.bind(sender.relayed)?;
        let states =
            [UdpSocketState::new((&sender.socket).into())?, UdpSocketState::new((&receiver.socket).into())?];
        Ok(Self { sender, receiver, states, leave, under_way: 0, heard: Instant::now() })
    }

    /// Packets that were sent.
    fn send(&mut self, relay: SocketAddr, window: usize, size: usize, train: &[u8]) -> Result<usize> {
        if self.heard.elapsed() > LOST {
            self.under_way = 0;
            self.heard = Instant::now();
        }
        let count = window.saturating_sub(self.under_way).min(TRAIN);
        // Half a train is not worth a system call, unless the window has no more.
        if count < TRAIN.min(window) / 2 {
            return Ok(0);
        }
        let contents = train.get(..count * size).context("a train too long")?;
        let at_once = match self.leave {
            Leave::Together => count.max(1),
            Leave::Singly => 1,
        };
        let mut sent = 0;
        for contents in contents.chunks(at_once * size) {
            let segment_size = (at_once > 1).then_some(size);
            let transmit = Transmit { destination: relay, ecn: None, contents, segment_size, src_ip: None };
            match self.states[0].try_send((&self.sender.socket).into(), &transmit) {
                Ok(()) => sent += contents.len() / size,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.under_way += sent;
        Ok(sent)
    }

    /// Packets that arrived.
    fn receive(&mut self, size: usize, buffer: &mut [u8]) -> Result<usize> {
        let mut count = 0;
        loop {
            let mut meta = [RecvMeta::default()];
            let mut slots = [IoSliceMut::new(buffer)];
            match self.states[1].recv((&self.receiver.socket).into(), &mut slots, &mut meta) {
                Ok(_) => count += meta[0].len / size,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        if count > 0 {
            self.under_way = self.under_way.saturating_sub(count);
            self.heard = Instant::now();
        }
        Ok(count)
    }
}
