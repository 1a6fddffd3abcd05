//! What an IKE SA has in all of its phases.

use std::time::Instant;

use super::context::{Context, Path};
use super::draft::Draft;
use super::mobility::Mobility;
use super::nat::Between;
use super::reauth::Line;
use super::secure::Secure;
use super::window::{Answers, Datagrams, Requests};
use crate::crypto::Role;
use crate::error::IkeError;
use crate::output::{IkeSaId, Retransmission};
use crate::trace::{Traced, TracedMessage};
use crate::wire::{Chain, ExchangeType, Flags, Header, IkeSpi, MessageId};

pub(crate) struct Core {
    pub(crate) id: IkeSaId,
    pub(crate) line: Line,
    /// Of this IKE SA: whoever made it (RFC 7296 §2.18: the initiator of a rekey becomes the original initiator).
    pub(crate) role: Role,
    pub(crate) spi_initiator: IkeSpi,
    pub(crate) spi_responder: IkeSpi,
    pub(crate) path: Path,
    /// Of the request that is being answered.
    pub(crate) arrival: Path,
    pub(crate) between: Between,
    pub(crate) retransmission: Retransmission,
    pub(crate) mobility: Mobility,
    pub(crate) requests: Requests,
    pub(crate) answers: Answers,
    /// The last authentic message, or ESP.
    pub(crate) heard: Instant,
    pub(crate) said: Instant,
    /// When the first message was sent or came in; of a rekeyed IKE SA, that of its first ancestor.
    pub(crate) began: Instant,
}

impl Core {
    pub(crate) fn is_original_initiator(&self) -> bool {
        self.role == Role::Initiator
    }

    pub(crate) fn spis(&self) -> (IkeSpi, IkeSpi) {
        (self.spi_initiator, self.spi_responder)
    }

    /// By which the engine finds the session.
    pub(crate) fn local_spi(&self) -> IkeSpi {
        match self.role {
            Role::Initiator => self.spi_initiator,
            Role::Responder => self.spi_responder,
        }
    }

    pub(crate) fn header(&self, exchange: ExchangeType, id: u32, response: bool) -> Header {
        let initiator = self.is_original_initiator();
        Header {
            initiator_spi: self.spi_initiator,
            responder_spi: self.spi_responder,
            exchange,
            flags: Flags { initiator, response, version: false },
            message_id: MessageId(id),
        }
    }

    /// Sends a sealed request. Nothing goes out while another is pending: the caller asks `requests.free` first.
    pub(crate) fn request(
        &mut self,
        ctx: &mut Context<'_>,
        secure: &mut Secure,
        exchange: ExchangeType,
        draft: Draft,
    ) -> Result<(), IkeError> {
        self.request_chain(ctx, secure, exchange, &draft.into_chain()?)
    }

    /// The same, of payloads already written.
    pub(crate) fn request_chain(
        &mut self,
        ctx: &mut Context<'_>,
        secure: &mut Secure,
        exchange: ExchangeType,
        chain: &Chain,
    ) -> Result<(), IkeError> {
        let Some(id) = self.requests.free() else { return Ok(()) };
        let datagrams = seal(ctx, secure, self.path, &self.header(exchange, id, false), chain)?;
        if let Some(candidate) = self.mobility.candidate {
            ctx.send_again(candidate, &datagrams);
        }
        self.requests.sent(exchange, datagrams, self.retransmission, ctx.now);
        self.said = ctx.now;
        Ok(())
    }

    /// Sends a sealed answer to the request with this id, and keeps it for those who ask again.
    pub(crate) fn answer(
        &mut self,
        ctx: &mut Context<'_>,
        secure: &mut Secure,
        request: &Header,
        draft: Draft,
    ) -> Result<(), IkeError> {
        self.answer_chain(ctx, secure, request, &draft.into_chain()?)
    }

    /// The same, of payloads already written.
    pub(crate) fn answer_chain(
        &mut self,
        ctx: &mut Context<'_>,
        secure: &mut Secure,
        request: &Header,
        chain: &Chain,
    ) -> Result<(), IkeError> {
        let header = self.header(request.exchange, request.message_id.0, true);
        // RFC 7296 §2.11.
        let datagrams = seal(ctx, secure, self.arrival, &header, chain)?;
        self.answers.answered(datagrams);
        self.said = ctx.now;
        Ok(())
    }
}

fn seal(
    ctx: &mut Context<'_>,
    secure: &mut Secure,
    path: Path,
    header: &Header,
    chain: &Chain,
) -> Result<Datagrams, IkeError> {
    let datagrams = secure.seal(header, chain)?;
    if ctx.shared.tracing.messages {
        let message = TracedMessage::sealed(*header, chain.first, &chain.bytes, &datagrams);
        ctx.trace(path, Traced::Sent(message));
    }
    ctx.send_all(path, &datagrams);
    Ok(datagrams)
}
