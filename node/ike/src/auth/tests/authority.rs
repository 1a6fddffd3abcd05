//! A small public key infrastructure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, date_time_ymd,
};

use super::*;

pub(super) struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pub(super) pem: String,
}

pub(super) struct Peer {
    pub(super) key: PrivateKey,
    pub(super) pem: String,
}

impl Peer {
    pub(super) fn certified(&self, intermediates: &str) -> CertifiedKey {
        let pem = format!("{}{intermediates}", self.pem);
        CertifiedKey::from_pem(self.key.clone(), &pem).expect("a key with its certificate")
    }

    /// The certificate.
    pub(super) fn der(&self) -> Vec<u8> {
        LocalCredential::Certificate(self.certified("")).certificates().remove(0).data
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "CH");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from(7));
    params
}

impl Authority {
    pub(super) fn root(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = authority_params("root");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let pem = pem("CERTIFICATE", params.self_signed(&key).expect("a certificate").der());
        Self { params, key, pem }
    }

    pub(super) fn intermediate(&self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = authority_params("intermediate");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let pem = pem("CERTIFICATE", self.sign(&params, &key).der());
        Self { params, key, pem }
    }

    /// A peer with the common name "sun" and serial number 42.
    pub(super) fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Peer {
        self.issue_for(&KeyPair::generate().expect("a key"), change)
    }

    pub(super) fn issue_for(&self, key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Peer {
        let mut params = named("sun");
        params.serial_number = Some(SerialNumber::from(42));
        params.subject_alt_names = vec![dns("sun.example.org")];
        change(&mut params);
        let pem = pem("CERTIFICATE", self.sign(&params, key).der());
        Peer { key: PrivateKey::from_pkcs8(key.serialized_der()).expect("a key"), pem }
    }

    pub(super) fn revoke(&self, serials: &[u64], next_update: i32) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 1, 1),
            next_update: date_time_ymd(next_update, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        pem("X509 CRL", list.signed_by(&self.issuer()).expect("a list").der())
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Certificate {
        params.signed_by(key, &self.issuer()).expect("a certificate")
    }

    pub(super) fn anchors(&self) -> TrustAnchors {
        TrustAnchors::from_pem(&self.pem).expect("anchors")
    }
}

pub(super) fn dns(name: &str) -> rcgen::SanType {
    rcgen::SanType::DnsName(name.try_into().expect("ASCII"))
}

pub(super) fn purposes(params: &mut CertificateParams, purposes: &[ExtendedKeyUsagePurpose]) {
    params.extended_key_usages = purposes.to_vec();
}

/// The whole way: AUTH and CERT payloads of the peer, as `name`, against the anchors.
pub(super) fn authenticate(
    peer: &Peer,
    intermediates: &str,
    anchors: &TrustAnchors,
    name: &str,
) -> Result<Authenticated, AuthError> {
    let local = LocalCredential::Certificate(peer.certified(intermediates));
    let (identity, sent) = (identity(name), local.certificates());
    let octets = octets(&identity);
    let auth = local.prove(&octets, &prf, SignatureHashes::SUPPORTED)?;
    let certificates: Vec<_> = sent
        .iter()
        .map(|sent| PresentedCertificate { encoding: sent.encoding as u8, data: &sent.data })
        .collect();
    let presented =
        Presented { identity: &identity, method: auth.method, data: &auth.data, certificates: &certificates };
    RemoteCredential::Certificates(anchors.clone()).verify(&presented, &octets, &prf, now())
}

/// As [`authenticate`], for what is wrong with the chain.
pub(super) fn refusal(peer: &Peer, intermediates: &str, anchors: &TrustAnchors) -> CertificateError {
    match authenticate(peer, intermediates, anchors, "sun.example.org") {
        Err(AuthError::Certificate(error)) => error,
        other => panic!("{other:?}"),
    }
}
