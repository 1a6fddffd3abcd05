//! The relays that are spoken to: home, its successor, and those that were home lately.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Transport;
use super::client::{Client, News};

/// Peers learn of a new home by the map; until then they send to the former one.
const FORMER: Duration = Duration::from_secs(30);
/// A flapping network must not heap them up.
const MOST_FORMER: usize = 3;

/// What a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Home,
    /// It becomes home once it serves.
    Next,
    Former,
}

/// All clients.
#[derive(Default)]
pub(super) struct Homes {
    pub(super) home: Option<Client>,
    pub(super) next: Option<Client>,
    former: Vec<(Client, Instant)>,
}

impl Homes {
    pub(super) fn all(&self) -> impl Iterator<Item = (Role, &Client)> {
        let home = self.home.iter().map(|client| (Role::Home, client));
        let next = self.next.iter().map(|client| (Role::Next, client));
        home.chain(next).chain(self.former.iter().map(|(client, _)| (Role::Former, client)))
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = (Role, &mut Client)> {
        let home = self.home.iter_mut().map(|client| (Role::Home, client));
        let next = self.next.iter_mut().map(|client| (Role::Next, client));
        home.chain(next).chain(self.former.iter_mut().map(|(client, _)| (Role::Former, client)))
    }

    pub(super) fn of(&mut self, server: SocketAddr, transport: Transport) -> Option<&mut Client> {
        let mut clients = self.all_mut().map(|(_, client)| client);
        clients.find(|client| client.server == server && client.transport == transport)
    }

    /// What the client of that relay is.
    pub(super) fn role(&self, server: SocketAddr, transport: Transport) -> Option<Role> {
        let mut clients = self.all();
        clients
            .find(|(_, client)| client.server == server && client.transport == transport)
            .map(|(role, _)| role)
    }

    /// What has happened to any of them.
    pub(super) fn poll_news(&mut self) -> Option<(Role, SocketAddr, Transport, News)> {
        self.all_mut().find_map(|(role, client)| {
            client.poll_news().map(|news| (role, client.server, client.transport, news))
        })
    }

    /// A new home; the present one serves a while more. What no longer serves is given back.
    pub(super) fn settle(&mut self, client: Client, now: Instant) -> Vec<Client> {
        let mut over = Vec::new();
        match self.home.replace(client) {
            Some(former) if former.relayed().is_some() => self.former.push((former, now + FORMER)),
            Some(former) => over.push(former),
            None => {}
        }
        let surplus = self.former.len().saturating_sub(MOST_FORMER);
        over.extend(self.former.drain(..surplus).map(|(client, _)| client));
        over
    }

    /// A former home that still serves.
    pub(super) fn take_former(&mut self, server: SocketAddr, transport: Transport) -> Option<Client> {
        let serves = |client: &Client| client.relayed().is_some() && !client.is_silent();
        let place = self.former.iter().position(|(client, _)| {
            client.server == server && client.transport == transport && serves(client)
        })?;
        Some(self.former.swap_remove(place).0)
    }

    /// Former homes whose time is over.
    pub(super) fn take_over(&mut self, now: Instant) -> Vec<Client> {
        let over = self.former.extract_if(.., |(_, until)| *until <= now);
        over.map(|(client, _)| client).collect()
    }

    /// Takes out a client that serves no longer.
    pub(super) fn remove(&mut self, role: Role, server: SocketAddr, transport: Transport) -> Option<Client> {
        let is_it = |client: &mut Client| client.server == server && client.transport == transport;
        match role {
            Role::Home => self.home.take_if(is_it),
            Role::Next => self.next.take_if(is_it),
            Role::Former => {
                let place = self.former.iter_mut().position(|(client, _)| is_it(client))?;
                Some(self.former.swap_remove(place).0)
            }
        }
    }

    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let clients = self.all().filter_map(|(_, client)| client.poll_timeout(now));
        clients.chain(self.former.iter().map(|(_, until)| *until)).min()
    }
}
