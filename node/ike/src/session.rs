//! One IKE SA from its first message to its last.
//!
//! ```text
//!   initiator   InitSent ──► IntermediateSent ──► AuthSent ──┐
//!                 ▲  │ COOKIE,      ▲  │ as many as there     ├─► Established ──► Closed ──► gone
//!                 └──┘ INVALID_KE   └──┘ are additional       │      │ rekeyed: a new session,
//!                                        key exchanges        │      ▼ Established from the start
//!   responder   AuthAwaited ──────────────────────────────────┘
//! ```

mod addresses;
mod auth_request;
mod auth_response;
mod body;
mod child;
mod child_answer;
mod child_keys;
mod child_offer;
mod child_request;
mod child_retry;
mod command;
mod context;
mod cookie;
mod core;
mod draft;
mod duplicate;
mod established;
mod follow;
mod followup_answer;
mod followup_request;
mod half_open;
mod handshake;
mod inform;
mod init_request;
mod init_response;
mod init_retry;
mod intermediate;
mod mobike;
mod mobike_answer;
mod mobility;
mod nat;
mod opening;
mod postquantum;
mod reassembly;
mod reauth;
mod rekey_answer;
mod rekey_request;
mod retransmit;
mod secure;
mod task;
mod timers;
mod translate;
mod transport;
mod version;
mod wanted;
mod window;

use std::time::{Duration, Instant};

use self::auth_request::AuthSent;
use self::auth_response::AuthAwaited;
pub(crate) use self::body::Body;
pub(crate) use self::context::{Context, Path, Shared};
pub(crate) use self::core::Core;
pub(crate) use self::established::Established;
use self::follow::Kind;
pub(crate) use self::half_open::HalfOpen;
use self::init_request::InitSent;
pub(crate) use self::init_request::initiate;
pub(crate) use self::init_response::respond;
use self::intermediate::{IntermediateSent, Plain};
pub(crate) use self::nat::detection_hash;
use self::opening::open;
use self::secure::Secure;
pub(crate) use self::task::Task;
pub(crate) use self::version::refuse_version;
pub(crate) use self::wanted::{Trigger, Wanted};
use self::window::Arrival;
use crate::output::EngineConfig;
use crate::trace::{Discarded, Traced, TracedMessage};
use crate::wire::{ExchangeType, Message};

/// Fills what it is given from a cryptographic generator.
pub type Random<'a> = dyn FnMut(&mut [u8]) + 'a;

/// A peer that has proved who it is repeats its last request for so long at most, unless our own settings, which the
/// ends often have in common, are more patient: 4 s times 1.8 each time, six times (strongSwan's, and our own).
const PEER_REPEATS: Duration = Duration::from_secs(166);
/// For a stranger that is refused no more is kept than it takes for a lost answer or two.
const STRANGER_REPEATS: Duration = Duration::from_secs(30);

pub(crate) struct Session {
    pub(crate) core: Core,
    pub(crate) phase: Phase,
    /// Between NAT keepalives.
    keepalive: Duration,
    /// The deadline that the engine has noted.
    pub(crate) scheduled: Option<Instant>,
}

pub(crate) enum Phase {
    InitSent(Box<InitSent>),
    IntermediateSent(Box<IntermediateSent>),
    AuthSent(Box<AuthSent>),
    AuthAwaited(Box<AuthAwaited>),
    Established(Box<Established>),
    /// Deleted; its last answer may have been lost.
    Closed {
        secure: Box<Secure>,
        until: Instant,
    },
    Gone,
}

impl Session {
    pub(crate) fn new(core: Core, phase: Phase, config: &EngineConfig) -> Self {
        Self { core, phase, keepalive: config.keepalive, scheduled: None }
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Gone)
    }

    /// A message with this side's SPI.
    pub(crate) fn handle(&mut self, ctx: &mut Context<'_>, message: &Message<'_>, path: Path) {
        let header = &message.header;
        // RFC 7296 §2.2: the flag tells whose numbering a message id belongs to; ours come back to nobody.
        let handled = if header.flags.initiator == self.core.is_original_initiator() {
            Err(Discarded::Reflected)
        } else if header.exchange == ExchangeType::IkeSaInit {
            self.handle_init_response(ctx, message, path)
        } else if self.core.spis() != (header.initiator_spi, header.responder_spi) {
            Err(Discarded::OtherSpi)
        } else if header.flags.response {
            self.handle_response(ctx, message, path)
        } else {
            self.handle_request(ctx, message, path)
        };
        if let Err(reason) = handled {
            ctx.dropped(path, header, reason);
        }
    }

    pub(crate) fn secure(&mut self) -> Option<&mut Secure> {
        match &mut self.phase {
            Phase::IntermediateSent(sent) => Some(&mut sent.secure),
            Phase::AuthSent(sent) => Some(&mut sent.secure),
            Phase::AuthAwaited(awaited) => Some(&mut awaited.secure),
            Phase::Established(established) => Some(&mut established.secure),
            Phase::Closed { secure, .. } => Some(secure),
            Phase::InitSent(_) | Phase::Gone => None,
        }
    }

    fn handle_request(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        path: Path,
    ) -> Result<(), Discarded> {
        let id = message.header.message_id.0;
        let repeated = match self.core.answers.arrival(id) {
            Arrival::Expected => None,
            Arrival::Repeated(answer) => Some(answer.clone()),
            Arrival::Outside => return Err(Discarded::OutsideWindow),
        };
        let secure = self.secure().ok_or(Discarded::OutOfTurn)?;
        if let Some(answer) = repeated {
            if secure.is_authentic_repetition(message) {
                ctx.send_all(path, &answer);
                ctx.trace(path, Traced::AnsweredAgain(message.header));
                return Ok(());
            }
            return Err(Discarded::Repetition);
        }
        let Some(opened) = open(secure, ctx, message, path)? else { return Ok(()) };
        self.core.heard_from(ctx, path, Kind::Request, &mut self.phase);
        let body = Body::collect(crate::wire::Payloads::inner(opened.first, &opened.content));
        match std::mem::replace(&mut self.phase, Phase::Gone) {
            Phase::AuthAwaited(awaited) => {
                let plain = Plain { message, opened: &opened };
                self.phase = awaited.handle_request(&mut self.core, ctx, &plain, body);
            }
            Phase::Established(established) => {
                self.phase = established.handle_request(&mut self.core, ctx, &message.header, body);
            }
            other @ (Phase::InitSent(_)
            | Phase::IntermediateSent(_)
            | Phase::AuthSent(_)
            | Phase::Closed { .. }
            | Phase::Gone) => {
                self.phase = other;
                return Err(Discarded::OutOfTurn);
            }
        }
        Ok(())
    }

    fn handle_response(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        path: Path,
    ) -> Result<(), Discarded> {
        let id = message.header.message_id.0;
        if !self.core.requests.awaits(id, message.header.exchange) {
            return Err(Discarded::NotAwaited);
        }
        let secure = self.secure().ok_or(Discarded::OutOfTurn)?;
        let Some(opened) = open(secure, ctx, message, path)? else { return Ok(()) };
        let slow = self.core.requests.is_slow();
        self.core.requests.answered(id);
        self.core.heard_from(ctx, path, Kind::Response { slow }, &mut self.phase);
        let body = Body::collect(crate::wire::Payloads::inner(opened.first, &opened.content));
        match std::mem::replace(&mut self.phase, Phase::Gone) {
            Phase::IntermediateSent(sent) => {
                let plain = Plain { message, opened: &opened };
                self.phase = sent.handle_response(&mut self.core, ctx, &plain, body);
            }
            Phase::AuthSent(sent) => {
                self.phase = sent.handle_response(&mut self.core, ctx, &message.header, body);
            }
            Phase::Established(established) => {
                self.phase = established.handle_response(&mut self.core, ctx, body);
            }
            other @ (Phase::InitSent(_) | Phase::AuthAwaited(_) | Phase::Closed { .. } | Phase::Gone) => {
                self.phase = other;
                return Err(Discarded::OutOfTurn);
            }
        }
        Ok(())
    }

    fn handle_init_response(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        path: Path,
    ) -> Result<(), Discarded> {
        let header = &message.header;
        let awaited =
            header.flags.response && self.core.requests.awaits(header.message_id.0, header.exchange);
        if !awaited || header.initiator_spi != self.core.spi_initiator {
            return Err(Discarded::NotAwaited);
        }
        match std::mem::replace(&mut self.phase, Phase::Gone) {
            Phase::InitSent(sent) => {
                if ctx.shared.tracing.messages {
                    ctx.trace(path, Traced::Received(TracedMessage::clear(message)));
                }
                self.phase = sent.handle_response(&mut self.core, ctx, message, path);
                Ok(())
            }
            other @ (Phase::IntermediateSent(_)
            | Phase::AuthSent(_)
            | Phase::AuthAwaited(_)
            | Phase::Established(_)
            | Phase::Closed { .. }
            | Phase::Gone) => {
                self.phase = other;
                Err(Discarded::OutOfTurn)
            }
        }
    }

    /// Somebody at the peer's address answers IKE_SA_INIT in another version. Nobody knows who it was.
    pub(crate) fn doubt_version(&mut self, path: Path, major: u8) {
        if let Phase::InitSent(sent) = &mut self.phase
            && self.core.path.remote.ip() == path.remote.ip()
        {
            sent.refused.get_or_insert(crate::IkeError::OtherVersion { major });
            self.core.requests.hurry();
        }
    }

    /// Goes on after a deletion: to answer for as long as the peer may ask again, which would take us for dead.
    pub(crate) fn closed(secure: Secure, core: &Core, ctx: &Context<'_>) -> Phase {
        let span = core.retransmission.span().max(PEER_REPEATS);
        Phase::Closed { secure: Box::new(secure), until: ctx.now + span }
    }

    /// The same of a peer that did not get in.
    pub(crate) fn refused(secure: Secure, ctx: &Context<'_>) -> Phase {
        Phase::Closed { secure: Box::new(secure), until: ctx.now + STRANGER_REPEATS }
    }
}
