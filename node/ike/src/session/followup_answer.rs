//! IKE_FOLLOWUP_KE, the responder's side (RFC 9370 §2.2.4): what CREATE_CHILD_SA agreed upon waits until the last of its
//! key exchanges is made.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::body::Body;
use super::child_answer;
use super::child_offer::ChildOffer;
use super::context::Context;
use super::core::Core;
use super::draft::Draft;
use super::established::{Established, Standing};
use super::rekey_answer::{self, IkeOffer};
use super::task::Pending;
use crate::crypto::{Group, KeyExchange, SharedSecret};
use crate::error::IkeError;
use crate::output::ChildSaId;
use crate::wire::{ExchangeType, NotifyType};

/// An initiator that has forgotten what it wanted is waited for so long; RFC 9370 §2.2.4 finds 5 to 20 seconds enough,
/// but a lossy way takes longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// A peer makes one at a time; one that begins anew may leave some behind.
const MOST_UNFINISHED: usize = 4;
const LINK: usize = 8;

/// An SA that the peer asked for, and that is not yet.
struct Unfinished {
    /// By which the peer's next request finds it.
    link: [u8; LINK],
    until: Instant,
    rounds: VecDeque<Group>,
    secrets: Vec<SharedSecret>,
    offer: Offered,
}

pub(super) enum Offered {
    Child(Box<ChildOffer>),
    Ike(Box<IkeOffer>),
}

/// All of one IKE SA.
#[derive(Default)]
pub(crate) struct UnfinishedSas(Vec<Unfinished>);

impl UnfinishedSas {
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MOST_UNFINISHED
    }

    /// When the first of them is given up.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.iter().map(|unfinished| unfinished.until).min()
    }

    /// Whether the peer is rekeying the IKE SA.
    pub(super) fn has_ike(&self) -> bool {
        self.0.iter().any(|unfinished| matches!(unfinished.offer, Offered::Ike(_)))
    }

    /// Until when the peer may go on to rekey this child.
    pub(super) fn rekeys(&self, child: ChildSaId) -> Option<Instant> {
        self.0
            .iter()
            .find(|unfinished| unfinished.rekeyed() == Some(child))
            .map(|unfinished| unfinished.until)
    }

    fn forget(&mut self, ctx: &mut Context<'_>, which: impl Fn(&Unfinished) -> bool) {
        for gone in self.0.extract_if(.., |unfinished| which(unfinished)) {
            if let Offered::Child(offer) = gone.offer {
                ctx.release_spi(offer.inbound_spi);
            }
        }
    }

    pub(super) fn forget_late(&mut self, ctx: &mut Context<'_>) {
        let now = ctx.now;
        self.forget(ctx, |unfinished| unfinished.until <= now);
    }

    pub(super) fn forget_all(&mut self, ctx: &mut Context<'_>) {
        self.forget(ctx, |_| true);
    }

    pub(super) fn forget_ike(&mut self, ctx: &mut Context<'_>) {
        self.forget(ctx, |unfinished| matches!(unfinished.offer, Offered::Ike(_)));
    }

    /// What was to take the place of this child.
    pub(super) fn forget_rekey_of(&mut self, ctx: &mut Context<'_>, child: ChildSaId) {
        self.forget(ctx, |unfinished| unfinished.rekeyed() == Some(child));
    }

    /// The peer has given up the child that it wanted to receive on with this SPI.
    pub(super) fn forget_outbound(&mut self, ctx: &mut Context<'_>, spi: u32) {
        let is_meant =
            |offer: &Offered| matches!(offer, Offered::Child(offer) if offer.outbound_spi() == spi);
        self.forget(ctx, |unfinished| is_meant(&unfinished.offer));
    }

    /// Says in the answer to CREATE_CHILD_SA that more is to come.
    pub(super) fn open(
        &mut self,
        ctx: &mut Context<'_>,
        rounds: VecDeque<Group>,
        secrets: Vec<SharedSecret>,
        offer: Offered,
        draft: &mut Draft,
    ) {
        let unfinished = Unfinished { link: [0; LINK], until: ctx.now, rounds, secrets, offer };
        self.wait(ctx, unfinished, draft);
    }

    fn wait(&mut self, ctx: &mut Context<'_>, mut unfinished: Unfinished, draft: &mut Draft) {
        unfinished.link = ctx.random_array();
        unfinished.until = ctx.now + PATIENCE;
        draft.notify(NotifyType::AdditionalKeyExchange, &unfinished.link);
        self.0.push(unfinished);
    }

    fn take(&mut self, link: &[u8]) -> Option<Unfinished> {
        let at = self.0.iter().position(|unfinished| unfinished.link == link)?;
        Some(self.0.swap_remove(at))
    }
}

impl Unfinished {
    fn rekeyed(&self) -> Option<ChildSaId> {
        if let Offered::Child(offer) = &self.offer { offer.rekeyed } else { None }
    }
}

pub(super) fn answer(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    body: &Body<'_>,
    draft: &mut Draft,
) {
    let Some(link) = body.notify(NotifyType::AdditionalKeyExchange) else {
        draft.notify(NotifyType::InvalidSyntax, &[]);
        return;
    };
    if established.standing == Standing::Superseded {
        // Nothing new comes to be in an IKE SA whose children have moved.
        established.unfinished.forget_all(ctx);
    }
    let Some(unfinished) = established.unfinished.take(link.data) else {
        draft.notify(NotifyType::StateNotFound, &[]);
        return;
    };
    let inbound_spi = match &unfinished.offer {
        Offered::Child(offer) => Some(offer.inbound_spi),
        Offered::Ike(_) => None,
    };
    if let Err(error) = proceed(established, core, ctx, body, unfinished, draft) {
        if let Some(spi) = inbound_spi {
            ctx.release_spi(spi);
        }
        let (kind, data) = error.notification();
        draft.notify(kind, &data);
        let connection = Some(established.connection.name.clone());
        ctx.failed(connection, None, Some(core.id), core.path.remote, error);
    }
}

fn proceed(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    body: &Body<'_>,
    mut unfinished: Unfinished,
    draft: &mut Draft,
) -> Result<(), IkeError> {
    let missing = || IkeError::Missing {
        exchange: ExchangeType::IkeFollowupKe,
        payload: "a public value of the agreed method",
    };
    let group = unfinished.rounds.pop_front().ok_or_else(missing)?;
    let offered = body.key_exchange.filter(|offered| offered.group == group.number()).ok_or_else(missing)?;
    let own = KeyExchange::respond(group, offered.public, ctx.random)?;
    unfinished.secrets.push(own.secret);
    if unfinished.rounds.is_empty() {
        match unfinished.offer {
            Offered::Child(offer) => {
                child_answer::finish(established, core, ctx, &offer, &unfinished.secrets)?;
            }
            // RFC 7296 §2.25.2: not while it is about to go.
            Offered::Ike(_) if matches!(established.pending, Some(Pending::DeleteIke(_))) => {
                draft.notify(NotifyType::TemporaryFailure, &[]);
                return Ok(());
            }
            Offered::Ike(offer) => {
                rekey_answer::finish(established, core, ctx, &offer, &unfinished.secrets)?;
            }
        }
        draft.key_exchange(group.number(), &own.public);
    } else {
        draft.key_exchange(group.number(), &own.public);
        established.unfinished.wait(ctx, unfinished, draft);
    }
    Ok(())
}
