//! A message in words: each payload with its fields, numbers under their names at IANA, proposals in strongSwan's
//! notation. What is secret in an open message (nonces and public values are not) is no part of it.

mod certificate;
mod notify;
mod values;

use std::net::SocketAddr;

use self::values::{attribute, bytes, group, identity, proposal};
use super::TracedMessage;
use crate::auth::signature_name;
use crate::wire::{
    AuthMethod, Authentication, Configuration, Delete, Header, Identification, Payload, ProtocolId,
    TrafficSelectors,
};

/// One payload in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadText {
    /// As RFC 7296 writes it: `SA`, `N(COOKIE)`.
    pub name: String,
    /// Its fields; empty where the name says all.
    pub text: String,
    /// The elements of a list.
    pub details: Vec<String>,
}

/// What the words about one message need beside it.
#[derive(Clone, Copy)]
struct Envelope<'a> {
    header: &'a Header,
    source: SocketAddr,
    destination: SocketAddr,
}

impl TracedMessage {
    /// Its payloads in words. The ends are those of the datagram: the hashes of NAT detection are compared with them.
    pub fn describe(&self, source: SocketAddr, destination: SocketAddr) -> Vec<PayloadText> {
        let envelope = Envelope { header: &self.header, source, destination };
        let one = |payload: Result<Payload<'_>, _>| match payload {
            Ok(payload) => describe(&payload, envelope),
            Err(error) => line("not readable from here on", format!("{error}")),
        };
        self.payloads().map(one).collect()
    }
}

fn line(name: impl Into<String>, text: impl Into<String>) -> PayloadText {
    PayloadText { name: name.into(), text: text.into(), details: Vec::new() }
}

/// A list of one stands in the line itself.
fn list(name: &str, what: &str, mut items: Vec<String>) -> PayloadText {
    match items.len() {
        1 => line(name, items.remove(0)),
        count => PayloadText { name: name.to_owned(), text: format!("{count} {what}"), details: items },
    }
}

fn describe(payload: &Payload<'_>, envelope: Envelope<'_>) -> PayloadText {
    let kind = payload.kind().to_string();
    match payload {
        Payload::SecurityAssociation(sa) => {
            let offers: Vec<String> = sa.proposals().map(|offer| proposal(&offer)).collect();
            list(&kind, "proposals", offers)
        }
        Payload::KeyExchange(exchange) => {
            line(kind, format!("{}, {}", group(exchange.group), bytes(exchange.public.len())))
        }
        Payload::IdInitiator(id) | Payload::IdResponder(id) => identification(&kind, id),
        Payload::Certificate(sent) => line(kind, certificate::certificate(sent)),
        Payload::CertificateRequest(request) => certificate::request(&kind, request),
        Payload::Authentication(auth) => line(kind, authentication(auth)),
        Payload::Nonce(nonce) => {
            line(if envelope.header.flags.response { "Nr" } else { "Ni" }, bytes(nonce.len()))
        }
        Payload::Notify(notify) => notify::describe(notify, envelope),
        Payload::Delete(delete) => deletion(&kind, delete),
        Payload::VendorId(id) => line(kind, values::printable(id)),
        Payload::TrafficSelectorsInitiator(selectors) | Payload::TrafficSelectorsResponder(selectors) => {
            traffic(&kind, selectors)
        }
        Payload::Encrypted(sealed) => line(kind, format!("{}, sealed", bytes(sealed.body.len()))),
        Payload::EncryptedFragment(sealed) => {
            line(kind, format!("{} of {}, {}, sealed", sealed.number, sealed.total, bytes(sealed.body.len())))
        }
        Payload::Configuration(configuration) => settings(&kind, configuration),
        Payload::Eap(message) => line(kind, bytes(message.len())),
        Payload::Unknown { body, .. } => {
            line(kind, format!("unknown here and skipped, {}", bytes(body.len())))
        }
    }
}

fn identification(kind: &str, id: &Identification<'_>) -> PayloadText {
    line(kind, format!("{} {}", id.kind, identity(id)))
}

fn authentication(auth: &Authentication<'_>) -> String {
    let how = match signature_name(auth.data).filter(|_| auth.method == AuthMethod::DigitalSignature) {
        Some(name) => format!(" ({name})"),
        None => String::new(),
    };
    format!("{}{how}, {}", auth.method, bytes(auth.data.len()))
}

fn deletion(kind: &str, delete: &Delete<'_>) -> PayloadText {
    if delete.protocol == ProtocolId::Ike {
        return line(kind, "this IKE SA and its children");
    }
    let spis: Vec<String> = delete.child_spis().map(|spi| format!("{} {spi:08x}", delete.protocol)).collect();
    list(kind, "SAs", spis)
}

fn traffic(kind: &str, selectors: &TrafficSelectors<'_>) -> PayloadText {
    let all: Vec<String> = selectors.selectors().map(values::selector).collect();
    line(kind, if all.is_empty() { "of types unknown here only".to_owned() } else { all.join(", ") })
}

fn settings(kind: &str, configuration: &Configuration<'_>) -> PayloadText {
    PayloadText {
        name: kind.to_owned(),
        text: configuration.kind.to_string(),
        details: configuration.attributes().map(attribute).collect(),
    }
}

#[cfg(test)]
mod tests;
