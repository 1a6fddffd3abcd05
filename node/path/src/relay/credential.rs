//! What a relay knows a node by (RFC 8489 §9.2).

use stun_types::message::{IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials};
use zeroize::Zeroizing;

/// RFC 8489 §14.3, in bytes.
const LONGEST_USERNAME: usize = 508;

/// A username and its password; nothing of it appears in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    username: String,
    password: Zeroizing<String>,
}

impl Credential {
    /// `None` where the username is longer than 508 bytes, so that no message can carry it.
    pub fn new(username: String, password: Zeroizing<String>) -> Option<Self> {
        (username.len() <= LONGEST_USERNAME).then_some(Self { username, password })
    }

    pub(super) fn username(&self) -> &str {
        &self.username
    }

    pub(super) fn key(&self, realm: &str) -> IntegrityKey {
        let (username, password) = (self.username.clone(), self.password.to_string());
        // RFC 8489 §9.2.2: the form that every server knows; the other needs PASSWORD-ALGORITHMS, which none of ours sends.
        LongTermKeyCredentials::new(username, password, realm.to_owned()).make_key(IntegrityAlgorithm::Sha1)
    }
}
