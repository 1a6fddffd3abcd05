//! Certificates and signatures in a line, for people.

use std::fmt;
use std::net::IpAddr;

use x509_cert::ext::pkix::name::GeneralName;

use super::Identity;
use super::certificate::ParsedCertificate;
use super::scheme::{Scheme, Sha2};

/// What a certificate says of itself; nothing of it is checked.
pub(crate) struct CertificateSummary {
    subject: Option<Identity>,
    issuer: Option<Identity>,
    /// Of the subjectAltName, where IKE's identities stand.
    names: Vec<String>,
    key: Option<&'static str>,
    validity: (String, String),
}

impl CertificateSummary {
    pub(crate) fn of(der: &[u8]) -> Option<Self> {
        let certificate = ParsedCertificate::from_der(der).ok()?;
        Some(Self {
            subject: certificate.subject().map(Identity::DistinguishedName),
            issuer: certificate.issuer().map(Identity::DistinguishedName),
            names: certificate.alternative_names().iter().filter_map(name).collect(),
            key: certificate.public_key().ok().map(|key| key.kind()),
            validity: certificate.validity(),
        })
    }
}

impl fmt::Display for CertificateSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |name: &Option<Identity>| {
            name.as_ref().map_or_else(|| "a name that cannot be read".to_owned(), ToString::to_string)
        };
        write!(f, "\"{}\"", text(&self.subject))?;
        if !self.names.is_empty() {
            write!(f, " for {}", self.names.join(", "))?;
        }
        let (from, to) = &self.validity;
        let key = self.key.unwrap_or("of a kind that is not supported");
        write!(f, ", issued by \"{}\", valid from {from} to {to}, key {key}", text(&self.issuer))
    }
}

fn name(name: &GeneralName) -> Option<String> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "no other is an identity of IKE")]
    match name {
        GeneralName::DnsName(name) | GeneralName::Rfc822Name(name) => Some(name.to_string()),
        GeneralName::IpAddress(octets) => {
            let octets = octets.as_bytes();
            let address = octets.as_array::<4>().map(|four| IpAddr::from(*four));
            let address = address.or_else(|| octets.as_array::<16>().map(|sixteen| IpAddr::from(*sixteen)));
            address.map(|address| address.to_string())
        }
        _ => None,
    }
}

/// How the data of an AUTH payload of method 14 was signed (RFC 7427 §3); `None` for what is not verified here.
pub(crate) fn signature_name(data: &[u8]) -> Option<&'static str> {
    let (length, rest) = data.split_first()?;
    let scheme = Scheme::from_algorithm_identifier(rest.get(..usize::from(*length))?)?;
    Some(match scheme {
        Scheme::RsaPkcs1(Sha2::Sha256) => "RSA with SHA2-256",
        Scheme::RsaPkcs1(Sha2::Sha384) => "RSA with SHA2-384",
        Scheme::RsaPkcs1(Sha2::Sha512) => "RSA with SHA2-512",
        Scheme::RsaPss(Sha2::Sha256) => "RSA-PSS with SHA2-256",
        Scheme::RsaPss(Sha2::Sha384) => "RSA-PSS with SHA2-384",
        Scheme::RsaPss(Sha2::Sha512) => "RSA-PSS with SHA2-512",
        Scheme::Ecdsa(Sha2::Sha256) => "ECDSA with SHA2-256",
        Scheme::Ecdsa(Sha2::Sha384) => "ECDSA with SHA2-384",
        Scheme::Ecdsa(Sha2::Sha512) => "ECDSA with SHA2-512",
        Scheme::Ed25519 => "Ed25519",
    })
}
