//! A message in the making.

use super::translate;
use crate::auth::{AuthData, CertificateData, Identity};
use crate::config::{Choice, Proposal, TrafficSelector};
use crate::wire::{
    Authentication, Certificate, CertificateRequest, Chain, ChainWriter, Delete, Header, Identification,
    KeyExchange, MessageWriter, Notify, NotifyType, Payload, ProtocolId, SaSpi, SecurityAssociation,
    TrafficSelectors, WriteError,
};

/// Payloads in their order. What cannot be written (longer than its length field can say) shows at the end.
pub(crate) struct Draft {
    header: Option<MessageWriter>,
    chain: ChainWriter,
    error: Option<WriteError>,
}

impl Draft {
    /// To be sealed.
    pub(crate) fn inner() -> Self {
        Self { header: None, chain: ChainWriter::new(), error: None }
    }

    /// To be sent as it is.
    pub(crate) fn clear(header: Header) -> Self {
        Self { header: Some(MessageWriter::new(header)), chain: ChainWriter::new(), error: None }
    }

    fn push(&mut self, payload: &Payload<'_>) -> &mut Self {
        match &mut self.header {
            Some(message) => message.push(payload),
            None => self.chain.push(payload),
        }
        self
    }

    fn push_made(&mut self, payload: Result<Payload<'_>, WriteError>) -> &mut Self {
        match payload {
            Ok(payload) => {
                self.push(&payload);
            }
            Err(error) => self.error = self.error.or(Some(error)),
        }
        self
    }

    pub(crate) fn proposals(&mut self, proposals: &[Proposal], spi: &SaSpi) -> &mut Self {
        let sa = SecurityAssociation::new(&translate::wire_proposals(proposals, spi));
        self.push_made(sa.map(Payload::SecurityAssociation))
    }

    pub(crate) fn choice(&mut self, choice: &Choice, spi: SaSpi) -> &mut Self {
        let sa = SecurityAssociation::new(&translate::wire_choice(choice, spi));
        self.push_made(sa.map(Payload::SecurityAssociation))
    }

    pub(crate) fn key_exchange(&mut self, group: u16, public: &[u8]) -> &mut Self {
        self.push(&Payload::KeyExchange(KeyExchange { group, public }))
    }

    pub(crate) fn nonce(&mut self, nonce: &[u8]) -> &mut Self {
        self.push(&Payload::Nonce(nonce))
    }

    pub(crate) fn id_initiator(&mut self, identity: &Identity) -> &mut Self {
        let data = identity.payload_data();
        self.push(&Payload::IdInitiator(Identification::new(identity.id_type().into(), &data)))
    }

    pub(crate) fn id_responder(&mut self, identity: &Identity) -> &mut Self {
        let data = identity.payload_data();
        self.push(&Payload::IdResponder(Identification::new(identity.id_type().into(), &data)))
    }

    pub(crate) fn certificate(&mut self, certificate: &CertificateData) -> &mut Self {
        let encoding = (certificate.encoding as u8).into();
        self.push(&Payload::Certificate(Certificate { encoding, data: &certificate.data }))
    }

    pub(crate) fn certificate_request(&mut self, request: &CertificateData) -> &mut Self {
        let encoding = (request.encoding as u8).into();
        self.push(&Payload::CertificateRequest(CertificateRequest { encoding, authorities: &request.data }))
    }

    pub(crate) fn authentication(&mut self, auth: &AuthData) -> &mut Self {
        self.push(&Payload::Authentication(Authentication { method: auth.method.into(), data: &auth.data }))
    }

    /// TSi, then TSr.
    pub(crate) fn selectors(
        &mut self,
        initiator: &[TrafficSelector],
        responder: &[TrafficSelector],
    ) -> &mut Self {
        let initiator = TrafficSelectors::new(&translate::wire_selectors(initiator));
        self.push_made(initiator.map(Payload::TrafficSelectorsInitiator));
        let responder = TrafficSelectors::new(&translate::wire_selectors(responder));
        self.push_made(responder.map(Payload::TrafficSelectorsResponder))
    }

    pub(crate) fn notify(&mut self, kind: NotifyType, data: &[u8]) -> &mut Self {
        self.push(&Payload::Notify(Notify::new(kind, data)))
    }

    pub(crate) fn notify_child(&mut self, kind: NotifyType, spi: u32) -> &mut Self {
        self.push(&Payload::Notify(Notify::child(ProtocolId::Esp, spi, kind)))
    }

    pub(crate) fn delete_ike(&mut self) -> &mut Self {
        self.push(&Payload::Delete(Delete::ike()))
    }

    pub(crate) fn delete_children(&mut self, spis: &[u32]) -> &mut Self {
        self.push_made(Delete::children(ProtocolId::Esp, spis).map(Payload::Delete))
    }

    /// What goes inside an encrypted payload.
    pub(crate) fn into_chain(self) -> Result<Chain, WriteError> {
        match self.error {
            Some(error) => Err(error),
            None => self.chain.finish(),
        }
    }

    /// The message in the clear.
    pub(crate) fn into_message(self) -> Result<Vec<u8>, WriteError> {
        match (self.error, self.header) {
            (Some(error), _) => Err(error),
            (None, Some(message)) => message.finish(),
            (None, None) => self.chain.finish().map(|chain| chain.bytes),
        }
    }
}
