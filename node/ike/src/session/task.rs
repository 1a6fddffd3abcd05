//! What an established IKE SA has to do, one request after the other, and what each request waits for.

use std::collections::VecDeque;
use std::time::Instant;

use super::child_request::ChildAnswer;
use super::followup_request::Followup;
use super::reauth::Retirement;
use super::rekey_request::IkeAnswer;
use super::wanted::Wanted;
use crate::crypto::KeyExchange;
use crate::output::{ChildSaId, DeleteReason};
use crate::wire::IkeSpi;

/// A request to be made.
#[derive(Debug, Clone)]
pub(crate) enum Task {
    CreateChild(Wanted),
    RekeyChild(ChildSaId),
    DeleteChild(ChildSaId, DeleteReason),
    RekeyIke,
    /// Deletes a child that the peer made, and that this side never had, by the SPI meant for it.
    Disown(u32),
    DeleteIke(DeleteReason),
    Liveness,
    /// Deletes an IKE SA once this one has all its children.
    Retire(Retirement),
    /// Says which of two IKE SAs goes, if nobody has.
    Settle,
    Move(Move),
}

/// An INFORMATIONAL exchange about addresses (RFC 4555).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// UPDATE_SA_ADDRESSES, the initiator's (§3.5).
    Update,
    /// This side's addresses (§3.6).
    Announce,
    /// Whether the peer is where it says (§3.7).
    Check,
    /// A sign of life from behind a NAT, and whether the NAT maps as before (§3.8).
    Mapping,
}

impl Task {
    /// Whether it can be done while the peer rekeys the IKE SA, whose children are about to move (RFC 7296 §2.25.2).
    pub(crate) fn is_harmless(&self) -> bool {
        match self {
            Self::Disown(_)
            | Self::DeleteIke(_)
            | Self::Liveness
            | Self::Retire(..)
            | Self::Settle
            | Self::Move(_) => true,
            Self::CreateChild(_) | Self::RekeyChild(_) | Self::DeleteChild(..) | Self::RekeyIke => false,
        }
    }
}

/// The request that is on its way.
pub(crate) enum Pending {
    Child(Box<PendingChild>),
    DeleteChild(ChildSaId, DeleteReason),
    Ike(Box<PendingIke>),
    DeleteIke(DeleteReason),
    Move(PendingMove),
    /// Whatever the answer says, it changes nothing: a sign of life, or a child disowned.
    Notice,
}

/// About addresses.
pub(crate) struct PendingMove {
    pub(crate) kind: Move,
    /// What COOKIE2 has to come back as.
    pub(crate) cookie: [u8; 16],
    /// How often the path had changed when the request went out first.
    pub(crate) moves: u32,
}

/// CREATE_CHILD_SA for a child SA.
pub(crate) struct PendingChild {
    /// What a rekey is for if there is no old child any more; its selectors are those of the old child.
    pub(crate) wanted: Wanted,
    /// The child that the new one is to take the place of.
    pub(crate) rekeys: Option<ChildSaId>,
    pub(crate) inbound_spi: u32,
    pub(crate) nonce: Vec<u8>,
    pub(crate) exchange: Option<KeyExchange>,
    /// The answer is there, and further key exchanges are being made (RFC 9370 §2.2.4).
    pub(crate) followup: Option<Followup<ChildAnswer>>,
    /// How often the peer has asked for another group.
    pub(crate) retries: u8,
    /// The peer rekeyed the same child meanwhile (RFC 7296 §2.8.1).
    pub(crate) collision: Option<NoncePair>,
    /// The peer asked for the same child meanwhile, and gets it.
    pub(crate) twin: bool,
    /// SPIs of deletes that this side knew nothing of: the peer may delete the child before its answer arrives.
    pub(crate) deleted_early: Vec<u32>,
}

/// CREATE_CHILD_SA for the IKE SA.
pub(crate) struct PendingIke {
    pub(crate) spi: IkeSpi,
    pub(crate) nonce: Vec<u8>,
    /// Until the answer is there.
    pub(crate) exchange: Option<KeyExchange>,
    /// As of a child.
    pub(crate) followup: Option<Followup<IkeAnswer>>,
    /// How often the peer has asked for another group.
    pub(crate) retries: u8,
    /// The peer rekeyed it meanwhile (RFC 7296 §2.8.2).
    pub(crate) collision: Option<IkeCollision>,
}

pub(crate) struct IkeCollision {
    pub(crate) nonces: NoncePair,
    /// This side's SPI of the IKE SA that the peer's request made; `None` while its key exchanges are not done.
    pub(crate) spi: Option<IkeSpi>,
}

/// The nonces of one exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoncePair {
    pub(crate) initiator: Vec<u8>,
    pub(crate) responder: Vec<u8>,
}

impl NoncePair {
    fn lowest(&self) -> &[u8] {
        (&self.initiator).min(&self.responder)
    }

    /// The SA of the exchange with the lowest of the four nonces is closed (RFC 7296 §2.8.1, octet by octet).
    pub(crate) fn loses_against(&self, other: &Self) -> bool {
        self.lowest() < other.lowest()
    }
}

/// Requests to be made, in their order, each from its time on.
#[derive(Debug, Default)]
pub(crate) struct Tasks(VecDeque<(Instant, Task)>);

impl Tasks {
    pub(crate) fn push(&mut self, from: Instant, task: Task) {
        self.0.push_back((from, task));
    }

    /// Ahead of all others.
    pub(crate) fn push_first(&mut self, from: Instant, task: Task) {
        self.0.push_front((from, task));
    }

    /// Ahead of all others, and once.
    pub(crate) fn push_move(&mut self, from: Instant, kind: Move) {
        self.0.retain(|(_, task)| !matches!(task, Task::Move(queued) if *queued == kind));
        self.push_first(from, Task::Move(kind));
    }

    /// The first that is due, and that `allowed` lets through.
    pub(crate) fn next(&mut self, now: Instant, allowed: impl Fn(&Task) -> bool) -> Option<Task> {
        let at = self.0.iter().position(|(from, task)| *from <= now && allowed(task))?;
        self.0.remove(at).map(|(_, task)| task)
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.0.iter().map(|(from, _)| *from).min()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Task> {
        self.0.iter().map(|(_, task)| task)
    }

    pub(crate) fn take(&mut self) -> VecDeque<(Instant, Task)> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_exchange_with_the_lowest_nonce_loses() {
        let pair = |initiator: &[u8], responder: &[u8]| NoncePair {
            initiator: initiator.to_vec(),
            responder: responder.to_vec(),
        };
        assert!(pair(&[5, 5], &[1, 9]).loses_against(&pair(&[1, 10], &[9, 9])));
        assert!(!pair(&[1, 10], &[9, 9]).loses_against(&pair(&[5, 5], &[1, 9])));
        assert!(pair(&[1], &[9]).loses_against(&pair(&[1, 0], &[9])), "a prefix is the lower one");
    }

    #[test]
    fn a_task_that_must_wait_holds_up_no_other() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut tasks = Tasks::default();
        tasks.push(later, Task::RekeyIke);
        tasks.push(now, Task::Liveness);
        assert!(matches!(tasks.next(now, |_| true), Some(Task::Liveness)));
        assert!(tasks.next(later, |task| matches!(task, Task::Liveness)).is_none());
        assert_eq!(tasks.due(), Some(later));
        assert!(matches!(tasks.next(later, |_| true), Some(Task::RekeyIke)));
    }
}
