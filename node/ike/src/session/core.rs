//! What an IKE SA has in all of its phases.

use std::time::Instant;

use super::Phase;
use super::context::{Context, Path};
use super::draft::Draft;
use super::nat::Between;
use super::secure::Secure;
use super::window::{Answers, Datagrams, Requests};
use crate::crypto::Role;
use crate::error::IkeError;
use crate::output::{Event, IkeSaId, Retransmission};
use crate::trace::{Traced, TracedMessage};
use crate::wire::{Chain, ExchangeType, Flags, Header, IkeSpi, MessageId};

pub(crate) struct Core {
    pub(crate) id: IkeSaId,
    /// Of this IKE SA: whoever made it (RFC 7296 §2.18: the initiator of a rekey becomes the original initiator).
    pub(crate) role: Role,
    pub(crate) spi_initiator: IkeSpi,
    pub(crate) spi_responder: IkeSpi,
    pub(crate) path: Path,
    pub(crate) between: Between,
    pub(crate) retransmission: Retransmission,
    pub(crate) requests: Requests,
    pub(crate) answers: Answers,
    /// The last authentic message, or ESP.
    pub(crate) heard: Instant,
    pub(crate) said: Instant,
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
        let datagrams = self.seal(ctx, secure, &self.header(exchange, id, false), chain)?;
        self.requests.sent(datagrams, self.retransmission, ctx.now);
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
        let datagrams = self.seal(ctx, secure, &header, chain)?;
        self.answers.answered(datagrams);
        self.said = ctx.now;
        Ok(())
    }

    fn seal(
        &self,
        ctx: &mut Context<'_>,
        secure: &mut Secure,
        header: &Header,
        chain: &Chain,
    ) -> Result<Datagrams, IkeError> {
        let datagrams = secure.seal(header, chain)?;
        if ctx.shared.tracing.messages {
            let message = TracedMessage::sealed(*header, chain.first, &chain.bytes, &datagrams);
            ctx.trace(self.path, Traced::Sent(message));
        }
        ctx.send_all(self.path, &datagrams);
        Ok(datagrams)
    }

    /// An authentic message that is not a repetition came in on this path. A peer's mapping is followed only then
    /// (trap 8), and not where this side is the one behind a NAT that the peer knows by its own address (RFC 7296
    /// §2.23).
    pub(crate) fn heard_from(&mut self, ctx: &mut Context<'_>, path: Path, phase: &mut Phase) {
        self.heard = ctx.now;
        if self.path == path {
            return;
        }
        match phase {
            Phase::AuthAwaited(_) => self.path = path,
            Phase::Established(established) if self.between.nat.remote && !self.between.nat.local => {
                self.path = path;
                let connection = established.connection.name.clone();
                let (local, remote) = (path.local, path.remote);
                let encapsulation = self.between.encapsulation();
                ctx.event(Event::AddressChanged {
                    connection,
                    ike_sa: self.id,
                    local,
                    remote,
                    encapsulation,
                });
            }
            Phase::InitSent(_)
            | Phase::IntermediateSent(_)
            | Phase::AuthSent(_)
            | Phase::Established(_)
            | Phase::Closed { .. }
            | Phase::Gone => {}
        }
    }
}
