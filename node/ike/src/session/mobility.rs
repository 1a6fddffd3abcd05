//! Where an IKE SA and its children are, and where they may go.

use std::net::IpAddr;

use super::body::Body;
use super::context::{Context, Path};
use super::core::Core;
use super::established::Established;
use super::nat::Between;
use super::task::{Move, Pending};
use crate::config::EncapsulationPolicy;
use crate::output::Event;
use crate::wire::{IkeSpi, NotifyType};

/// Where the ends of an IKE SA may be, besides its path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mobility {
    /// Both ends know ESP in UDP: they look for NATs.
    pub(super) nat_traversal: bool,
    /// NAT_DETECTION_DESTINATION_IP as the peer sent it last: as what it sees this side.
    pub(super) seen_as: Option<Vec<u8>>,
    pub(super) mobike: Option<Mobike>,
    /// How often the path has changed.
    pub(super) moves: u32,
    /// Where ESP goes on while the peer has not shown that it can be reached at its new address.
    pub(super) proven: Option<Path>,
    /// Where the peer was heard from, and is about to be asked whether it is there.
    pub(super) candidate: Option<Path>,
}

/// What both ends have agreed upon.
#[derive(Debug, Clone)]
pub(crate) struct Mobike {
    /// This end decides: it began the first of a line of IKE SAs (RFC 4555 §3).
    pub(super) initiator: bool,
    /// Where the peer may be, besides the address in use.
    pub(super) peer: Vec<IpAddr>,
    /// Where this end may be, as the peer was told, or is to be told.
    pub(super) own: Vec<IpAddr>,
    pub(super) retries: u8,
}

impl Mobility {
    /// For the IKE SA that takes over. As what the peer sees this side is a hash over the old SPIs.
    pub(super) fn inherited(&self) -> Self {
        Self { seen_as: None, ..self.clone() }
    }
}

impl Core {
    /// What the peer's hashes of IKE_SA_INIT or of a move tell.
    pub(super) fn note_nat(
        &mut self,
        body: &Body<'_>,
        spis: (IkeSpi, IkeSpi),
        path: Path,
        policy: EncapsulationPolicy,
    ) {
        let Some(seen) = body.notify(NotifyType::NatDetectionDestinationIp) else { return };
        self.between = Between::found(body, spis, path, policy);
        self.mobility.nat_traversal = policy != EncapsulationPolicy::Raw;
        self.mobility.seen_as = Some(seen.data.to_vec());
    }

    /// Between which addresses ESP goes.
    pub(crate) fn data_path(&self) -> Path {
        self.mobility.proven.unwrap_or(self.path)
    }

    /// Everything goes there from now on, what has not been answered first of all.
    pub(super) fn move_to(&mut self, ctx: &mut Context<'_>, path: Path) {
        if self.path == path {
            return;
        }
        self.path = path;
        self.mobility.moves = self.mobility.moves.wrapping_add(1);
        self.mobility.candidate = None;
        if let Some(pending) = self.requests.pending().cloned() {
            ctx.send_again(path, &pending);
            self.said = ctx.now;
        }
        ctx.take_along(self.line.id, path);
    }

    /// The same while the peer is not known yet; once it is, it hears of it.
    pub(super) fn move_attempt(&mut self, ctx: &mut Context<'_>, path: Path) {
        if self.path == path {
            return;
        }
        self.path = path;
        self.mobility.moves = self.mobility.moves.wrapping_add(1);
        if let Some(pending) = self.requests.pending() {
            ctx.send_all(path, pending);
        }
    }

    /// ESP of the children goes where IKE goes.
    pub(super) fn move_children(&mut self, ctx: &mut Context<'_>, established: &Established) {
        self.mobility.proven = None;
        self.tell_children(ctx, established);
    }

    pub(super) fn tell_children(&self, ctx: &mut Context<'_>, established: &Established) {
        let Path { local, remote } = self.data_path();
        ctx.event(Event::AddressChanged {
            connection: established.connection.name.clone(),
            ike_sa: self.id,
            local,
            remote,
            nat: self.between.nat,
            encapsulation: self.between.encapsulation(),
        });
    }

    /// Other paths on which an unanswered request is tried: those that the peer has named (RFC 4555 §3.5, §3.6).
    pub(super) fn detours(&self, established: &Established) -> Vec<Path> {
        if let Some(candidate) = self.mobility.candidate {
            return vec![candidate];
        }
        let Some(mobike) = &self.mobility.mobike else { return Vec::new() };
        if !self.requests.is_slow() {
            return Vec::new();
        }
        // The responder uses them for nothing but to say where it is itself.
        let announces =
            matches!(&established.pending, Some(Pending::Move(pending)) if pending.kind == Move::Announce);
        if !established.is_in_use() || !(mobike.initiator || announces) {
            return Vec::new();
        }
        let others = mobike.peer.iter().filter(|address| **address != self.path.remote.ip());
        others.map(|address| self.path_to(*address)).collect()
    }

    fn path_to(&self, remote: IpAddr) -> Path {
        let mut path = self.path;
        path.remote.set_ip(remote);
        if path.local.is_ipv4() != remote.is_ipv4() {
            // Which one it is the kernel knows.
            let any = if remote.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0_u16; 8]) };
            path.local.set_ip(any);
        }
        path
    }
}
