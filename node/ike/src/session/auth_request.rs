//! IKE_AUTH, the initiator's side (RFC 7296 §1.2, §2.15, §2.19).

use std::sync::Arc;

use super::body::Body;
use super::child_keys::{Agreed, install};
use super::context::Context;
use super::core::Core;
use super::draft::Draft;
use super::established::{Established, Standing};
use super::handshake::{Handshake, Side};
use super::postquantum;
use super::secure::Secure;
use super::transport::{Answered, answered, asked};
use super::wanted::Wanted;
use super::{Phase, Task, duplicate, mobike, reauth};
use crate::auth::Authenticated;
use crate::config::{Childless, ConnectionConfig, KeyExchanges, Mode, SelectorPair, check_answer};
use crate::crypto::SaKeys;
use crate::error::IkeError;
use crate::output::{ChildSpis, DeleteReason, OutboundStart};
use crate::wire::{ExchangeType, Header, NotifyType, SaSpi, WireError};

/// Waiting for the answer to IKE_AUTH.
pub(crate) struct AuthSent {
    pub(crate) connection: Arc<ConnectionConfig>,
    /// Those to be made after the first.
    pub(crate) children: Vec<Wanted>,
    pub(crate) secure: Secure,
    handshake: Handshake,
    first: Option<FirstChild>,
    /// The keys without the postquantum key, if AUTH went out with it: the responder may do without.
    without_ppk: Option<SaKeys>,
}

/// The child that IKE_AUTH asks for.
struct FirstChild {
    wanted: Wanted,
    inbound_spi: u32,
}

impl AuthSent {
    /// Sends IKE_AUTH.
    pub(super) fn begin(
        core: &mut Core,
        ctx: &mut Context<'_>,
        connection: Arc<ConnectionConfig>,
        children: Vec<Wanted>,
        secure: Secure,
        handshake: Handshake,
    ) -> Phase {
        let wants_none = matches!(connection.childless, Childless::Prefer | Childless::Require);
        let mut children = children.into_iter();
        let first = if wants_none && handshake.childless { None } else { children.next() };
        let first = first.map(|wanted| FirstChild { wanted, inbound_spi: ctx.child_spi() });
        let children = children.collect();
        let mut sent = Self { connection, children, secure, handshake, first, without_ppk: None };
        match sent.send(core, ctx) {
            Ok(()) => Phase::AuthSent(Box::new(sent)),
            Err(error) => sent.fail(core, ctx, error),
        }
    }

    fn send(&mut self, core: &mut Core, ctx: &mut Context<'_>) -> Result<(), IkeError> {
        let connection = &self.connection;
        let mut draft = Draft::inner();
        draft.id_initiator(&connection.local_identity);
        for certificate in connection.credentials.local.certificates() {
            draft.certificate(&certificate);
        }
        if ctx.shared.config.initial_contact && !ctx.shared.knows(&connection.name) {
            draft.notify(NotifyType::InitialContact, &[]);
        }
        if let Some(request) = connection.credentials.remote.certificate_request() {
            draft.certificate_request(&request);
        }
        if let Some(expected) = connection.remote_identity.exact() {
            draft.id_responder(expected);
        }
        if mobike::is_wanted(connection) {
            mobike::offer(&mut draft, connection, core, true);
        }
        if let Some(key) = connection.ppk.as_ref().filter(|_| self.handshake.ppk) {
            if !key.is_required() {
                let without = self.handshake.prove(&self.secure, connection, Side::Initiator)?;
                draft.notify(NotifyType::NoPpkAuth, &without.data);
            }
            draft.notify(NotifyType::PpkIdentity, &key.notify_data());
            self.without_ppk = Some(self.secure.mix_postquantum(key));
        }
        draft.authentication(&self.handshake.prove(&self.secure, connection, Side::Initiator)?);
        if let Some(first) = &self.first {
            let config = &first.wanted.config;
            let selectors = asked(&first.wanted, core.path);
            let proposals: Vec<_> =
                config.proposals.iter().map(crate::config::Proposal::without_key_exchange).collect();
            if config.mode == Mode::Transport {
                draft.notify(NotifyType::UseTransportMode, &[]);
            }
            draft
                .proposals(&proposals, &SaSpi::Child(first.inbound_spi))
                .selectors(&selectors.local, &selectors.remote);
        }
        core.request(ctx, &mut self.secure, ExchangeType::IkeAuth, draft)
    }

    /// Whether IKE_AUTH brings this child.
    pub(crate) fn asks_for(&self, child: &Wanted) -> bool {
        self.first.as_ref().is_some_and(|first| child.is_within(&first.wanted))
    }

    /// Our user has lost interest.
    pub(crate) fn abandon(&self, ctx: &mut Context<'_>) {
        if let Some(first) = &self.first {
            ctx.release_spi(first.inbound_spi);
        }
    }

    /// Nothing came of it: our user hears why.
    pub(crate) fn fail(&self, core: &Core, ctx: &mut Context<'_>, error: IkeError) -> Phase {
        self.abandon(ctx);
        ctx.failed(Some(self.connection.name.clone()), None, None, core.path.remote, error);
        Phase::Gone
    }

    pub(crate) fn handle_response(
        mut self: Box<Self>,
        core: &mut Core,
        ctx: &mut Context<'_>,
        _header: &Header,
        body: Result<Body<'_>, WireError>,
    ) -> Phase {
        let verified = body.map_err(IkeError::from).and_then(|body| {
            let (authenticated, mixed) = self.verify(ctx, &body)?;
            Ok((body, authenticated, mixed))
        });
        let (body, authenticated, mixed) = match verified {
            Ok(verified) => verified,
            Err(error) => {
                self.reject(core, ctx, &error);
                return self.fail(core, ctx, error);
            }
        };
        let Self { connection, children, secure, handshake, first, .. } = *self;
        mobike::agree(core, &connection, &body);
        let mut established = Established::new(
            core,
            ctx,
            connection,
            secure,
            Standing::InUse,
            authenticated.identity().clone(),
        );
        established.announce(core, ctx, &handshake.choice, mixed);
        for child in children {
            established.tasks.push(ctx.now, Task::CreateChild(child));
        }
        if let Some(first) = first {
            let name = first.wanted.config.name.clone();
            let inbound_spi = first.inbound_spi;
            if let Err(error) = take_first_child(&mut established, core, ctx, first, &handshake, &body) {
                ctx.release_spi(inbound_spi);
                // RFC 7296 §1.2: the IKE SA stands without its child (trap 31).
                let connection = Some(established.connection.name.clone());
                ctx.failed(connection, Some(name), Some(core.id), core.path.remote, error);
            }
        }
        reauth::stands(&mut established, core, ctx);
        duplicate::settle(&mut established, core, ctx);
        mobike::stands(&mut established, core, ctx);
        established.run_tasks(core, ctx);
        Phase::Established(Box::new(established))
    }

    /// Who the responder is, and whether a postquantum key is mixed in.
    fn verify(&mut self, ctx: &Context<'_>, body: &Body<'_>) -> Result<(Authenticated, bool), IkeError> {
        let exchange = ExchangeType::IkeAuth;
        if body.authentication.is_none()
            && let Some(notify) = body.error()
        {
            let connection = &self.connection;
            let offered = if notify.kind == NotifyType::AuthenticationFailed {
                let how = connection.credentials.local.kind();
                format!("{} by {how}, to {}", connection.local_identity, connection.remote_identity)
            } else {
                super::init_request::names(connection)
            };
            return Err(IkeError::Refused { exchange, notify: notify.kind, offered });
        }
        let id = body.id_responder.ok_or(IkeError::Missing { exchange, payload: "IDr" })?;
        let connection = &self.connection;
        let mixed = postquantum::accept(connection, &mut self.secure, self.without_ppk.take(), body)?;
        let verified = self.handshake.verify(ctx, &self.secure, connection, Side::Responder, &id, body);
        Ok((verified.map_err(|error| postquantum::blame(connection, mixed, error))?, mixed))
    }

    /// RFC 7296 §2.21.2: the peer took us in, but we do not take it; it is told in an exchange of its own. No answer is
    /// waited for.
    fn reject(&mut self, core: &mut Core, ctx: &mut Context<'_>, error: &IkeError) {
        if matches!(error, IkeError::Refused { .. }) {
            return;
        }
        let mut draft = Draft::inner();
        draft.notify(NotifyType::AuthenticationFailed, &[]);
        // An error here would only add to the one that is being reported.
        let _unsent = core.request(ctx, &mut self.secure, ExchangeType::Informational, draft);
    }
}

fn take_first_child(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    first: FirstChild,
    handshake: &Handshake,
    body: &Body<'_>,
) -> Result<(), IkeError> {
    let exchange = ExchangeType::IkeAuth;
    let FirstChild { wanted, inbound_spi } = first;
    let config = wanted.config.clone();
    if let Some(notify) = body.error() {
        let narrower =
            if notify.kind == NotifyType::SinglePairRequired { wanted.narrower() } else { Vec::new() };
        if !narrower.is_empty() {
            ctx.release_spi(inbound_spi);
            for child in narrower {
                established.tasks.push(ctx.now, Task::CreateChild(child));
            }
            return Ok(());
        }
        let offered = config.proposals.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let offered = format!("{offered} for {}", wanted.selectors);
        return Err(IkeError::Refused { exchange, notify: notify.kind, offered });
    }
    let missing = |payload| IkeError::Missing { exchange, payload };
    let [answer] = body.proposals.as_slice() else { return Err(missing("SA")) };
    let choice = check_answer(&answer.offer, &config.proposals, KeyExchanges::Ignored)?;
    let SaSpi::Child(outbound) = answer.spi else { return Err(missing("the child's SPI")) };
    let local = body.selectors_initiator.clone().ok_or_else(|| missing("TSi"))?;
    let remote = body.selectors_responder.clone().ok_or_else(|| missing("TSr"))?;
    let Answered { selectors, original, narrowed } = answered(&wanted, SelectorPair { local, remote }, core);
    let transport = body.has(NotifyType::UseTransportMode);
    let agreed = Agreed {
        config,
        choice,
        spis: ChildSpis { inbound: inbound_spi, outbound },
        local_ts: selectors.local,
        remote_ts: selectors.remote,
        original,
        initiator: true,
        nonce_initiator: &handshake.nonce_initiator,
        nonce_responder: &handshake.nonce_responder,
        shared: &[],
        rekeyed: None,
        outbound: OutboundStart::Now,
    };
    let refused = agreed.refusal(narrowed, transport);
    let id = install(established, core, ctx, agreed)?;
    if let Some(error) = refused {
        // The peer has it already.
        established.tasks.push_first(ctx.now, Task::DeleteChild(id, DeleteReason::Inconsistent));
        return Err(error);
    }
    Ok(())
}
