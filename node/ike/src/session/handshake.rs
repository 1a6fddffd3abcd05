//! What IKE_SA_INIT leaves for IKE_AUTH, and how both sides prove themselves by it (RFC 7296 §2.15).

use std::collections::VecDeque;

use super::body::Body;
use super::context::Context;
use super::intermediate::IntAuth;
use super::secure::Secure;
use crate::auth::{Authenticated, Identity, Presented, PresentedCertificate, SignatureHashes, SignedOctets};
use crate::config::{Choice, ConnectionConfig};
use crate::crypto::Group;
use crate::error::IkeError;
use crate::wire::{ExchangeType, Identification};

/// What IKE_SA_INIT left for IKE_AUTH.
pub(crate) struct Handshake {
    pub(crate) choice: Choice,
    pub(crate) nonce_initiator: Vec<u8>,
    pub(crate) nonce_responder: Vec<u8>,
    /// IKE_SA_INIT as it went over the wire.
    pub(crate) request: Vec<u8>,
    pub(crate) response: Vec<u8>,
    pub(crate) peer_hashes: SignatureHashes,
    /// Whether the responder said that IKE_AUTH may come without a child (RFC 6023).
    pub(crate) childless: bool,
    /// Whether both sides have a postquantum key (RFC 8784), if not perhaps the same.
    pub(crate) ppk: bool,
    /// Additional key exchanges still to be made, before IKE_AUTH.
    pub(crate) rounds: VecDeque<Group>,
    pub(crate) int_auth: IntAuth,
}

/// Which side's AUTH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Initiator,
    Responder,
}

impl Handshake {
    pub(super) fn octets(&self, secure: &Secure, side: Side, identity_body: &[u8]) -> SignedOctets {
        let (message, nonce, key) = match side {
            Side::Initiator => (&self.request, &self.nonce_responder, &secure.keys.pi),
            Side::Responder => (&self.response, &self.nonce_initiator, &secure.keys.pr),
        };
        let octets =
            SignedOctets::from_identity_payload(message, nonce, identity_body, key, &secure.prf_fn());
        match self.int_auth.octets() {
            Some(int_auth) => octets.with_intermediate(&int_auth),
            None => octets,
        }
    }

    /// Verifies the other side's ID, CERT and AUTH.
    pub(super) fn verify(
        &self,
        ctx: &Context<'_>,
        secure: &Secure,
        connection: &ConnectionConfig,
        side: Side,
        id: &Identification<'_>,
        body: &Body<'_>,
    ) -> Result<Authenticated, IkeError> {
        let auth = body
            .authentication
            .ok_or(IkeError::Missing { exchange: ExchangeType::IkeAuth, payload: "AUTH" })?;
        let identity = identity(id)?;
        if connection.remote_identity.matches(&identity).is_none() {
            return Err(IkeError::UnexpectedIdentity {
                identity: identity.to_string(),
                expected: connection.remote_identity.to_string(),
            });
        }
        let certificates: Vec<PresentedCertificate<'_>> = body
            .certificates
            .iter()
            .map(|certificate| PresentedCertificate {
                encoding: certificate.encoding.into(),
                data: certificate.data,
            })
            .collect();
        let presented = Presented {
            identity: &identity,
            method: auth.method.into(),
            data: auth.data,
            certificates: &certificates,
        };
        let octets = self.octets(secure, side, &id.body());
        Ok(connection.credentials.remote.verify(&presented, &octets, &secure.prf_fn(), ctx.wall)?)
    }

    /// ID (already in the draft) and AUTH of this side, with CERT before it.
    pub(super) fn prove(
        &self,
        secure: &Secure,
        connection: &ConnectionConfig,
        side: Side,
    ) -> Result<crate::auth::AuthData, IkeError> {
        let octets = self.octets(secure, side, &connection.local_identity.payload_body());
        Ok(connection.credentials.local.prove(&octets, &secure.prf_fn(), self.peer_hashes)?)
    }
}

pub(super) fn identity(id: &Identification<'_>) -> Result<Identity, IkeError> {
    Identity::from_payload(id.kind.into(), id.data).map_err(IkeError::Identity)
}
