//! Join tokens: what an operator copies to a new node.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::Fingerprint;

const PREFIX: &str = "tmjoin-";
const VERSION: u8 = 1;
const SECRET_LENGTH: usize = 24;
const CHECK_LENGTH: usize = 4;

/// A text that is not a join token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    #[error("a join token starts with `{PREFIX}`")]
    Prefix,
    #[error("the join token is cut short or mistyped: copy the whole line again")]
    Mistyped,
    #[error("the join token has version {0}; this program knows {VERSION}: update it")]
    Version(u8),
    #[error("the operating system gave no randomness")]
    Randomness,
}

/// The secret half of a token. The coordinator stores only its [`TokenSecret::hash`].
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct TokenSecret([u8; SECRET_LENGTH]);

impl TokenSecret {
    /// SHA-256; the secret has 192 random bits, so a slow hash would add nothing.
    pub fn hash(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, &self.0).as_ref());
        bytes
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(…)")
    }
}

impl Serialize for TokenSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for TokenSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
        let secret = bytes.as_slice().try_into().map(Self);
        bytes.zeroize();
        secret.map_err(|_| D::Error::custom("a token secret is 24 bytes"))
    }
}

/// `tmjoin-` and base64url of: version, the coordinator's fingerprint, the secret, a check sum.
///
/// The check sum (first bytes of SHA-256) tells a mistyped token from an unknown one before any
/// packet is sent. Whoever holds the token can join: [`fmt::Display`] shows it whole, `Debug` not.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    pub fingerprint: Fingerprint,
    pub secret: TokenSecret,
}

impl JoinToken {
    /// A new token for the coordinator of that fingerprint.
    pub fn generate(fingerprint: Fingerprint) -> Result<Self, TokenError> {
        let mut secret = [0; SECRET_LENGTH];
        getrandom::fill(&mut secret).map_err(|_| TokenError::Randomness)?;
        Ok(Self { fingerprint, secret: TokenSecret(secret) })
    }
}

fn check_sum(body: &[u8]) -> [u8; CHECK_LENGTH] {
    let mut sum = [0; CHECK_LENGTH];
    let digest = ring::digest::digest(&ring::digest::SHA256, body);
    sum.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    sum
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut body = vec![VERSION];
        body.extend_from_slice(&self.fingerprint.0);
        body.extend_from_slice(&self.secret.0);
        body.extend_from_slice(&check_sum(&body));
        let mut text = URL_SAFE_NO_PAD.encode(&body);
        body.zeroize();
        let written = write!(f, "{PREFIX}{text}");
        text.zeroize();
        written
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim().strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
        let mut bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Mistyped)?;
        let parsed = parse(&bytes);
        bytes.zeroize();
        parsed
    }
}

fn parse(bytes: &[u8]) -> Result<JoinToken, TokenError> {
    let (body, sum) = bytes.split_last_chunk::<CHECK_LENGTH>().ok_or(TokenError::Mistyped)?;
    if check_sum(body) != *sum {
        return Err(TokenError::Mistyped);
    }
    let (version, rest) = body.split_first().ok_or(TokenError::Mistyped)?;
    if *version != VERSION {
        return Err(TokenError::Version(*version));
    }
    let (fingerprint, secret) = rest.split_first_chunk::<32>().ok_or(TokenError::Mistyped)?;
    let secret = secret.try_into().map_err(|_| TokenError::Mistyped)?;
    Ok(JoinToken { fingerprint: Fingerprint(*fingerprint), secret: TokenSecret(secret) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_reads_back_and_hides_its_secret_in_debug() {
        let token = JoinToken::generate(Fingerprint([3; 32])).unwrap();
        let text = token.to_string();
        assert_eq!(text.parse(), Ok(token.clone()));
        assert!(!format!("{token:?}").contains(&text[text.len() - 12..]));
    }

    #[test]
    fn a_token_with_one_wrong_letter_is_called_mistyped() {
        let text = JoinToken::generate(Fingerprint([3; 32])).unwrap().to_string();
        for place in PREFIX.len()..text.len() - 1 {
            let mut wrong = text.clone().into_bytes();
            wrong[place] = if wrong[place] == b'A' { b'B' } else { b'A' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert_eq!(wrong.parse::<JoinToken>(), Err(TokenError::Mistyped), "place {place}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_an_error(text in "(tmjoin-)?[A-Za-z0-9_-]{0,120}") {
            let _ = text.parse::<JoinToken>();
        }
    }
}
