//! IKE_FOLLOWUP_KE, the initiator's side: the additional key exchanges of a CREATE_CHILD_SA, after which alone its SA
//! comes to be (RFC 9370 §2.2.4).

use std::collections::VecDeque;

use super::body::Body;
use super::context::Context;
use super::core::Core;
use super::draft::Draft;
use super::secure::Secure;
use crate::crypto::{Group, KeyExchange, SharedSecret};
use crate::error::IkeError;
use crate::wire::{ExchangeType, NotifyType};

/// What has been agreed upon so far.
pub(crate) struct Agreement<A> {
    /// The answer to CREATE_CHILD_SA.
    pub(super) answer: A,
    /// Of CREATE_CHILD_SA and of every exchange since, in their order.
    pub(super) secrets: Vec<SharedSecret>,
    /// Still to be made.
    pub(super) rounds: VecDeque<Group>,
    /// By which the responder knows the next request.
    pub(super) link: Option<Vec<u8>>,
}

/// Waiting for the answer to IKE_FOLLOWUP_KE.
pub(crate) struct Followup<A> {
    agreement: Agreement<A>,
    exchange: KeyExchange,
}

fn missing(payload: &'static str) -> IkeError {
    IkeError::Missing { exchange: ExchangeType::IkeFollowupKe, payload }
}

/// What the responder wants to see again.
pub(super) fn link(body: &Body<'_>) -> Option<Vec<u8>> {
    body.notify(NotifyType::AdditionalKeyExchange).map(|notify| notify.data.to_vec())
}

impl<A> Followup<A> {
    /// Sends the next one of `agreement`.
    pub(super) fn send(
        core: &mut Core,
        ctx: &mut Context<'_>,
        secure: &mut Secure,
        mut agreement: Agreement<A>,
    ) -> Result<Self, IkeError> {
        let no_link =
            IkeError::Missing { exchange: ExchangeType::CreateChildSa, payload: "ADDITIONAL_KEY_EXCHANGE" };
        let link = agreement.link.take().ok_or(no_link)?;
        let group = agreement.rounds.pop_front().ok_or_else(|| missing("a method"))?;
        let exchange = KeyExchange::generate(group, ctx.random);
        let mut draft = Draft::inner();
        draft
            .key_exchange(group.number(), exchange.public())
            .notify(NotifyType::AdditionalKeyExchange, &link);
        core.request(ctx, secure, ExchangeType::IkeFollowupKe, draft)?;
        Ok(Self { agreement, exchange })
    }

    /// The answer, which is no refusal.
    pub(super) fn answered(self, body: &Body<'_>) -> Result<Agreement<A>, IkeError> {
        let Self { mut agreement, exchange } = self;
        let peer = body.key_exchange.filter(|peer| peer.group == exchange.group().number());
        let peer = peer.ok_or_else(|| missing("a public value of the agreed method"))?;
        agreement.secrets.push(exchange.agree(peer.public)?);
        agreement.link = link(body);
        Ok(agreement)
    }
}
