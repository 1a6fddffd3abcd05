//! IKE_INTERMEDIATE: the additional key exchanges between IKE_SA_INIT and IKE_AUTH, both sides (RFC 9242, RFC 9370
//! §2.2.2).
//!
//! Each exchange is sealed with the keys that came before it, and makes those for what comes after.

use std::sync::Arc;

use super::Phase;
use super::auth_request::AuthSent;
use super::auth_response::AuthAwaited;
use super::body::Body;
use super::context::Context;
use super::core::Core;
use super::draft::Draft;
use super::handshake::Handshake;
use super::secure::{Opened, Secure};
use super::wanted::Wanted;
use crate::config::ConnectionConfig;
use crate::crypto::{KeyExchange, SharedSecret, SkeySeed};
use crate::error::IkeError;
use crate::wire::{
    Chain, ExchangeType, Header, Message, NotifyType, ProtectedWriter, WireError, WriteError, plain_octets,
};

/// What IKE_AUTH signs of the exchanges before it (RFC 9242 §3.3.2).
#[derive(Default)]
pub(crate) struct IntAuth {
    initiator: Vec<u8>,
    responder: Vec<u8>,
    exchanges: u32,
}

/// An authentic message, opened.
pub(crate) struct Plain<'a> {
    pub(crate) message: &'a Message<'a>,
    pub(crate) opened: &'a Opened,
}

impl Plain<'_> {
    /// As it is signed: in one piece and without encryption, its lengths changed to that.
    fn octets(&self) -> Result<Vec<u8>, WriteError> {
        plain_octets(self.message, self.opened.first, &self.opened.content)
    }
}

/// The same of a message of ours.
fn own_octets(header: &Header, chain: &Chain) -> Result<Vec<u8>, WriteError> {
    let around = ProtectedWriter::encrypted(header, chain.first, chain.bytes.len())?;
    Ok([around.additional_data(), &chain.bytes].concat())
}

impl IntAuth {
    /// One more exchange, with the SK_p in force while it went over the wire.
    fn add(&mut self, secure: &Secure, request: &[u8], response: &[u8]) {
        let next =
            |key: &[u8], before: &[u8], octets: &[u8]| secure.prf.compute(key, &[before, octets]).to_vec();
        self.initiator = next(&secure.keys.pi, &self.initiator, request);
        self.responder = next(&secure.keys.pr, &self.responder, response);
        self.exchanges = self.exchanges.saturating_add(1);
    }

    /// IntAuth_iN | IntAuth_rN | IKE_AUTH_MID; `None` without such an exchange.
    pub(super) fn octets(&self) -> Option<Vec<u8>> {
        // IKE_SA_INIT has message id 0, and IKE_AUTH the one after the last of these.
        let message_id = self.exchanges.saturating_add(1).to_be_bytes();
        (self.exchanges > 0).then(|| [self.initiator.as_slice(), &self.responder, &message_id].concat())
    }
}

impl Handshake {
    /// Mixes a further shared secret into the keys: SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr).
    fn mix(&self, core: &Core, secure: &mut Secure, shared: &SharedSecret) {
        let (ni, nr) = (self.nonce_initiator.as_slice(), self.nonce_responder.as_slice());
        let seed = SkeySeed::next(secure.prf, &secure.keys.d, &[shared], ni, nr);
        let keys = seed.keys(secure.suite, ni, nr, core.spi_initiator.0, core.spi_responder.0);
        secure.advance(keys, core.role);
    }
}

fn missing(payload: &'static str) -> IkeError {
    IkeError::Missing { exchange: ExchangeType::IkeIntermediate, payload }
}

/// Waiting for the answer to IKE_INTERMEDIATE.
pub(crate) struct IntermediateSent {
    pub(crate) connection: Arc<ConnectionConfig>,
    /// To be made once the IKE SA stands.
    pub(crate) children: Vec<Wanted>,
    pub(crate) secure: Secure,
    handshake: Handshake,
    exchange: KeyExchange,
    /// As it is signed.
    request: Vec<u8>,
}

impl IntermediateSent {
    /// Sends the next IKE_INTERMEDIATE, or IKE_AUTH after the last.
    pub(super) fn begin(
        core: &mut Core,
        ctx: &mut Context<'_>,
        connection: Arc<ConnectionConfig>,
        children: Vec<Wanted>,
        mut secure: Secure,
        mut handshake: Handshake,
    ) -> Phase {
        let Some(group) = handshake.rounds.pop_front() else {
            return AuthSent::begin(core, ctx, connection, children, secure, handshake);
        };
        let exchange = KeyExchange::generate(group, ctx.random);
        match send(core, ctx, &mut secure, &exchange) {
            Ok(request) => {
                let sent = Self { connection, children, secure, handshake, exchange, request };
                Phase::IntermediateSent(Box::new(sent))
            }
            Err(error) => fail(core, ctx, &connection, error),
        }
    }

    pub(crate) fn handle_response(
        self: Box<Self>,
        core: &mut Core,
        ctx: &mut Context<'_>,
        plain: &Plain<'_>,
        body: Result<Body<'_>, WireError>,
    ) -> Phase {
        let Self { connection, children, mut secure, mut handshake, exchange, request } = *self;
        let agreed = body.map_err(IkeError::from).and_then(|body| {
            let shared = agree(&connection, exchange, &body)?;
            handshake.int_auth.add(&secure, &request, &plain.octets()?);
            handshake.mix(core, &mut secure, &shared);
            Ok(())
        });
        match agreed {
            Ok(()) => Self::begin(core, ctx, connection, children, secure, handshake),
            Err(error) => fail(core, ctx, &connection, error),
        }
    }

    /// Nothing came of it: our user hears why.
    pub(crate) fn fail(&self, core: &Core, ctx: &mut Context<'_>, error: IkeError) {
        fail(core, ctx, &self.connection, error);
    }
}

fn fail(core: &Core, ctx: &mut Context<'_>, connection: &ConnectionConfig, error: IkeError) -> Phase {
    ctx.failed(Some(connection.name.clone()), None, None, core.path.remote, error);
    Phase::Gone
}

/// Returns the request as it is signed.
fn send(
    core: &mut Core,
    ctx: &mut Context<'_>,
    secure: &mut Secure,
    exchange: &KeyExchange,
) -> Result<Vec<u8>, IkeError> {
    let mut draft = Draft::inner();
    draft.key_exchange(exchange.group().number(), exchange.public());
    let chain = draft.into_chain()?;
    let id = core.requests.free().unwrap_or(0);
    let octets = own_octets(&core.header(ExchangeType::IkeIntermediate, id, false), &chain)?;
    core.request_chain(ctx, secure, ExchangeType::IkeIntermediate, &chain)?;
    Ok(octets)
}

fn agree(
    connection: &ConnectionConfig,
    exchange: KeyExchange,
    body: &Body<'_>,
) -> Result<SharedSecret, IkeError> {
    if let Some(notify) = body.error() {
        let offered = super::init_request::names(connection);
        return Err(IkeError::Refused {
            exchange: ExchangeType::IkeIntermediate,
            notify: notify.kind,
            offered,
        });
    }
    let peer = body.key_exchange.filter(|peer| peer.group == exchange.group().number());
    Ok(exchange.agree(peer.ok_or_else(|| missing("a public value of the agreed method"))?.public)?)
}

impl AuthAwaited {
    /// The next of the additional key exchanges.
    pub(super) fn handle_intermediate(
        mut self: Box<Self>,
        core: &mut Core,
        ctx: &mut Context<'_>,
        plain: &Plain<'_>,
        body: Result<Body<'_>, WireError>,
    ) -> Phase {
        let answered =
            body.map_err(IkeError::from).and_then(|body| self.answer_intermediate(core, ctx, plain, &body));
        match answered {
            Ok(()) => {
                // The peer has come further: as many times as there are exchanges.
                self.until = ctx.now + ctx.shared.config.half_open.lifetime;
                Phase::AuthAwaited(self)
            }
            Err(error) => {
                self.leave(core, ctx);
                self.refuse(core, ctx, &plain.message.header, error)
            }
        }
    }

    fn answer_intermediate(
        &mut self,
        core: &mut Core,
        ctx: &mut Context<'_>,
        plain: &Plain<'_>,
        body: &Body<'_>,
    ) -> Result<(), IkeError> {
        let wrong = || missing("a public value of the agreed method");
        let group = self.handshake.rounds.pop_front().ok_or_else(wrong)?;
        let offered =
            body.key_exchange.filter(|offered| offered.group == group.number()).ok_or_else(wrong)?;
        let own = KeyExchange::respond(group, offered.public, ctx.random)?;
        let mut draft = Draft::inner();
        draft.key_exchange(group.number(), &own.public);
        let chain = draft.into_chain()?;
        let request = &plain.message.header;
        let response = own_octets(&core.header(request.exchange, request.message_id.0, true), &chain)?;
        self.handshake.int_auth.add(&self.secure, &plain.octets()?, &response);
        core.answer_chain(ctx, &mut self.secure, request, &chain)?;
        self.handshake.mix(core, &mut self.secure, &own.secret);
        Ok(())
    }
}

/// Whether a proposal of this connection needs IKE_INTERMEDIATE, which is negotiated then (RFC 9370 §2.2.1).
pub(super) fn is_wanted(connection: &ConnectionConfig) -> bool {
    connection.proposals.iter().any(crate::config::Proposal::has_additional_key_exchanges)
}

pub(super) const SUPPORTED: NotifyType = NotifyType::IntermediateExchangeSupported;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Prf, Role, SaKeys, Suite};

    /// RFC 9242 §3.3.2, written out.
    #[test]
    fn what_is_signed_of_intermediate_exchanges_chains_with_the_keys_of_each() {
        let suite = Suite::new(crate::crypto::Encryption::Aes128Gcm16, None, Prf::HmacSha256).unwrap();
        let keys = |byte: u8| {
            let key = |len: usize, byte: u8| zeroize::Zeroizing::new(vec![byte; len]);
            SaKeys {
                d: key(32, byte),
                ai: key(0, 0),
                ar: key(0, 0),
                ei: key(20, byte),
                er: key(20, byte),
                pi: key(32, byte),
                pr: key(32, byte + 1),
            }
        };
        let mut secure = Secure::new(suite, keys(1), Role::Initiator);
        let mut int_auth = IntAuth::default();
        assert_eq!(int_auth.octets(), None);
        int_auth.add(&secure, b"request 1", b"response 1");
        secure.advance(keys(3), Role::Initiator);
        int_auth.add(&secure, b"request 2", b"response 2");
        let prf = |byte: u8, parts: &[&[u8]]| Prf::HmacSha256.compute(&[byte; 32], parts).to_vec();
        let initiator = prf(3, &[&prf(1, &[b"request 1"]), b"request 2"]);
        let responder = prf(4, &[&prf(2, &[b"response 1"]), b"response 2"]);
        assert_eq!(int_auth.octets().unwrap(), [initiator, responder, vec![0, 0, 0, 3]].concat());
    }
}
