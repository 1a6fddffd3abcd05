//! Passwords and bearer tokens.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Argon2, password_hash};
use sha2::{Digest as _, Sha256};

/// 19 MiB and two passes: OWASP's choice for argon2id, and the crate's default.
fn argon2id() -> Argon2<'static> {
    Argon2::default()
}

/// Hashes a password; takes tens of milliseconds of a core.
///
/// # Errors
/// No randomness, or a password that is too long.
pub(crate) fn hash_password(password: &str) -> Result<String, password_hash::Error> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| password_hash::Error::Crypto)?;
    let salt = SaltString::encode_b64(&salt)?;
    Ok(argon2id().hash_password(password.as_bytes(), &salt)?.to_string())
}

/// Whether a password is the one that was hashed; takes as long as hashing. Without a hash it takes as long
/// too and is false, so that the time tells nobody which accounts exist.
pub(crate) fn verify_password(password: &str, hash: Option<&str>) -> bool {
    let parsed = hash.and_then(|hash| PasswordHash::new(hash).ok());
    let Some(hash) = parsed else {
        let _ = hash_password(password);
        return false;
    };
    argon2id().verify_password(password.as_bytes(), &hash).is_ok()
}

/// How a bearer token is stored and compared. It is random, so a plain hash is enough.
pub(crate) fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_that_was_hashed_is_right() {
        let hash = hash_password("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(verify_password("correct horse", Some(&hash)));
        assert!(!verify_password("correct house", Some(&hash)));
        assert!(!verify_password("correct horse", None));
    }
}
