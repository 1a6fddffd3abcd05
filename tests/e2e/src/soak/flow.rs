//! One flow: sends blocks or datagrams that no other one resembles, and compares what comes back.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::traffic::Counts;

/// Without an answer for so long a connection is given up and made anew, as programs do.
const PATIENCE: Duration = Duration::from_secs(5);
/// A datagram that is not back by then is lost.
const UNDER_WAY: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(200);
/// Blocks until a connection is closed and another opened: FIN and SYN pass all the time.
const BLOCKS: usize = 30;

/// What a flow is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Blocks of 16 to 256 KiB.
    TcpLarge,
    /// Blocks of 1 to 1,000 bytes.
    TcpSmall,
    /// Eight datagrams of 20 to 1,300 bytes, all of one size, at once.
    UdpBurst,
    /// One datagram of 1,400 to 6,000 bytes, which travels in fragments.
    UdpLarge,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::TcpLarge, Self::TcpSmall, Self::UdpBurst, Self::UdpLarge];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::TcpLarge => "TCP large",
            Self::TcpSmall => "TCP small",
            Self::UdpBurst => "UDP burst",
            Self::UdpLarge => "UDP large",
        }
    }

    pub(super) const fn is_tcp(self) -> bool {
        matches!(self, Self::TcpLarge | Self::TcpSmall)
    }

    const fn sizes(self) -> (u64, u64) {
        match self {
            Self::TcpLarge => (16 << 10, 256 << 10),
            Self::TcpSmall => (1, 1000),
            Self::UdpBurst => (20, 1300),
            Self::UdpLarge => (1400, 6000),
        }
    }

    /// Between two exchanges.
    const fn pause(self) -> Duration {
        Duration::from_millis(match self {
            Self::TcpLarge | Self::UdpLarge => 100,
            Self::TcpSmall | Self::UdpBurst => 25,
        })
    }

    const fn at_once(self) -> u64 {
        if matches!(self, Self::UdpBurst) { 8 } else { 1 }
    }
}

/// The generator `xorshift64*`: what is sent need not be secret, only different.
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn size(&mut self, (least, most): (u64, u64)) -> usize {
        usize::try_from(least + self.next() % (most - least + 1)).unwrap_or_default()
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_be_bytes();
            chunk.copy_from_slice(word.get(..chunk.len()).unwrap_or_default());
        }
    }
}

/// Never ends.
pub(super) fn run(kind: Kind, to: SocketAddr, seed: u64, counts: &Counts) {
    let mut noise = Noise::new(seed);
    loop {
        let ended = if kind.is_tcp() {
            connection(kind, to, &mut noise, counts)
        } else {
            datagrams(kind, to, &mut noise, counts)
        };
        if ended.is_err() {
            counts.broken.fetch_add(1, Ordering::Relaxed);
            thread::sleep(RETRY);
        }
    }
}

/// Some blocks over a connection of their own.
fn connection(kind: Kind, to: SocketAddr, noise: &mut Noise, counts: &Counts) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        let size = noise.size(kind.sizes());
        sent.resize(4 + size, 0);
        received.resize(4 + size, 0);
        let (head, body) = sent.split_at_mut(4);
        head.copy_from_slice(&u32::try_from(size).unwrap_or_default().to_be_bytes());
        noise.fill(body);
        stream.write_all(&sent)?;
        stream.read_exact(&mut received)?;
        counts.answered(sent == received, sent.len());
        thread::sleep(kind.pause());
    }
    Ok(())
}

/// Bursts of datagrams from one port. Each has its number in front: one that comes after its time is no answer to
/// another.
fn datagrams(kind: Kind, to: SocketAddr, noise: &mut Noise, counts: &Counts) -> io::Result<()> {
    let own = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(own)?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(UNDER_WAY))?;
    let mut received = vec![0; 65_536];
    for number in 0.. {
        let size = noise.size(kind.sizes());
        let first = number * kind.at_once();
        let mut waiting = Vec::new();
        for index in first..first + kind.at_once() {
            let mut sent = vec![0; size];
            noise.fill(&mut sent);
            sent.iter_mut().zip(u64::to_be_bytes(index)).for_each(|(byte, digit)| *byte = digit);
            socket.send(&sent)?;
            waiting.push(sent);
        }
        while !waiting.is_empty() {
            let Ok(length) = socket.recv(&mut received) else { break };
            let answer = received.get(..length).unwrap_or_default();
            let same = waiting.iter().position(|sent| sent.get(..8) == answer.get(..8));
            // Of an earlier burst.
            let Some(at) = same else { continue };
            counts.answered(waiting.swap_remove(at) == answer, length);
        }
        counts.lost.fetch_add(u64::try_from(waiting.len()).unwrap_or_default(), Ordering::Relaxed);
        thread::sleep(kind.pause());
    }
    Ok(())
}

impl Counts {
    fn answered(&self, whole: bool, bytes: usize) {
        let counter = if whole { &self.done } else { &self.corrupt };
        counter.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or_default(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_lie_within_their_bounds_and_reach_them() {
        let mut noise = Noise::new(7);
        let sizes: Vec<usize> = (0..200).map(|_| noise.size((3, 6))).collect();
        assert!((3..=6).all(|size| sizes.contains(&size)) && sizes.iter().all(|size| (3..=6).contains(size)));
    }

    #[test]
    fn no_two_blocks_are_alike() {
        let mut noise = Noise::new(1);
        let [mut one, mut other] = [[0; 100]; 2];
        noise.fill(&mut one);
        noise.fill(&mut other);
        assert_ne!(one, other);
    }
}
