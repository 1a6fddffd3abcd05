use std::fmt;
use std::sync::Arc;

use super::{AuthError, PreSharedKey, PreSharedKeyError, Weakness};

/// PPK_ID_FIXED (RFC 8784 §5.1): the identity is known to both sides as it is.
const FIXED: u8 = 2;

/// A postquantum preshared key: mixed into what the key exchanges give, so that who breaks those learns nothing (RFC
/// 8784). It proves nobody's identity.
#[derive(Clone)]
pub struct PostquantumKey {
    id: Arc<str>,
    secret: PreSharedKey,
    required: bool,
}

impl PostquantumKey {
    /// `secret` as [`PreSharedKey::parse`] takes it. Unless `required`, a peer that does not know the key is taken
    /// without.
    pub fn new(id: &str, secret: &str, required: bool) -> Result<Self, PreSharedKeyError> {
        Ok(Self { id: id.into(), secret: PreSharedKey::parse(secret)?, required })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn is_required(&self) -> bool {
        self.required
    }

    /// RFC 8784 §6: half the bits withstand a quantum computer.
    pub fn weakness(&self) -> Option<Weakness> {
        let bits = self.secret.bits();
        (bits < 256).then_some(Weakness::Classical { bits })
    }

    pub(crate) fn secret(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    /// The data of PPK_IDENTITY.
    pub(crate) fn notify_data(&self) -> Vec<u8> {
        [&[FIXED], self.id.as_bytes()].concat()
    }

    /// Whether the data of a PPK_IDENTITY means this key.
    pub(crate) fn is_meant(&self, data: &[u8]) -> bool {
        data == self.notify_data()
    }
}

/// The two sides' postquantum keys do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostquantumError {
    #[error("the peer uses no postquantum key (RFC 8784), and ppk_required asks for one: configure it there")]
    NotUsed,
    #[error("the peer uses the postquantum key `{offered}`, {}; write the same ppk_id and ppk at both ends", Other(.own))]
    Unknown { offered: String, own: Option<String> },
    #[error("{reason}; or the ppk of `{id}` is another one there")]
    Authentication { id: String, reason: AuthError },
}

struct Other<'a>(&'a Option<String>);

impl fmt::Display for Other<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(own) => write!(f, "while `{own}` is configured here"),
            None => f.write_str("while none is configured here"),
        }
    }
}

/// The identity in a PPK_IDENTITY, for people.
pub(crate) fn shown(data: &[u8]) -> String {
    match data.split_first() {
        Some((&FIXED, id)) => String::from_utf8_lossy(id).escape_debug().to_string(),
        Some((kind, _)) => format!("an identity of type {kind}"),
        None => "no identity".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postquantum_key_has_256_bits_or_gets_a_warning() {
        let key = |secret: &str| PostquantumKey::new("lab", secret, true).unwrap();
        assert_eq!(key(&format!("0x{}", "a7".repeat(32))).weakness(), None);
        let weak = key(&format!("0x{}", "a7".repeat(31))).weakness().unwrap();
        assert!(weak.to_string().contains("248"), "{weak}");
        assert!(PostquantumKey::new("lab", "", false).is_err());
    }

    #[test]
    fn an_identity_is_fixed_and_compared_octet_by_octet() {
        let key = PostquantumKey::new("lab", "secret", true).unwrap();
        assert_eq!(key.notify_data(), b"\x02lab");
        assert!(key.is_meant(b"\x02lab"));
        assert!(!key.is_meant(b"\x01lab") && !key.is_meant(b"\x02lab2") && !key.is_meant(b""));
        assert_eq!(shown(b"\x02la\nb"), "la\\nb");
        assert_eq!(shown(b"\x01\x00"), "an identity of type 1");
    }
}
