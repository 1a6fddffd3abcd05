//! Which relays are spoken to, and which of them is home.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::choice::{Candidate, Choice};
use super::client::{Client, News};
use super::home::Role;
use super::relay_client::{RelayClient, collect};
use super::{Event, Transport, Trouble};

/// The first answer of a relay waits for nearer ones so long: a second request, 200 ms after the first, gets an answer.
const SETTLE: Duration = Duration::from_millis(250);
/// A stream must stand after so long.
const CONNECT: Duration = Duration::from_secs(5);

impl RelayClient {
    pub(super) fn take_news(&mut self, now: Instant) {
        while let Some((role, server, transport, news)) = self.homes.poll_news() {
            match (role, news) {
                (Role::Next, News::Standing(_)) => {
                    if let Some(next) = self.homes.next.take() {
                        self.settle(next, now);
                    }
                }
                (Role::Home, News::Standing(_)) => {
                    self.carriers.update(self.homes.home.as_ref(), &mut self.events);
                }
                (Role::Home, News::Lost) => self.trouble(server, Trouble::Lost),
                // It is not worth another allocation.
                (Role::Former, News::Lost) => self.remove(role, server, transport, now),
                (_, News::Refused(code)) => {
                    self.failed(role, server, transport, Trouble::Refused(code), now);
                }
                (Role::Home, News::Silent) if transport == Transport::Udp => {
                    self.trouble(server, Trouble::Silent);
                }
                (Role::Home | Role::Next, News::Silent) => {
                    self.failed(role, server, transport, Trouble::Silent, now);
                }
                (Role::Home, News::Bound { peer, .. } | News::Unbound(peer)) => {
                    self.carriers.update_one(peer, self.homes.home.as_ref(), &mut self.events);
                }
                (Role::Next, News::Lost | News::Bound { .. } | News::Unbound(_))
                | (Role::Former, News::Standing(_) | News::Silent | News::Bound { .. } | News::Unbound(_)) => {
                }
                (_, News::NotPermitted { ip, code }) => {
                    self.trouble(server, Trouble::NotPermitted { ip, code });
                }
            }
        }
    }

    /// Whether another relay should be home.
    pub(super) fn decide(&mut self, now: Instant) {
        let candidates = self.candidates(now);
        let home = self.homes.home.as_ref().map(|home| (home.server, home.transport, home.is_silent()));
        match home {
            Some((server, Transport::Udp, false)) => {
                self.abandon_next_unless(Transport::Udp, now);
                if self.homes.next.is_none()
                    && let Some(better) = self.choice.better(server, &candidates, now)
                {
                    self.start(better, Transport::Udp, now);
                }
            }
            Some((_, Transport::Tls, _)) => {
                if self.homes.next.is_none()
                    && self.choice.may_use_udp(now)
                    && let Some(nearest) = Choice::nearest(&candidates)
                {
                    self.start(nearest.server, Transport::Udp, now);
                }
            }
            Some((server, Transport::Udp, true)) => {
                let others: Vec<_> =
                    candidates.into_iter().filter(|candidate| candidate.server != server).collect();
                self.find(&others, Some(server), now);
            }
            None => self.find(&candidates, None, now),
        }
    }

    /// A home where there is none that answers: the nearest by UDP, or, where no UDP passes, one by TLS.
    fn find(&mut self, candidates: &[Candidate], silent: Option<SocketAddr>, now: Instant) {
        let mut latencies = self.latencies.iter().filter(|latency| Some(latency.server) != silent);
        let open = latencies.any(|latency| latency.is_open(now));
        if let Some(nearest) = Choice::nearest(candidates) {
            let settled = *self.settle.get_or_insert(now + SETTLE) <= now;
            if open && !settled && silent.is_none() {
                return;
            }
            self.abandon_next_unless(Transport::Udp, now);
            if self.homes.next.is_none() {
                self.start(nearest.server, Transport::Udp, now);
            }
        } else if !open && self.homes.next.is_none() {
            let by_tls = self.servers.usable(Transport::Tls, now).next();
            if let Some(server) = by_tls {
                self.start(server, Transport::Tls, now);
            }
        }
    }

    /// Relays by UDP that answer and do not refuse this node.
    fn candidates(&self, now: Instant) -> Vec<Candidate> {
        let usable = self.servers.usable(Transport::Udp, now);
        let known = usable.filter_map(|server| {
            let latency = self.latencies.iter().find(|latency| latency.server == server)?;
            Some(Candidate { server, round_trip: latency.round_trip(now)? })
        });
        known.collect()
    }

    fn start(&mut self, server: SocketAddr, transport: Transport, now: Instant) {
        if let Some(former) = self.homes.take_former(server, transport) {
            return self.settle(former, now);
        }
        // One that is silent: the new one begins anew.
        self.remove(Role::Former, server, transport, now);
        let Some(relay) = self.servers.get(server, transport) else { return };
        let mut client = Client::new(relay, self.random.fork(), now);
        client.set_permissions(&self.ips(), now);
        client.set_in_use(&self.in_use, now);
        if transport == Transport::Tls {
            self.connect_by = Some(now + CONNECT);
            self.events.push_back(Event::Connect { server });
        }
        self.homes.next = Some(client);
    }

    /// A way that is better than the one that is being tried has been found.
    fn abandon_next_unless(&mut self, transport: Transport, now: Instant) {
        if let Some(next) = self.homes.next.take_if(|next| next.transport != transport) {
            self.release(next, now);
        }
    }

    fn settle(&mut self, mut client: Client, now: Instant) {
        let (server, transport) = (client.server, client.transport);
        client.set_permissions(&self.ips(), now);
        client.set_in_use(&self.in_use, now);
        self.servers.served(server, transport);
        if transport == Transport::Tls
            && self.homes.home.as_ref().is_some_and(|home| home.transport == Transport::Udp)
        {
            self.choice.udp_failed(now);
        }
        self.choice.settled(transport, now);
        (self.settle, self.connect_by) = (None, None);
        for former in self.homes.settle(client, now) {
            self.release(former, now);
        }
        self.carriers.update(self.homes.home.as_ref(), &mut self.events);
    }

    /// A relay does not serve: it is not tried for a while.
    pub(super) fn failed(
        &mut self,
        role: Role,
        server: SocketAddr,
        transport: Transport,
        trouble: Trouble,
        now: Instant,
    ) {
        self.trouble(server, trouble);
        if role != Role::Former {
            self.servers.failed(server, transport, now);
        }
        self.remove(role, server, transport, now);
    }

    pub(super) fn remove(&mut self, role: Role, server: SocketAddr, transport: Transport, now: Instant) {
        let Some(client) = self.homes.remove(role, server, transport) else { return };
        self.release(client, now);
        if role == Role::Home {
            self.carriers.update(None, &mut self.events);
        }
    }

    pub(super) fn release(&mut self, mut client: Client, now: Instant) {
        client.release(now);
        collect(&mut self.transmits, &mut client);
        if client.transport == Transport::Tls {
            self.events.push_back(Event::Disconnect { server: client.server });
        }
    }

    fn trouble(&mut self, server: SocketAddr, trouble: Trouble) {
        self.events.push_back(Event::Trouble { server, trouble });
    }
}
