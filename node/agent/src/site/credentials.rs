//! The table `[auth]`: how both ends prove who they are.

use toml::Spanned;
use twinmesh_ike::auth::{
    CertifiedKey, Credentials, Identity, IdentityPattern, LocalCredential, PostquantumKey, PreSharedKey,
    PrivateKey, PublicKey, RawKeys, RemoteCredential, Sha1Signatures, TrustAnchors, Weakness,
};
use twinmesh_ike::config::{Legacy, Remote};
use zeroize::Zeroizing;

use super::check::{Checked, Fault, at};
use super::error::Problem;
use super::file::AuthTable;
use super::identity_of;
use super::sources::Sources;

/// The table, read.
pub(super) struct Auth {
    pub(super) credentials: Credentials,
    pub(super) ppk: Option<PostquantumKey>,
    pub(super) weakness: Option<Weakness>,
    pub(super) local_identity: Option<Identity>,
    pub(super) remote_identity: IdentityPattern,
}

/// `place` is that of the peer's address, by which it is known without more.
pub(super) fn auth(
    table: &Spanned<AuthTable>,
    sources: &mut Sources<'_>,
    legacy: Legacy,
    place: &Spanned<String>,
    remote: Remote,
) -> Checked<Auth> {
    let written = table.as_ref();
    let secret = written.psk.as_ref();
    let secret = secret
        .map(|text| PreSharedKey::parse(&text.as_ref().0).map_err(|error| at(text, error)))
        .transpose()?;
    let mut local_identity = written.local_id.as_ref().map(identity).transpose()?;
    let local = match (&written.certificate, &written.key) {
        (Some(certificate), Some(key)) => {
            let certified = certified(certificate, key, sources)?;
            match (&local_identity, &written.local_id) {
                (Some(identity), Some(place)) if !certified.names(identity) => {
                    return Err(at(place, Problem::NotNamed(place.as_ref().clone())));
                }
                (Some(_), _) => {}
                (None, _) => local_identity = certified.subject(),
            }
            LocalCredential::Certificate(certified)
        }
        (None, Some(key)) => LocalCredential::RawKey(private_key(key, sources)?),
        (Some(certificate), None) => return Err(at(certificate, Problem::NoKey)),
        (None, None) => LocalCredential::PreSharedKey(needed(secret.as_ref(), table)?),
    };
    let sha1 = match legacy {
        Legacy::Refused => Sha1Signatures::Refused,
        Legacy::Allowed => Sha1Signatures::Accepted,
    };
    let peer = match (&written.ca, &written.remote_public_key) {
        (Some(ca), Some(_)) => return Err(at(ca, Problem::TwoProofs)),
        (Some(ca), None) => RemoteCredential::Certificates(anchors(ca, written, sources, sha1)?),
        (None, Some(key)) => {
            let pem = read(key, sources)?;
            let key = PublicKey::from_pem(&pem).map_err(|error| in_file(key, error))?;
            RemoteCredential::RawKeys(RawKeys { keys: vec![key], sha1 })
        }
        (None, None) => RemoteCredential::PreSharedKey(needed(secret.as_ref(), table)?),
    };
    let shared = matches!(local, LocalCredential::PreSharedKey(_))
        || matches!(peer, RemoteCredential::PreSharedKey(_));
    if let Some(text) = written.psk.as_ref().filter(|_| !shared) {
        return Err(at(text, Problem::SecretUnused));
    }
    if let (Some(crl), None) = (&written.crl, &written.ca) {
        return Err(at(crl, Problem::RevocationWithoutAuthority));
    }
    Ok(Auth {
        credentials: Credentials { local, remote: peer },
        ppk: postquantum_key(written)?,
        weakness: secret.and_then(|secret| secret.weakness()),
        local_identity,
        remote_identity: remote_identity(written, place, remote)?,
    })
}

/// A key that a peer may do without protects nobody who does not look whether it did.
fn postquantum_key(table: &AuthTable) -> Checked<Option<PostquantumKey>> {
    let required = table.ppk_required.as_ref().is_none_or(|required| *required.as_ref());
    match (&table.ppk, &table.ppk_id) {
        (Some(secret), Some(id)) if !id.as_ref().is_empty() => {
            let key = PostquantumKey::new(id.as_ref(), &secret.as_ref().0, required);
            key.map(Some).map_err(|error| at(secret, Problem::PostquantumKey(error)))
        }
        (Some(secret), _) => Err(at(secret, Problem::PostquantumId)),
        (None, Some(id)) => Err(at(id, Problem::PostquantumSecret("ppk_id"))),
        (None, None) => match &table.ppk_required {
            Some(required) => Err(at(required, Problem::PostquantumSecret("ppk_required"))),
            None => Ok(None),
        },
    }
}

fn needed(secret: Option<&PreSharedKey>, table: &Spanned<AuthTable>) -> Checked<PreSharedKey> {
    secret.cloned().ok_or_else(|| at(table, Problem::NoProof))
}

fn identity(written: &Spanned<String>) -> Checked<Identity> {
    let text = written.as_ref();
    text.parse().map_err(|error| at(written, Problem::Identity(text.clone(), error)))
}

fn remote_identity(table: &AuthTable, place: &Spanned<String>, remote: Remote) -> Checked<IdentityPattern> {
    match (&table.remote_id, remote) {
        (Some(written), _) => {
            let text = written.as_ref();
            text.parse().map_err(|error| at(written, Problem::Identity(text.clone(), error)))
        }
        (None, Remote::At(remote) | Remote::Roaming(remote)) => {
            Ok(IdentityPattern::Like(identity_of(remote.ip())))
        }
        (None, Remote::Anywhere) => Err(at(place, Problem::AnyoneAnywhere)),
    }
}

fn certified(
    certificate: &Spanned<String>,
    key: &Spanned<String>,
    sources: &mut Sources<'_>,
) -> Checked<CertifiedKey> {
    let key = private_key(key, sources)?;
    let pem = read(certificate, sources)?;
    CertifiedKey::from_pem(key, &pem).map_err(|error| in_file(certificate, error))
}

fn private_key(written: &Spanned<String>, sources: &mut Sources<'_>) -> Checked<PrivateKey> {
    let pem = read(written, sources)?;
    PrivateKey::from_pem(&pem).map_err(|error| in_file(written, error))
}

fn anchors(
    ca: &Spanned<Vec<Spanned<String>>>,
    table: &AuthTable,
    sources: &mut Sources<'_>,
    sha1: Sha1Signatures,
) -> Checked<TrustAnchors> {
    let first = ca.as_ref().first().ok_or_else(|| at(ca, Problem::NoProof))?;
    let pem = together(ca.as_ref(), sources)?;
    let mut anchors = TrustAnchors::from_pem(&pem).map_err(|error| in_file(first, error))?;
    for list in table.crl.iter().flat_map(AsRef::as_ref) {
        let pem = read(list, sources)?;
        anchors = anchors.with_revocation_lists(&pem).map_err(|error| in_file(list, error))?;
    }
    Ok(anchors.with_sha1_signatures(sha1))
}

fn together(files: &[Spanned<String>], sources: &mut Sources<'_>) -> Checked<Zeroizing<String>> {
    let mut all = Zeroizing::new(String::new());
    for file in files {
        all.push_str(&read(file, sources)?);
        all.push('\n');
    }
    Ok(all)
}

fn in_file(written: &Spanned<String>, error: impl std::error::Error) -> Fault {
    at(written, Problem::InFile { path: written.as_ref().clone(), reason: error.to_string() })
}

fn read(written: &Spanned<String>, sources: &mut Sources<'_>) -> Checked<Zeroizing<String>> {
    let name = written.as_ref();
    sources.text(name).map_err(|reason| at(written, Problem::InFile { path: name.clone(), reason }))
}
