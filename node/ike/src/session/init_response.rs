//! IKE_SA_INIT, the responder's side (RFC 7296 §1.2, §2.6, §2.7).

use std::sync::Arc;

use super::auth_response::AuthAwaited;
use super::body::Body;
use super::context::{Context, Path};
use super::cookie::{Claim, Cookies};
use super::core::Core;
use super::draft::Draft;
use super::half_open::Admission;
use super::handshake::Handshake;
use super::init_request::abilities;
use super::intermediate::{self, IntAuth};
use super::mobility::Mobility;
use super::nat::{Between, common_policy, tell_addresses};
use super::reauth::Line;
use super::secure::Secure;
use super::translate;
use super::window::{Answers, Requests};
use super::{Phase, Session};
use crate::auth::{CertificateData, SignatureHashes};
use crate::config::{Childless, Choice, ConnectionConfig, KeyExchanges, Remote, select};
use crate::crypto::{Group, KeyExchange, Role, SkeySeed};
use crate::error::IkeError;
use crate::trace::{Discarded, Traced, TracedMessage};
use crate::wire::{ExchangeType, Flags, Header, IkeSpi, Message, NotifyType, SaSpi};

const MOST_CERTIFICATE_REQUESTS: usize = 4;

/// An IKE_SA_INIT request, from anyone. Without a session nothing is remembered but the session made for it.
pub(crate) fn respond(ctx: &mut Context<'_>, message: &Message<'_>, path: Path) -> Option<Session> {
    let header = &message.header;
    if !header.responder_spi.is_zero() || header.message_id.0 != 0 || !header.flags.initiator {
        ctx.dropped(path, header, Discarded::NoBeginning);
        return None;
    }
    if ctx.shared.tracing.messages {
        ctx.trace(path, Traced::Received(TracedMessage::clear(message)));
    }
    let body = match Body::collect(message.payloads()) {
        Ok(body) => body,
        Err(error) => {
            let (kind, data) = IkeError::from(error).notification();
            refuse(ctx, header, path, kind, &data);
            return None;
        }
    };
    let nonce = body.nonce?;
    let claim = Claim { address: path.remote.ip(), initiator_spi: header.initiator_spi.0, nonce };
    match ctx.shared.half_open.admission(&ctx.shared.config.half_open, path.remote.ip()) {
        Admission::Welcome => {}
        Admission::Refused => {
            ctx.dropped(path, header, Discarded::Flood);
            return None;
        }
        Admission::WithCookie if has_cookie(ctx, claim, &body) => {}
        Admission::WithCookie => {
            let cookie = cookies(ctx).issue(claim);
            refuse(ctx, header, path, NotifyType::Cookie, &cookie);
            return None;
        }
    }
    match answer(ctx, message, &body, path) {
        Ok(session) => session,
        Err(error) => {
            let (kind, data) = error.notification();
            refuse(ctx, header, path, kind, &data);
            ctx.failed(None, None, None, path.remote, error);
            None
        }
    }
}

impl Context<'_> {
    /// Whether a connection is for a peer at this address in particular.
    pub(crate) fn is_expected(&self, path: Path) -> bool {
        candidates(self, path).iter().any(|candidate| candidate.remote != Remote::Anywhere)
    }

    /// The initiator's IKE_SA_INIT came again: the session made for it answers with the same octets.
    pub(crate) fn repeat_init_response(&mut self, spi: IkeSpi, request: &Message<'_>, path: Path) {
        let header = &request.header;
        let Some(session) = self.shared.sessions.get(&spi) else { return };
        if let Phase::AuthAwaited(awaited) = &session.phase
            && awaited.handshake.request == request.bytes()
        {
            let response = awaited.handshake.response.clone();
            self.send(path, &response);
            self.trace(path, Traced::AnsweredAgain(*header));
        } else {
            self.dropped(path, header, Discarded::OtherBeginning);
        }
    }
}

fn cookies<'a>(ctx: &'a mut Context<'_>) -> &'a mut Cookies {
    let Context { now, random, shared, .. } = ctx;
    let cookies = shared.cookies.get_or_insert_with(|| Cookies::new(*now, &mut **random));
    cookies.rotate(*now, &mut **random);
    cookies
}

fn has_cookie(ctx: &mut Context<'_>, claim: Claim<'_>, body: &Body<'_>) -> bool {
    let Some(notify) = body.notify(NotifyType::Cookie) else { return false };
    cookies(ctx).accepts(claim, notify.data).into()
}

/// One notification in the clear, and nothing kept.
fn refuse(ctx: &mut Context<'_>, request: &Header, path: Path, kind: NotifyType, data: &[u8]) {
    let flags = Flags { initiator: false, response: true, version: false };
    let mut draft = Draft::clear(Header { flags, ..*request });
    draft.notify(kind, data);
    if let Ok(message) = draft.into_message() {
        ctx.send_clear(path, &message);
    }
}

/// Connections that both addresses allow, those that name them first. If there is none for the peer's, one whose peer
/// has moved there since.
fn candidates(ctx: &Context<'_>, path: Path) -> Vec<Arc<ConnectionConfig>> {
    let is_asked = |connection: &ConnectionConfig| connection.local.ip() == path.local.ip();
    let here = |connection: &&Arc<ConnectionConfig>| {
        connection.remote.allows(path.remote.ip())
            && (connection.at_any_address
                || connection.local.ip().is_unspecified()
                || path.local.ip().is_unspecified()
                || is_asked(connection))
    };
    let mut found: Vec<_> = ctx.shared.connections.values().filter(here).cloned().collect();
    found.sort_by_key(|connection| (!matches!(connection.remote, Remote::At(_)), !is_asked(connection)));
    if found.first().is_none_or(|connection| !matches!(connection.remote, Remote::At(_))) {
        let moved = ctx.peers_at(path.remote.ip());
        found.splice(0..0, moved.filter_map(|name| ctx.shared.connections.get(name).cloned()));
    }
    found
}

fn answer(
    ctx: &mut Context<'_>,
    message: &Message<'_>,
    body: &Body<'_>,
    path: Path,
) -> Result<Option<Session>, IkeError> {
    let missing = |payload| IkeError::Missing { exchange: ExchangeType::IkeSaInit, payload };
    let candidates = candidates(ctx, path);
    let exchange = body.key_exchange.ok_or_else(|| missing("KE"))?;
    let nonce_initiator = body.nonce.ok_or_else(|| missing("Ni"))?.to_vec();
    let choice = choose(&candidates, body, path)?;
    let group = choice.key_exchange().and_then(|group| Group::try_from(group).ok());
    let group =
        group.filter(|group| !group.is_additional_only()).ok_or_else(|| IkeError::Unusable(choice.name()))?;
    if exchange.group != group.number() {
        // RFC 7296 §1.2: the initiator comes again with this group; no state until then.
        refuse(ctx, &message.header, path, NotifyType::InvalidKePayload, &group.number().to_be_bytes());
        return Ok(None);
    }
    let suite = translate::suite(&choice)?;
    let rounds = translate::rounds(&choice)?;
    // RFC 9370 §2.2.1: whoever offers additional key exchanges offers the exchange that they are made in.
    if !rounds.is_empty() && !body.has(intermediate::SUPPORTED) {
        return Err(missing("INTERMEDIATE_EXCHANGE_SUPPORTED"));
    }
    let own = KeyExchange::respond(group, exchange.public, ctx.random)?;
    let nonce_responder = ctx.nonce();
    let (spi_initiator, spi_responder) = (message.header.initiator_spi, ctx.ike_spi());
    let id = ctx.ike_sa_id();
    let mut core = Core {
        id,
        line: Line::begin(id, None),
        role: Role::Responder,
        spi_initiator,
        spi_responder,
        path,
        arrival: path,
        between: Between::default(),
        retransmission: ctx.shared.config.retransmission,
        mobility: Mobility::default(),
        requests: Requests::default(),
        answers: Answers::starting_at(1),
        heard: ctx.now,
        said: ctx.now,
        began: ctx.now,
    };
    let policy = common_policy(candidates.iter().map(|candidate| candidate.encapsulation));
    let mut draft = Draft::clear(core.header(ExchangeType::IkeSaInit, 0, true));
    draft.choice(&choice, SaSpi::Empty).key_exchange(group.number(), &own.public).nonce(&nonce_responder);
    tell_addresses(&mut draft, core.spis(), path, policy);
    abilities(&mut draft);
    if candidates.iter().any(|candidate| candidate.childless != Childless::Never) {
        draft.notify(NotifyType::ChildlessIkev2Supported, &[]);
    }
    let ppk = body.has(NotifyType::UsePpk) && candidates.iter().any(|candidate| candidate.ppk.is_some());
    if ppk {
        draft.notify(NotifyType::UsePpk, &[]);
    }
    if !rounds.is_empty() {
        draft.notify(intermediate::SUPPORTED, &[]);
    }
    for request in certificate_requests(&candidates) {
        draft.certificate_request(&request);
    }
    let response = draft.into_message()?;

    let seed = SkeySeed::initial(suite.prf(), &own.secret, &nonce_initiator, &nonce_responder);
    let keys = seed.keys(suite, &nonce_initiator, &nonce_responder, spi_initiator.0, spi_responder.0);
    let mut secure = Secure::new(suite, keys, Role::Responder);
    if body.has(NotifyType::Ikev2FragmentationSupported) {
        let size = ctx.shared.config.fragment_size_to(candidates.iter().map(|candidate| &**candidate));
        secure.allow_fragments(size, path.remote.is_ipv6());
    }
    let peer_hashes = body
        .notify(NotifyType::SignatureHashAlgorithms)
        .map_or(SignatureHashes::NONE, |notify| SignatureHashes::from_notify_data(notify.data));
    // The initiator hashed its SPI and zero, as the responder's was not known.
    core.note_nat(body, (spi_initiator, IkeSpi::ZERO), path, policy);
    let awaited = AuthAwaited {
        secure,
        candidates,
        handshake: Handshake {
            choice,
            nonce_initiator,
            nonce_responder,
            request: message.bytes().to_vec(),
            response,
            peer_hashes,
            childless: false,
            ppk,
            rounds,
            int_auth: IntAuth::default(),
        },
        until: ctx.now + ctx.shared.config.half_open.lifetime,
        address: path.remote,
    };
    ctx.send_clear(path, &awaited.handshake.response);
    ctx.shared.half_open.enter(path.remote.ip());
    ctx.shared.initiators.insert((path.remote, spi_initiator), spi_responder);
    Ok(Some(Session::new(core, Phase::AuthAwaited(Box::new(awaited)), &ctx.shared.config)))
}

/// Which certificates would do, whichever connection it will be: many peers send theirs only if asked (RFC 7296
/// §1.2). This message is never fragmented, so not more than a few.
fn certificate_requests(candidates: &[Arc<ConnectionConfig>]) -> Vec<CertificateData> {
    let mut requests: Vec<CertificateData> = Vec::new();
    for request in candidates.iter().filter_map(|it| it.credentials.remote.certificate_request()) {
        if requests.len() < MOST_CERTIFICATE_REQUESTS && !requests.contains(&request) {
            requests.push(request);
        }
    }
    requests
}

/// The first candidate's choice; without one, the reason why the first has none.
fn choose(candidates: &[Arc<ConnectionConfig>], body: &Body<'_>, path: Path) -> Result<Choice, IkeError> {
    let offers = body.offers();
    let mut refused = None;
    for candidate in candidates {
        match select(&offers, &candidate.proposals, KeyExchanges::Negotiated) {
            Ok(choice) => return Ok(choice),
            Err(error) => {
                refused.get_or_insert(error);
            }
        }
    }
    Err(refused.map_or(IkeError::NoConnection { address: path.remote.ip() }, IkeError::from))
}
