//! Certificates, and which are asked for.

use super::values::{bytes, hex, printable};
use super::{PayloadText, line};
use crate::auth::{CertificateSummary, PublicKey};
use crate::wire::{Certificate, CertificateEncoding, CertificateRequest};

pub(super) fn certificate(sent: &Certificate<'_>) -> String {
    let length = bytes(sent.data.len());
    let what = match sent.encoding {
        CertificateEncoding::X509Signature => CertificateSummary::of(sent.data).map(|it| it.to_string()),
        CertificateEncoding::RawPublicKey => {
            PublicKey::from_der(sent.data).ok().map(|key| key.kind().to_owned())
        }
        CertificateEncoding::HashAndUrlOfX509Certificate | CertificateEncoding::HashAndUrlOfX509Bundle => {
            sent.data.get(20..).map(printable)
        }
        CertificateEncoding::Pkcs7WrappedX509
        | CertificateEncoding::CertificateRevocationList
        | CertificateEncoding::OcspContent
        | CertificateEncoding::Other(_) => return format!("{}, {length}", sent.encoding),
    };
    match what {
        Some(what) => format!("{}: {what}, {length}", sent.encoding),
        None => format!("{}, not readable, {length}", sent.encoding),
    }
}

/// The authorities by the hashes of their keys.
pub(super) fn request(kind: &str, request: &CertificateRequest<'_>) -> PayloadText {
    let hashes: Vec<String> = request
        .hashes()
        .map(|hash| format!("an authority whose key has the SHA-1 hash {}", hex(hash)))
        .collect();
    match hashes.len() {
        0 => line(kind, format!("{} of any authority", request.encoding)),
        count => PayloadText {
            name: kind.to_owned(),
            text: format!(
                "{} of {count} {}",
                request.encoding,
                if count == 1 { "authority" } else { "authorities" }
            ),
            details: hashes,
        },
    }
}
