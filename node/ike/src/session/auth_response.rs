//! IKE_AUTH, the responder's side (RFC 7296 §1.2, §2.15, §2.19).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::addresses::is_as_sent;
use super::body::Body;
use super::child_answer::answer_first_child;
use super::context::Context;
use super::core::Core;
use super::draft::Draft;
use super::duplicate;
use super::established::{Established, Standing};
use super::handshake::{Handshake, Side, identity};
use super::intermediate::Plain;
use super::nat::Between;
use super::postquantum;
use super::secure::Secure;
use super::{Phase, Session, mobike};
use crate::auth::{Authenticated, Identity};
use crate::config::{CertificatePolicy, Childless, Choice, ConnectionConfig, EncapsulationPolicy};
use crate::error::IkeError;
use crate::trace::Discarded;
use crate::wire::{ExchangeType, Header, NotifyType, WireError};

/// IKE_SA_INIT is answered; who the initiator is shall come with IKE_AUTH.
pub(crate) struct AuthAwaited {
    pub(crate) secure: Secure,
    /// Connections that the peer's address allows.
    pub(super) candidates: Vec<Arc<ConnectionConfig>>,
    pub(crate) handshake: Handshake,
    pub(crate) until: Instant,
    /// Where IKE_SA_INIT came from, under which it counts as half-open.
    pub(crate) address: SocketAddr,
}

impl AuthAwaited {
    pub(crate) fn handle_request(
        mut self: Box<Self>,
        core: &mut Core,
        ctx: &mut Context<'_>,
        plain: &Plain<'_>,
        body: Result<Body<'_>, WireError>,
    ) -> Phase {
        let header = &plain.message.header;
        if header.exchange == ExchangeType::IkeIntermediate && !self.handshake.rounds.is_empty() {
            return self.handle_intermediate(core, ctx, plain, body);
        }
        if header.exchange != ExchangeType::IkeAuth {
            ctx.dropped(core.path, header, Discarded::OutOfTurn);
            return Phase::AuthAwaited(self);
        }
        self.leave(core, ctx);
        let admitted = body.map_err(IkeError::from).and_then(|mut body| {
            let (connection, authenticated, mixed) = self.admit(ctx, &mut body)?;
            if !body.has(NotifyType::InitialContact) {
                duplicate::admit(core, ctx, &connection, authenticated.identity())?;
            }
            if mobike::is_wanted(&connection) && !is_as_sent(&body, core.arrival) {
                return Err(IkeError::UnexpectedNat);
            }
            let auth = self.handshake.prove(&self.secure, &connection, Side::Responder)?;
            Ok((body, connection, authenticated, auth, mixed))
        });
        let (body, connection, authenticated, auth, mixed) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => return self.refuse(core, ctx, header, error),
        };
        let mut draft = Draft::inner();
        draft.id_responder(&connection.local_identity);
        let asked = !body.certificate_requests.is_empty();
        if asked || connection.quirks.certificate == CertificatePolicy::Always {
            for certificate in connection.credentials.local.certificates() {
                draft.certificate(&certificate);
            }
        }
        draft.authentication(&auth);
        if mixed {
            draft.notify(NotifyType::PpkIdentity, &[]);
        }
        if mobike::agree(core, &connection, &body) {
            mobike::offer(&mut draft, &connection, core, false);
        }

        if connection.encapsulation == EncapsulationPolicy::Raw {
            // Others might have been meant, for whose sake NATs were looked for.
            core.between = Between::default();
        }
        let Self { mut secure, handshake, .. } = *self;
        core.retransmission = ctx.shared.config.retransmission_to(&connection);
        if secure.fragments_allowed() {
            let size = ctx.shared.config.fragment_size_to([&*connection]);
            secure.allow_fragments(size, core.path.remote.is_ipv6());
        }
        if body.has(NotifyType::InitialContact) {
            duplicate::forget_peer(core, ctx, &connection.name, authenticated.identity());
        }
        let mut established = Established::new(
            core,
            ctx,
            connection,
            secure,
            Standing::InUse,
            authenticated.identity().clone(),
        );
        established.announce(core, ctx, &handshake.choice, mixed);
        if !body.proposals.is_empty() {
            let nonces = (handshake.nonce_initiator.as_slice(), handshake.nonce_responder.as_slice());
            answer_first_child(&mut established, core, ctx, &body, nonces, &mut draft);
        }
        if let Err(error) = core.answer(ctx, &mut established.secure, header, draft) {
            let connection = Some(established.connection.name.clone());
            ctx.failed(connection, None, Some(core.id), core.path.remote, error);
        }
        duplicate::settle(&mut established, core, ctx);
        Phase::Established(Box::new(established))
    }

    /// No longer half-open.
    pub(crate) fn leave(&self, core: &Core, ctx: &mut Context<'_>) {
        ctx.shared.half_open.leave(self.address.ip());
        ctx.shared.initiators.remove(&(self.address, core.spi_initiator));
    }

    /// The connection that this peer is for, the proof that it is this peer, and whether a postquantum key is mixed in.
    fn admit(
        &mut self,
        ctx: &Context<'_>,
        body: &mut Body<'_>,
    ) -> Result<(Arc<ConnectionConfig>, Authenticated, bool), IkeError> {
        let missing = |payload| IkeError::Missing { exchange: ExchangeType::IkeAuth, payload };
        // Else whoever sits between could spare both sides the key exchanges that they have agreed upon.
        if !self.handshake.rounds.is_empty() {
            return Err(missing("the key exchanges before it"));
        }
        let id = body.id_initiator.ok_or_else(|| missing("IDi"))?;
        let claimed = identity(&id)?;
        let wanted = body.id_responder.as_ref().map(identity).transpose()?;
        let connection = self.connection_for(&claimed, wanted.as_ref()).ok_or_else(|| {
            IkeError::NoConnectionForIdentity {
                identity: claimed.to_string(),
                wanted: wanted.as_ref().map(ToString::to_string),
                address: self.address.ip(),
                allowed: self.candidates.iter().map(|candidate| ends(candidate)).collect(),
            }
        })?;
        let mixed = postquantum::admit(self.handshake.ppk, &connection, &mut self.secure, body)?;
        let verified = self.handshake.verify(ctx, &self.secure, &connection, Side::Initiator, &id, body);
        let authenticated = verified.map_err(|error| postquantum::blame(&connection, mixed, error))?;
        let child = !body.proposals.is_empty();
        match connection.childless {
            Childless::Require if child => return Err(IkeError::ChildlessRefused { child }),
            Childless::Never if !child => return Err(IkeError::ChildlessRefused { child }),
            Childless::Allow | Childless::Prefer | Childless::Require | Childless::Never => {}
        }
        Ok((connection, authenticated, mixed))
    }

    /// Of those that the address allows, the one whose identity fits best; of equals the first.
    fn connection_for(&self, claimed: &Identity, wanted: Option<&Identity>) -> Option<Arc<ConnectionConfig>> {
        let mut best: Option<(_, &Arc<ConnectionConfig>)> = None;
        for candidate in &self.candidates {
            let is_wanted = wanted.is_none_or(|wanted| *wanted == candidate.local_identity);
            if !is_wanted || !allows(candidate, &self.handshake.choice) {
                continue;
            }
            let Some(quality) = candidate.remote_identity.matches(claimed) else { continue };
            if best.as_ref().is_none_or(|(known, _)| quality > *known) {
                best = Some((quality, candidate));
            }
        }
        best.map(|(_, connection)| connection.clone())
    }

    pub(super) fn refuse(
        mut self: Box<Self>,
        core: &mut Core,
        ctx: &mut Context<'_>,
        request: &Header,
        error: IkeError,
    ) -> Phase {
        let (kind, data) = error.notification();
        let mut draft = Draft::inner();
        draft.notify(kind, &data);
        let unsent = core.answer(ctx, &mut self.secure, request, draft).err();
        ctx.failed(None, None, None, core.path.remote, unsent.unwrap_or(error));
        Session::refused(self.secure, ctx)
    }
}

/// Who may come to whom.
fn ends(connection: &ConnectionConfig) -> String {
    format!("{} to {}", connection.remote_identity, connection.local_identity)
}

/// Whether the choice, made before the peer's name was known, is one that this connection would take.
fn allows(connection: &ConnectionConfig, choice: &Choice) -> bool {
    connection.proposals.iter().any(|proposal| {
        choice
            .transforms()
            .iter()
            .all(|chosen| chosen.is_none() || proposal.transforms().iter().any(|allowed| allowed == chosen))
    })
}
