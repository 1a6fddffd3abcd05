//! What address others see of our data port: STUN binding requests (RFC 8489) over the port itself.
//! No sockets, no clock.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use stun_types::message::TransactionId;

use crate::message::{Received, canonical, read, request};

/// Often enough to see a new mapping soon and to keep the mapping alive.
const INTERVAL: Duration = Duration::from_secs(20);
/// First retransmission; each further one waits twice as long (RFC 8489 §6.2.1).
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(500);
/// After so many requests without answer, what was seen before is no longer believed.
const MOST_REQUESTS: u32 = 5;

/// One server address per family is asked; each family has its own mapping.
#[derive(Debug)]
pub struct StunClient {
    probes: Vec<Probe>,
    interval: Duration,
    random: fastrand::Rng,
}

#[derive(Debug)]
struct Probe {
    server: SocketAddr,
    reflexive: Option<SocketAddr>,
    /// The request under way, and how often it was sent.
    pending: Option<(TransactionId, u32)>,
    due: Instant,
}

/// A request to send now from the data port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub to: SocketAddr,
    pub datagram: Vec<u8>,
}

impl StunClient {
    /// `random` makes transaction ids: it must not be foreseeable from outside.
    pub fn new(random: fastrand::Rng) -> Self {
        Self { probes: Vec::new(), interval: INTERVAL, random }
    }

    /// Asks these servers from now on; of each family the first. Servers that stay are not asked anew.
    pub fn set_servers(&mut self, servers: &[SocketAddr], now: Instant) {
        let first = |ipv6| servers.iter().copied().find(|server| server.is_ipv6() == ipv6);
        let wanted: Vec<SocketAddr> = [first(false), first(true)].into_iter().flatten().collect();
        self.probes.retain(|probe| wanted.contains(&probe.server));
        for server in wanted {
            if !self.probes.iter().any(|probe| probe.server == server) {
                self.probes.push(Probe { server, reflexive: None, pending: None, due: now });
            }
        }
    }

    /// Asks at least so often, since the NAT forgets sooner than the usual interval; `None`: it is not known to.
    pub fn set_keepalive(&mut self, keepalive: Option<Duration>, now: Instant) {
        self.interval = keepalive.map_or(INTERVAL, |keepalive| keepalive.min(INTERVAL));
        for probe in &mut self.probes {
            probe.due = probe.due.min(now + self.interval);
        }
    }

    /// Asks again at once: the old answers may be wrong now.
    pub fn restart(&mut self, now: Instant) {
        for probe in &mut self.probes {
            probe.pending = None;
            probe.due = now;
        }
    }

    /// What was seen there is known to be wrong.
    pub fn forget(&mut self, wrong: impl Fn(IpAddr) -> bool) {
        for probe in &mut self.probes {
            probe.reflexive = probe.reflexive.filter(|seen| !wrong(seen.ip()));
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.probes.iter().map(|probe| probe.due).min()
    }

    /// The next request that is due; call until it gives `None`.
    pub fn poll_request(&mut self, now: Instant) -> Option<Request> {
        let probe = self.probes.iter_mut().find(|probe| probe.due <= now)?;
        let (id, sent) = match probe.pending {
            Some((id, sent)) if sent < MOST_REQUESTS => (id, sent),
            Some(_) => {
                probe.reflexive = None;
                (self.random.u128(..).into(), 0)
            }
            None => (self.random.u128(..).into(), 0),
        };
        let sent = sent + 1;
        probe.pending = Some((id, sent));
        probe.due = now
            + if sent < MOST_REQUESTS { FIRST_RETRANSMISSION * 2_u32.pow(sent - 1) } else { self.interval };
        Some(Request { to: probe.server, datagram: request(id) })
    }

    /// A STUN message arrived. True when what others see of us has changed. Anything but the answer to an
    /// open request from the server that was asked is ignored.
    pub fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        let Some(probe) = self.probes.iter_mut().find(|probe| probe.server == canonical(from)) else {
            return false;
        };
        let Some(Received::Answer(answer)) = read(datagram) else { return false };
        if probe.pending.is_none_or(|(id, _)| id != answer.id) {
            return false;
        }
        let seen = Some(answer.mapped);
        probe.pending = None;
        probe.due = now + self.interval;
        std::mem::replace(&mut probe.reflexive, seen) != seen
    }

    /// What others see of the data port.
    pub fn reflexive(&self) -> Vec<SocketAddr> {
        self.probes.iter().filter_map(|probe| probe.reflexive).collect()
    }

    /// Whether a NAT lies between this node and its coordinator; `None` until a server has answered.
    pub fn behind_nat(&self, is_own: impl Fn(IpAddr) -> bool) -> Option<bool> {
        self.probes
            .iter()
            .filter_map(|probe| probe.reflexive)
            .map(|seen| !is_own(seen.ip()))
            .reduce(|a, b| a || b)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stun_types::attribute::XorMappedAddress;
    use stun_types::message::{Message, MessageWrite as _, MessageWriteExt as _, MessageWriteVec};

    use super::*;

    const SERVER: &str = "198.51.100.1:3478";

    fn client(now: Instant) -> StunClient {
        let mut client = StunClient::new(fastrand::Rng::with_seed(1));
        client.set_servers(&[SERVER.parse().unwrap(), "198.51.100.2:3478".parse().unwrap()], now);
        client
    }

    fn answer(request: &[u8], seen: &str) -> Vec<u8> {
        let request = Message::from_bytes(request).unwrap();
        let mut answer = Message::builder_success(&request, MessageWriteVec::new());
        let mapped = XorMappedAddress::new(seen.parse().unwrap(), request.transaction_id());
        answer.add_attribute(&mapped).unwrap();
        answer.finish()
    }

    #[test]
    fn an_answer_tells_what_others_see_and_is_asked_for_again_after_20_s() {
        let now = Instant::now();
        let mut client = client(now);
        let request = client.poll_request(now).unwrap();
        assert_eq!((request.to, client.poll_request(now)), (SERVER.parse().unwrap(), None));
        assert_eq!(request.datagram.len(), 20);
        let answer = answer(&request.datagram, "203.0.113.9:61000");
        assert!(client.handle_datagram(SERVER.parse().unwrap(), &answer, now));
        assert_eq!(client.reflexive(), ["203.0.113.9:61000".parse().unwrap()]);
        assert_eq!(client.behind_nat(|_| false), Some(true));
        assert_eq!(client.behind_nat(|_| true), Some(false));
        assert_eq!(client.poll_timeout(), Some(now + INTERVAL));
        assert!(!client.handle_datagram(SERVER.parse().unwrap(), &answer, now), "an answer counts once");
    }

    #[test]
    fn where_mappings_are_short_lived_it_asks_more_often() {
        let now = Instant::now();
        let mut client = client(now);
        let request = client.poll_request(now).unwrap();
        client.handle_datagram(SERVER.parse().unwrap(), &answer(&request.datagram, "203.0.113.9:1"), now);
        let short = Duration::from_secs(5);
        client.set_keepalive(Some(short), now);
        assert_eq!(client.poll_timeout(), Some(now + short));
        let request = client.poll_request(now + short).unwrap();
        let answer = answer(&request.datagram, "203.0.113.9:1");
        client.handle_datagram(SERVER.parse().unwrap(), &answer, now + short);
        assert_eq!(client.poll_timeout(), Some(now + 2 * short));
    }

    #[test]
    fn a_request_without_answer_is_repeated_and_then_the_old_answer_forgotten() {
        let mut now = Instant::now();
        let mut client = client(now);
        let request = client.poll_request(now).unwrap();
        client.handle_datagram(SERVER.parse().unwrap(), &answer(&request.datagram, "203.0.113.9:1"), now);
        let mut sent = Vec::new();
        while !client.reflexive().is_empty() {
            now = client.poll_timeout().unwrap();
            sent.push(client.poll_request(now).unwrap().datagram);
        }
        assert_eq!(sent.len(), 6, "five times one request, then a new one");
        assert!(sent[..5].windows(2).all(|pair| pair[0] == pair[1]) && sent[4] != sent[5]);
        assert_eq!(client.behind_nat(|_| true), None);
    }

    #[test]
    fn an_answer_from_elsewhere_or_to_another_request_is_ignored() {
        let now = Instant::now();
        let mut client = client(now);
        let request = client.poll_request(now).unwrap().datagram;
        let mut strange = request.clone();
        strange[19] ^= 1;
        let server = SERVER.parse().unwrap();
        assert!(!client.handle_datagram(
            "198.51.100.9:3478".parse().unwrap(),
            &answer(&request, "203.0.113.9:1"),
            now
        ));
        assert!(!client.handle_datagram(server, &answer(&strange, "203.0.113.9:1"), now));
        assert!(!client.handle_datagram(server, &request, now));
        assert_eq!(client.reflexive(), []);
    }

    #[test]
    fn each_family_is_asked_and_a_restart_asks_at_once() {
        let now = Instant::now();
        let mut client = client(now);
        client.set_servers(&[SERVER.parse().unwrap(), "[2001:db8::1]:3478".parse().unwrap()], now);
        let asked: Vec<_> =
            std::iter::from_fn(|| client.poll_request(now)).map(|request| request.to.is_ipv6()).collect();
        assert_eq!(asked, [false, true]);
        client.restart(now);
        assert_eq!(std::iter::from_fn(|| client.poll_request(now)).count(), 2);
    }

    proptest! {
        #[test]
        fn damaged_answers_never_panic(cut in 0..32_usize, place in 0..32_usize, byte in any::<u8>()) {
            let now = Instant::now();
            let mut client = client(now);
            let request = client.poll_request(now).unwrap();
            let mut answer = answer(&request.datagram, "203.0.113.9:1");
            answer[place] = byte;
            answer.truncate(cut);
            client.handle_datagram(SERVER.parse().unwrap(), &answer, now);
        }
    }
}
