//! Message ids: one request of each side at a time (RFC 7296 §2.2, §2.3), answers kept for those who ask again.

use std::time::Instant;

use super::retransmit::{Backoff, Exhausted};
use crate::output::Retransmission;
use crate::wire::ExchangeType;

/// Datagrams of one message: itself, or its fragments.
pub(crate) type Datagrams = Vec<Vec<u8>>;

/// The requests of this side.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    next: u32,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    id: u32,
    exchange: ExchangeType,
    datagrams: Datagrams,
    backoff: Backoff,
    repeated: u32,
}

/// The requests of the peer.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    next: u32,
    /// The answer to the request before `next`.
    last: Option<Datagrams>,
}

/// How a request fits the window.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival<'a> {
    Expected,
    /// Already answered: the same octets go out again, and nothing is processed (RFC 7296 §2.1).
    Repeated(&'a Datagrams),
    Outside,
}

impl Requests {
    /// Of an IKE SA whose requests with lower ids were sent elsewhere: IKE_SA_INIT.
    pub(crate) fn starting_at(next: u32) -> Self {
        Self { next, pending: None }
    }

    /// The id for the next request; `None` while one is pending, or when the ids are used up (RFC 7296 §2.2).
    pub(crate) fn free(&self) -> Option<u32> {
        (self.pending.is_none() && self.next < u32::MAX).then_some(self.next)
    }

    /// The request with the id of `free` has been sent.
    pub(crate) fn sent(
        &mut self,
        exchange: ExchangeType,
        datagrams: Datagrams,
        policy: Retransmission,
        now: Instant,
    ) {
        let backoff = Backoff::new(policy, now);
        self.pending = Some(Pending { id: self.next, exchange, datagrams, backoff, repeated: 0 });
        self.next = self.next.saturating_add(1);
    }

    /// An answer has the id of its request, and its exchange type (RFC 7296 §2.2, §3.1).
    pub(crate) fn awaits(&self, id: u32, exchange: ExchangeType) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.id == id && pending.exchange == exchange)
    }

    /// The answer has come. False if none was awaited with this id.
    pub(crate) fn answered(&mut self, id: u32) -> bool {
        let awaited = self.pending.as_ref().is_some_and(|pending| pending.id == id);
        if awaited {
            self.pending = None;
        }
        awaited
    }

    /// What is pending is not worth more than one more wait.
    pub(crate) fn hurry(&mut self) {
        if let Some(pending) = &mut self.pending {
            pending.backoff.give_up();
        }
    }

    /// What has not been answered.
    pub(crate) fn pending(&self) -> Option<&Datagrams> {
        self.pending.as_ref().map(|pending| &pending.datagrams)
    }

    /// Whether it has been repeated more than once.
    pub(crate) fn is_slow(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.repeated > 1)
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.pending.as_ref().map(|pending| pending.backoff.due())
    }

    /// What is to be sent again at `now`.
    pub(crate) fn retransmit(&mut self, now: Instant) -> Result<Option<&Datagrams>, Exhausted> {
        let Some(pending) = self.pending.as_mut().filter(|pending| pending.backoff.due() <= now) else {
            return Ok(None);
        };
        pending.backoff.advance(now)?;
        pending.repeated = pending.repeated.saturating_add(1);
        Ok(Some(&pending.datagrams))
    }
}

impl Answers {
    pub(crate) fn starting_at(next: u32) -> Self {
        Self { next, last: None }
    }

    pub(crate) fn arrival(&self, id: u32) -> Arrival<'_> {
        if id == self.next {
            return Arrival::Expected;
        }
        match &self.last {
            Some(last) if id.checked_add(1) == Some(self.next) => Arrival::Repeated(last),
            Some(_) | None => Arrival::Outside,
        }
    }

    /// The expected request has been answered.
    pub(crate) fn answered(&mut self, datagrams: Datagrams) {
        self.next = self.next.saturating_add(1);
        self.last = Some(datagrams);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_at_a_time_and_only_its_own_answer_counts() {
        let now = Instant::now();
        let mut requests = Requests::default();
        assert_eq!(requests.free(), Some(0));
        requests.sent(ExchangeType::Informational, vec![vec![1]], Retransmission::default(), now);
        assert!(requests.awaits(0, ExchangeType::Informational));
        assert!(!requests.awaits(0, ExchangeType::CreateChildSa), "an answer of another exchange");
        assert_eq!(requests.free(), None);
        assert!(!requests.answered(1));
        assert!(requests.answered(0));
        assert!(!requests.answered(0), "an answer counts once");
        assert_eq!(requests.free(), Some(1));
    }

    #[test]
    fn a_repeated_request_gets_the_same_octets() {
        let mut answers = Answers::default();
        assert_eq!(answers.arrival(0), Arrival::Expected);
        assert_eq!(answers.arrival(1), Arrival::Outside);
        answers.answered(vec![vec![7]]);
        assert_eq!(answers.arrival(0), Arrival::Repeated(&vec![vec![7]]));
        answers.answered(vec![vec![8]]);
        assert_eq!(answers.arrival(0), Arrival::Outside);
    }

    #[test]
    fn message_ids_are_never_reused() {
        let mut requests = Requests::starting_at(u32::MAX);
        assert_eq!(requests.free(), None);
        requests.sent(ExchangeType::Informational, Vec::new(), Retransmission::default(), Instant::now());
        assert_eq!(requests.next, u32::MAX);
    }
}
