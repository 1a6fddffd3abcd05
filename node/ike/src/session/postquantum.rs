//! A postquantum preshared key in IKE_SA_INIT and IKE_AUTH (RFC 8784).
//!
//! ```text
//!   USE_PPK ──►               both have one
//!           ◄── USE_PPK
//!   PPK_IDENTITY, AUTH with it [, NO_PPK_AUTH: AUTH without] ──►
//!           ◄── PPK_IDENTITY, AUTH with it; or AUTH without
//! ```

use super::body::Body;
use super::secure::Secure;
use crate::auth::{PostquantumError, PostquantumKey, shown};
use crate::config::ConnectionConfig;
use crate::crypto::SaKeys;
use crate::error::IkeError;
use crate::wire::{Authentication, NotifyType};

impl Secure {
    /// Mixes the key into SK_d, SK_pi and SK_pr (§3). Returns the keys without it.
    pub(super) fn mix_postquantum(&mut self, key: &PostquantumKey) -> SaKeys {
        let mixed = self.keys.with_ppk(self.prf, key.secret());
        std::mem::replace(&mut self.keys, mixed)
    }
}

/// Whether IKE_SA_INIT of the initiator may go on: the responder says USE_PPK, or it goes without.
pub(super) fn check_answer(connection: &ConnectionConfig, body: &Body<'_>) -> Result<bool, IkeError> {
    match &connection.ppk {
        Some(_) if body.has(NotifyType::UsePpk) => Ok(true),
        Some(key) if key.is_required() => Err(PostquantumError::NotUsed.into()),
        Some(_) | None => Ok(false),
    }
}

/// IKE_AUTH at the responder: mixes the key in if the initiator did, and says whether. `negotiated` if both sides said
/// USE_PPK, this one perhaps for another connection.
pub(super) fn admit(
    negotiated: bool,
    connection: &ConnectionConfig,
    secure: &mut Secure,
    body: &mut Body<'_>,
) -> Result<bool, IkeError> {
    let own = connection.ppk.as_ref();
    let required = own.is_some_and(PostquantumKey::is_required);
    let offered = body.notify(NotifyType::PpkIdentity).map(|notify| notify.data).filter(|_| negotiated);
    let Some(offered) = offered else {
        return if required { Err(PostquantumError::NotUsed.into()) } else { Ok(false) };
    };
    if let Some(key) = own.filter(|key| key.is_meant(offered)) {
        secure.mix_postquantum(key);
        return Ok(true);
    }
    // §3: the initiator proved itself without the key too, if it can do without.
    match (body.notify(NotifyType::NoPpkAuth).map(|notify| notify.data), body.authentication) {
        (Some(data), Some(auth)) if !required => {
            body.authentication = Some(Authentication { data, ..auth });
            Ok(false)
        }
        (_, _) => {
            let own = own.map(|key| key.id().to_owned());
            Err(PostquantumError::Unknown { offered: shown(offered), own }.into())
        }
    }
}

/// IKE_AUTH at the initiator: what the responder said of the key. `without` are the keys that the IKE SA has otherwise.
pub(super) fn accept(
    connection: &ConnectionConfig,
    secure: &mut Secure,
    without: Option<SaKeys>,
    body: &Body<'_>,
) -> Result<bool, IkeError> {
    let Some(without) = without else { return Ok(false) };
    if body.has(NotifyType::PpkIdentity) {
        return Ok(true);
    }
    if connection.ppk.as_ref().is_none_or(PostquantumKey::is_required) {
        return Err(PostquantumError::NotUsed.into());
    }
    secure.keys = without;
    Ok(false)
}

/// Why authentication failed, if the key was mixed in: it may be the reason.
pub(super) fn blame(connection: &ConnectionConfig, mixed: bool, error: IkeError) -> IkeError {
    match (error, &connection.ppk) {
        (IkeError::Authentication(reason), Some(key)) if mixed => {
            PostquantumError::Authentication { id: key.id().to_owned(), reason: *reason }.into()
        }
        (error, _) => error,
    }
}
