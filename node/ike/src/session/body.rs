//! The payloads of one message, sorted, before anything of them is acted upon.

use crate::config::{Offer, TrafficSelector};
use crate::wire::{
    Authentication, Certificate, CertificateRequest, Delete, Identification, KeyExchange, Notify, NotifyType,
    Payload, Payloads, ProtocolId, SaSpi, TrafficSelectors, WireError,
};

use super::translate;

/// Of payloads that come once the first counts; RFC 7296 names none that may come twice among them.
#[derive(Default)]
pub(crate) struct Body<'a> {
    pub(crate) proposals: Vec<Proposed>,
    pub(crate) key_exchange: Option<KeyExchange<'a>>,
    pub(crate) nonce: Option<&'a [u8]>,
    pub(crate) id_initiator: Option<Identification<'a>>,
    pub(crate) id_responder: Option<Identification<'a>>,
    pub(crate) certificates: Vec<Certificate<'a>>,
    pub(crate) certificate_requests: Vec<CertificateRequest<'a>>,
    pub(crate) authentication: Option<Authentication<'a>>,
    pub(crate) selectors_initiator: Option<Vec<TrafficSelector>>,
    pub(crate) selectors_responder: Option<Vec<TrafficSelector>>,
    pub(crate) notifies: Vec<Notify<'a>>,
    pub(crate) deletes: Vec<Delete<'a>>,
}

/// A proposal with the SPI that its sender receives with.
#[derive(Debug, Clone)]
pub(crate) struct Proposed {
    pub(crate) offer: Offer,
    pub(crate) spi: SaSpi,
}

impl<'a> Body<'a> {
    /// All payloads, or none: an unknown critical one forbids to act on any (RFC 7296 §2.5).
    pub(crate) fn collect(payloads: Payloads<'a>) -> Result<Self, WireError> {
        let mut body = Self::default();
        for payload in payloads {
            body.add(payload?);
        }
        Ok(body)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "payloads that nothing here reads are passed over")]
    fn add(&mut self, payload: Payload<'a>) {
        match payload {
            Payload::SecurityAssociation(sa) if self.proposals.is_empty() => {
                self.proposals = sa.proposals().filter_map(translate::proposed).collect();
            }
            Payload::KeyExchange(exchange) => self.key_exchange = self.key_exchange.or(Some(exchange)),
            Payload::Nonce(nonce) => self.nonce = self.nonce.or(Some(nonce)),
            Payload::IdInitiator(id) => self.id_initiator = self.id_initiator.or(Some(id)),
            Payload::IdResponder(id) => self.id_responder = self.id_responder.or(Some(id)),
            Payload::Certificate(certificate) => self.certificates.push(certificate),
            Payload::CertificateRequest(request) => self.certificate_requests.push(request),
            Payload::Authentication(auth) => self.authentication = self.authentication.or(Some(auth)),
            Payload::TrafficSelectorsInitiator(selectors) => {
                self.selectors_initiator.get_or_insert_with(|| read_selectors(&selectors));
            }
            Payload::TrafficSelectorsResponder(selectors) => {
                self.selectors_responder.get_or_insert_with(|| read_selectors(&selectors));
            }
            Payload::Notify(notify) => self.notifies.push(notify),
            Payload::Delete(delete) => self.deletes.push(delete),
            _ => {}
        }
    }

    pub(crate) fn notify(&self, kind: NotifyType) -> Option<&Notify<'a>> {
        self.notifies.iter().find(|notify| notify.kind == kind)
    }

    /// The data of each.
    pub(crate) fn all(&self, kind: NotifyType) -> impl Iterator<Item = &'a [u8]> {
        self.notifies.iter().filter(move |notify| notify.kind == kind).map(|notify| notify.data)
    }

    pub(crate) fn has(&self, kind: NotifyType) -> bool {
        self.notify(kind).is_some()
    }

    /// An error, known or not: whatever else the answer says, the request failed (RFC 7296 §3.10.1).
    pub(crate) fn error(&self) -> Option<&Notify<'a>> {
        self.notifies.iter().find(|notify| notify.kind.is_error())
    }

    pub(crate) fn deletes_ike(&self) -> bool {
        self.deletes.iter().any(|delete| delete.protocol == ProtocolId::Ike)
    }

    pub(crate) fn offers(&self) -> Vec<Offer> {
        self.proposals.iter().map(|proposed| proposed.offer.clone()).collect()
    }

    /// The SPI of the proposal with this number.
    pub(crate) fn spi_of(&self, number: u8) -> Option<&SaSpi> {
        self.proposals.iter().find(|proposed| proposed.offer.number == number).map(|proposed| &proposed.spi)
    }
}

fn read_selectors(selectors: &TrafficSelectors<'_>) -> Vec<TrafficSelector> {
    selectors.selectors().filter_map(translate::selector).collect()
}
