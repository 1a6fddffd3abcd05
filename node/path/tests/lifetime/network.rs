//! A NAT that forgets, and a STUN server, in memory.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use stun_types::attribute::{AttributeType, XorMappedAddress};
use stun_types::message::{Message, MessageWrite as _, MessageWriteExt as _, MessageWriteVec};
use twinmesh_path::{LIFETIMES, LifetimePort, LifetimeProber, LifetimeTransmit, MappingLifetime};

pub(crate) const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 3478);
const DELAY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// RFC 5780.
    Whole,
    /// Overlooks RESPONSE-PORT.
    Plain,
    Silent,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    /// Of a mapping, after what was last sent by it.
    pub(crate) lifetime: Duration,
    pub(crate) server: Server,
    /// Percent, each way.
    pub(crate) loss: u32,
    /// Each port gets another outer address.
    pub(crate) pooled: bool,
    pub(crate) seed: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(45), server: Server::Whole, loss: 0, pooled: false, seed: 1 }
    }
}

fn number(port: LifetimePort) -> u16 {
    match port {
        LifetimePort::Asking => 100,
        LifetimePort::Silent(place) => u16::try_from(place).unwrap(),
    }
}

impl Network {
    fn outer(self, port: LifetimePort) -> SocketAddr {
        let last = if self.pooled { u8::try_from(number(port)).unwrap() + 1 } else { 1 };
        SocketAddr::new(IpAddr::from([203, 0, 113, last]), 50_000 + number(port))
    }

    /// Where the server's answer goes, and the answer.
    pub(crate) fn answer(self, from: SocketAddr, request: &[u8]) -> Option<(SocketAddr, Vec<u8>)> {
        let request = Message::from_bytes(request).unwrap();
        let mut answer = Message::builder_success(&request, MessageWriteVec::new());
        answer.add_attribute(&XorMappedAddress::new(from, request.transaction_id())).unwrap();
        let port = request
            .raw_attribute(AttributeType::new(0x0027))
            .map(|raw| u16::from_be_bytes([raw.value[0], raw.value[1]]));
        let to = match (self.server, port) {
            (Server::Silent, _) => return None,
            (Server::Whole, Some(port)) => SocketAddr::new(from.ip(), port),
            (Server::Whole | Server::Plain, _) => from,
        };
        Some((to, answer.finish()))
    }

    pub(crate) fn measure(self) -> (MappingLifetime, Duration) {
        let begin = Instant::now();
        let mut now = begin;
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut prober = LifetimeProber::new(SERVER, fastrand::Rng::with_seed(!self.seed), now);
        let ports = (0..LIFETIMES.len()).map(LifetimePort::Silent).chain([LifetimePort::Asking]);
        let inner: BTreeMap<SocketAddr, LifetimePort> = ports.map(|port| (self.outer(port), port)).collect();
        let mut used: BTreeMap<u16, Instant> = BTreeMap::new();
        let mut flying: BTreeMap<(Instant, u64), (LifetimePort, Vec<u8>)> = BTreeMap::new();
        let mut sent = 0;
        loop {
            while let Some(LifetimeTransmit { from, to, datagram }) = prober.poll_transmit() {
                assert_eq!(to, SERVER);
                used.insert(number(from), now);
                let Some((to, answer)) = self.answer(self.outer(from), &datagram) else { continue };
                let lost = (0..2).any(|_| random.u32(0..100) < self.loss);
                let Some(at) = inner.get(&to).filter(|_| !lost) else { continue };
                let alive = used.get(&number(*at)).is_some_and(|last| now + DELAY < *last + self.lifetime);
                if alive {
                    sent += 1;
                    flying.insert((now + 2 * DELAY, sent), (*at, answer));
                }
            }
            let Some(timeout) = prober.poll_timeout() else {
                return (prober.lifetime().unwrap(), now - begin);
            };
            let arrives = flying.first_key_value().map(|((arrives, _), _)| *arrives);
            if let Some(arrives) = arrives.filter(|arrives| *arrives <= timeout) {
                now = arrives;
                let (_, (at, datagram)) = flying.pop_first().unwrap();
                prober.handle_datagram(at, SERVER, &datagram, now);
            } else {
                now = timeout;
                prober.handle_timeout(now);
            }
        }
    }
}
