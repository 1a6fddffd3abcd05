//! IKE_SA_INIT, the initiator's side (RFC 7296 §1.2, §2.6, §2.7, §2.23).

use std::sync::Arc;

use super::body::Body;
use super::context::{Context, NAT_PORT, PLAIN_PORT, Path};
use super::core::Core;
use super::draft::Draft;
use super::handshake::Handshake;
use super::intermediate::{self, IntAuth, IntermediateSent};
use super::mobike;
use super::mobility::Mobility;
use super::nat::{Between, tell_addresses};
use super::postquantum;
use super::reauth::Line;
use super::secure::Secure;
use super::translate;
use super::wanted::Wanted;
use super::window::{Answers, Requests};
use super::{Phase, Session};
use crate::auth::SignatureHashes;
use crate::config::{Childless, ConnectionConfig, KeyExchanges, check_answer};
use crate::crypto::{Group, KeyExchange, Role, SkeySeed};
use crate::error::IkeError;
use crate::output::{Encapsulation, IkeSaId};
use crate::wire::{ExchangeType, IkeSpi, Message, NotifyType, SaSpi};

/// Waiting for the answer to IKE_SA_INIT. Nothing that comes in here is authenticated: what looks like a refusal is
/// remembered, and ends the attempt only when no better answer comes (trap 6).
pub(crate) struct InitSent {
    pub(crate) connection: Arc<ConnectionConfig>,
    /// All of the configuration that start by themselves, and those asked for since.
    pub(crate) children: Vec<Wanted>,
    pub(super) nonce: Vec<u8>,
    pub(super) exchange: KeyExchange,
    pub(super) cookie: Option<Vec<u8>>,
    /// As it went out last: AUTH covers it (trap 28).
    message: Vec<u8>,
    pub(super) retries: u8,
    pub(crate) refused: Option<IkeError>,
}

/// A new session, its first message sent.
pub(crate) fn initiate(
    ctx: &mut Context<'_>,
    connection: Arc<ConnectionConfig>,
    children: Vec<Wanted>,
) -> Result<Session, IkeError> {
    let remote = connection.remote.address().ok_or(IkeError::NoRemoteAddress)?;
    let path = Path { local: connection.local, remote };
    initiate_along(ctx, connection, children, path, None)
}

/// The same on a path that is known, in the place of another IKE SA.
pub(super) fn initiate_along(
    ctx: &mut Context<'_>,
    connection: Arc<ConnectionConfig>,
    children: Vec<Wanted>,
    path: Path,
    replaces: Option<IkeSaId>,
) -> Result<Session, IkeError> {
    let group = first_group(&connection)?;
    let id = ctx.ike_sa_id();
    let core = Core {
        id,
        line: Line::begin(id, replaces),
        role: Role::Initiator,
        spi_initiator: ctx.ike_spi(),
        spi_responder: IkeSpi::ZERO,
        path,
        arrival: path,
        between: Between::default(),
        retransmission: ctx.shared.config.retransmission_to(&connection),
        mobility: Mobility::default(),
        requests: Requests::default(),
        answers: Answers::default(),
        heard: ctx.now,
        said: ctx.now,
        began: ctx.now,
    };
    let sent = InitSent {
        connection,
        children,
        nonce: ctx.nonce(),
        exchange: KeyExchange::generate(group, ctx.random),
        cookie: None,
        message: Vec::new(),
        retries: 0,
        refused: None,
    };
    let mut session = Session::new(core, Phase::Gone, &ctx.shared.config);
    session.phase = Box::new(sent).send(&mut session.core, ctx)?;
    Ok(session)
}

pub(super) fn first_group(connection: &ConnectionConfig) -> Result<Group, IkeError> {
    let groups = connection.proposals.iter().filter_map(crate::config::Proposal::first_key_exchange);
    groups
        .filter_map(|group| Group::try_from(group).ok())
        .find(|group| !group.is_additional_only())
        .ok_or_else(|| IkeError::Unusable(names(connection)))
}

/// The connection's proposals in words.
pub(super) fn names(connection: &ConnectionConfig) -> String {
    connection.proposals.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What both sides of IKE_SA_INIT say of their abilities.
pub(super) fn abilities(draft: &mut Draft) {
    draft
        .notify(NotifyType::Ikev2FragmentationSupported, &[])
        .notify(NotifyType::SignatureHashAlgorithms, &SignatureHashes::SUPPORTED.notify_data());
}

impl InitSent {
    pub(super) fn send(
        mut self: Box<Self>,
        core: &mut Core,
        ctx: &mut Context<'_>,
    ) -> Result<Phase, IkeError> {
        let header = core.header(ExchangeType::IkeSaInit, 0, false);
        let mut draft = Draft::clear(header);
        if let Some(cookie) = &self.cookie {
            // RFC 7296 §2.6: the first payload, and all others unchanged.
            draft.notify(NotifyType::Cookie, cookie);
        }
        draft
            .proposals(&self.connection.proposals, &SaSpi::Empty)
            .key_exchange(self.exchange.group().number(), self.exchange.public())
            .nonce(&self.nonce);
        tell_addresses(&mut draft, core.spis(), core.path, self.connection.encapsulation);
        abilities(&mut draft);
        if self.connection.ppk.is_some() {
            draft.notify(NotifyType::UsePpk, &[]);
        }
        if intermediate::is_wanted(&self.connection) {
            draft.notify(intermediate::SUPPORTED, &[]);
        }
        self.message = draft.into_message()?;
        ctx.send_clear(core.path, &self.message);
        core.requests = Requests::default();
        let datagrams = vec![self.message.clone()];
        core.requests.sent(ExchangeType::IkeSaInit, datagrams, core.retransmission, ctx.now);
        core.said = ctx.now;
        Ok(Phase::InitSent(self))
    }

    pub(crate) fn handle_response(
        self: Box<Self>,
        core: &mut Core,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        path: Path,
    ) -> Phase {
        let body = match Body::collect(message.payloads()) {
            Ok(body) => body,
            Err(error) => return self.doubt(core, error.into()),
        };
        // RFC 7296 §2.6: answered by the same request with the cookie in front.
        if let Some(cookie) = body.notify(NotifyType::Cookie)
            && body.proposals.is_empty()
        {
            return self.handle_cookie(core, ctx, cookie.data);
        }
        if let Some(notify) = body.notify(NotifyType::InvalidKePayload) {
            let wanted = notify.data.try_into().map_or(0, u16::from_be_bytes);
            return self.handle_invalid_ke(core, ctx, wanted);
        }
        if let Some(notify) = body.error() {
            let offered = names(&self.connection);
            let refused =
                IkeError::Refused { exchange: ExchangeType::IkeSaInit, notify: notify.kind, offered };
            return self.doubt(core, refused);
        }
        self.handle_answer(core, ctx, message, &body, path)
    }

    fn handle_answer(
        self: Box<Self>,
        core: &mut Core,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        body: &Body<'_>,
        path: Path,
    ) -> Phase {
        let missing = |payload| IkeError::Missing { exchange: ExchangeType::IkeSaInit, payload };
        let spi_responder = message.header.responder_spi;
        let (Some(exchange), Some(nonce)) = (body.key_exchange, body.nonce) else {
            return self.doubt(core, missing("KE or Nr"));
        };
        let [answer] = body.proposals.as_slice() else { return self.doubt(core, missing("SA")) };
        if spi_responder.is_zero() || exchange.group != self.exchange.group().number() {
            return self.doubt(core, missing("the responder's SPI or its public value"));
        }
        let choice = match check_answer(&answer.offer, &self.connection.proposals, KeyExchanges::Negotiated) {
            Ok(choice) => choice,
            Err(error) => return self.doubt(core, error.into()),
        };
        if choice.key_exchange() != Some(exchange.group) {
            return self.doubt(core, missing("a public value of the chosen group"));
        }
        let childless = body.has(NotifyType::ChildlessIkev2Supported);
        if !childless && (self.connection.childless == Childless::Require || self.children.is_empty()) {
            return self.doubt(core, IkeError::ChildlessUnsupported);
        }
        let usable = translate::suite(&choice).and_then(|suite| Ok((suite, translate::rounds(&choice)?)));
        let (suite, rounds) = match usable {
            Ok(usable) => usable,
            Err(error) => return self.doubt(core, error),
        };
        if !rounds.is_empty() && !body.has(intermediate::SUPPORTED) {
            return self.doubt(core, missing("INTERMEDIATE_EXCHANGE_SUPPORTED"));
        }
        let ppk = match postquantum::check_answer(&self.connection, body) {
            Ok(ppk) => ppk,
            Err(error) => return self.doubt(core, error),
        };
        let Self { connection, children, nonce: own_nonce, exchange: own, message: request, .. } = *self;
        let shared = match own.agree(exchange.public) {
            Ok(shared) => shared,
            Err(error) => {
                // The key exchange is used up: from the start.
                let retry = Self {
                    exchange: KeyExchange::generate(own_group(&connection, exchange.group), ctx.random),
                    connection,
                    children,
                    nonce: ctx.nonce(),
                    cookie: self.cookie,
                    message: Vec::new(),
                    retries: self.retries,
                    refused: Some(error.into()),
                };
                return Box::new(retry).retry(core, ctx);
            }
        };
        core.spi_responder = spi_responder;
        core.requests = Requests::starting_at(1);
        core.heard = ctx.now;
        let (ni, nr) = (own_nonce, nonce.to_vec());
        let seed = SkeySeed::initial(suite.prf(), &shared, &ni, &nr);
        let keys = seed.keys(suite, &ni, &nr, core.spi_initiator.0, core.spi_responder.0);
        let mut secure = Secure::new(suite, keys, Role::Initiator);
        if body.has(NotifyType::Ikev2FragmentationSupported) {
            let size = ctx.shared.config.fragment_size_to([&*connection]);
            secure.allow_fragments(size, core.path.remote.is_ipv6());
        }
        core.note_nat(body, core.spis(), path, connection.encapsulation);
        // RFC 4555 §3.3: with MOBIKE in any case, as there may be a NAT on the next path.
        let may_move = core.mobility.nat_traversal && mobike::is_wanted(&connection);
        if core.between.encapsulation() == Encapsulation::Udp || may_move {
            float(core);
        }
        let peer_hashes = body
            .notify(NotifyType::SignatureHashAlgorithms)
            .map_or(SignatureHashes::NONE, |notify| SignatureHashes::from_notify_data(notify.data));
        let handshake = Handshake {
            choice,
            nonce_initiator: ni,
            nonce_responder: nr,
            request,
            response: message.bytes().to_vec(),
            peer_hashes,
            childless,
            ppk,
            rounds,
            int_auth: IntAuth::default(),
        };
        IntermediateSent::begin(core, ctx, connection, children, secure, handshake)
    }
}

fn own_group(connection: &ConnectionConfig, number: u16) -> Group {
    Group::try_from(number).or_else(|_| first_group(connection)).unwrap_or(Group::X25519)
}

/// RFC 7296 §2.23: from port 500 to 4500, before IKE_AUTH.
fn float(core: &mut Core) {
    if core.path.local.port() == PLAIN_PORT {
        core.path.local.set_port(NAT_PORT);
    }
    if core.path.remote.port() == PLAIN_PORT {
        core.path.remote.set_port(NAT_PORT);
    }
}
