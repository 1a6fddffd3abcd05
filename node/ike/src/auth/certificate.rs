//! What a single certificate says: whose it is, what its key may do (RFC 4945 §5.1.3).

use std::time::SystemTime;

use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName};

use super::{CertificateError, DistinguishedName, Identity, KeyError, PublicKey};

pub(crate) struct ParsedCertificate(Certificate);

impl ParsedCertificate {
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        Certificate::from_der(der).map(Self).map_err(|_| CertificateError::Malformed)
    }

    pub(crate) fn public_key(&self) -> Result<PublicKey, KeyError> {
        let spki = &self.0.tbs_certificate.subject_public_key_info;
        PublicKey::from_der(&spki.to_der().map_err(|_| KeyError::Der)?)
    }

    /// Whether the certificate is made out to `identity`: a name of the subjectAltName, or the subject where the
    /// identity is a distinguished name. A common name is no host name, a wildcard of a certificate stands for
    /// itself, and no certificate vouches for a key id.
    pub(crate) fn names(&self, identity: &Identity) -> bool {
        match identity {
            Identity::DistinguishedName(name) => self.subject().as_ref() == Some(name),
            Identity::Fqdn(name) => self.any_alternative_name(|alternative| {
                matches!(alternative, GeneralName::DnsName(dns) if dns.as_str().eq_ignore_ascii_case(name))
            }),
            Identity::Email(name) => self.any_alternative_name(|alternative| {
                matches!(alternative, GeneralName::Rfc822Name(email) if email.as_str().eq_ignore_ascii_case(name))
            }),
            Identity::Ipv4(_) | Identity::Ipv6(_) => {
                let octets = identity.payload_data();
                self.any_alternative_name(
                    |alternative| matches!(alternative, GeneralName::IpAddress(ip) if ip.as_bytes() == octets),
                )
            }
            Identity::KeyId(_) => false,
        }
    }

    pub(crate) fn subject(&self) -> Option<DistinguishedName> {
        let der = self.0.tbs_certificate.subject.to_der().ok()?;
        DistinguishedName::from_der(&der).ok()
    }

    pub(crate) fn issuer(&self) -> Option<DistinguishedName> {
        let der = self.0.tbs_certificate.issuer.to_der().ok()?;
        DistinguishedName::from_der(&der).ok()
    }

    pub(crate) fn alternative_names(&self) -> Vec<GeneralName> {
        let names = self.0.tbs_certificate.get::<SubjectAltName>().ok().flatten();
        names.map(|(_, names)| names.0).unwrap_or_default()
    }

    /// Both ends as text (RFC 3339).
    pub(crate) fn validity(&self) -> (String, String) {
        let validity = &self.0.tbs_certificate.validity;
        (validity.not_before.to_string(), validity.not_after.to_string())
    }

    /// RFC 4945 §5.1.3.2: where the key's use is limited, to signatures.
    pub(crate) fn may_sign(&self) -> bool {
        self.key_usage(|usage| usage.digital_signature() || usage.non_repudiation())
    }

    /// RFC 5280 §4.2.1.3.
    pub(crate) fn may_issue(&self) -> bool {
        self.key_usage(KeyUsage::key_cert_sign)
    }

    /// A certificate of version 1 cannot say; whoever installs it as an anchor does.
    pub(crate) fn is_authority(&self) -> bool {
        if self.0.tbs_certificate.extensions.is_none() {
            return true;
        }
        self.0
            .tbs_certificate
            .get::<BasicConstraints>()
            .is_ok_and(|constraints| constraints.is_some_and(|(_, constraints)| constraints.ca))
    }

    pub(crate) fn not_before(&self) -> SystemTime {
        self.0.tbs_certificate.validity.not_before.to_system_time()
    }

    pub(crate) fn not_after(&self) -> SystemTime {
        self.0.tbs_certificate.validity.not_after.to_system_time()
    }

    fn key_usage(&self, allowed: impl Fn(&KeyUsage) -> bool) -> bool {
        let usage = self.0.tbs_certificate.get::<KeyUsage>();
        usage.is_ok_and(|usage| usage.is_none_or(|(_, usage)| allowed(&usage)))
    }

    fn any_alternative_name(&self, named: impl Fn(&GeneralName) -> bool) -> bool {
        let names = self.0.tbs_certificate.get::<SubjectAltName>();
        names.is_ok_and(|names| names.is_some_and(|(_, names)| names.0.iter().any(named)))
    }
}
