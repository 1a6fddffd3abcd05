//! Public keys and the fingerprint that a join token carries.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::KeyPair as _;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// DER of an Ed25519 SubjectPublicKeyInfo up to the key itself (RFC 8410 §4).
const ED25519_SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A key that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    #[error("a WireGuard key is 32 bytes in base64 (44 characters ending in `=`)")]
    WireguardText,
    #[error("a key is 32 bytes, not {0}")]
    Length(usize),
    #[error("a fingerprint is 64 hexadecimal digits")]
    FingerprintText,
    #[error("not an Ed25519 SubjectPublicKeyInfo")]
    NotEd25519,
    #[error("not an Ed25519 private key in PKCS#8 form")]
    Pkcs8,
}

fn array(bytes: &[u8]) -> Result<[u8; 32], KeyError> {
    bytes.try_into().map_err(|_| KeyError::Length(bytes.len()))
}

/// A WireGuard (X25519) public key; text form as `wg` prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireguardKey(pub [u8; 32]);

impl fmt::Display for WireguardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for WireguardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WireguardKey({self})")
    }
}

impl FromStr for WireguardKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| KeyError::WireguardText)?;
        array(&bytes).map(Self).map_err(|_| KeyError::WireguardText)
    }
}

impl Serialize for WireguardKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for WireguardKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Self)
    }
}

/// Base64 where people read, else bytes.
fn serialize<S: Serializer>(key: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.serialize_str(&STANDARD.encode(key))
    } else {
        serializer.serialize_bytes(key)
    }
}

fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let bytes = if deserializer.is_human_readable() {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?
    } else {
        serde_bytes::ByteBuf::deserialize(deserializer)?.into_vec()
    };
    array(&bytes).map_err(D::Error::custom)
}

/// A node's or coordinator's Ed25519 public key: its name on the control channel, and a node's name in IKE.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityKey(pub [u8; 32]);

impl IdentityKey {
    /// The key out of a DER SubjectPublicKeyInfo, as a TLS raw public key carries it (RFC 7250).
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let key = der.strip_prefix(&ED25519_SPKI_PREFIX).ok_or(KeyError::NotEd25519)?;
        array(key).map(Self)
    }

    /// DER SubjectPublicKeyInfo (RFC 8410 §4).
    pub fn to_spki(self) -> Vec<u8> {
        [ED25519_SPKI_PREFIX.as_slice(), &self.0].concat()
    }

    pub fn fingerprint(self) -> Fingerprint {
        Fingerprint::of_spki(&self.to_spki())
    }
}

impl Serialize for IdentityKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for IdentityKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Self)
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityKey({})", self.fingerprint())
    }
}

/// An Ed25519 private key in PKCS#8 form, made and kept by its owner.
pub struct IdentityKeyPair {
    pkcs8: Zeroizing<Vec<u8>>,
    public: IdentityKey,
}

impl IdentityKeyPair {
    /// A new key from the operating system's randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let random = ring::rand::SystemRandom::new();
        let document =
            ring::signature::Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| KeyError::Pkcs8)?;
        Self::from_pkcs8(document.as_ref())
    }

    /// The key out of the form that [`Self::pkcs8`] gives.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let pair = ring::signature::Ed25519KeyPair::from_pkcs8(der).map_err(|_| KeyError::Pkcs8)?;
        let public = IdentityKey(array(pair.public_key().as_ref())?);
        Ok(Self { pkcs8: Zeroizing::new(der.to_vec()), public })
    }

    /// PKCS#8 DER, to be written to a file of mode 0600 and nowhere else.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    pub fn public(&self) -> IdentityKey {
        self.public
    }
}

/// SHA-256 of a SubjectPublicKeyInfo: of the coordinator's, which a join token pins, or of a relay's certificate.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a public key in DER.
    pub fn of_spki(der: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, der);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Fingerprint {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(KeyError::FingerprintText);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| KeyError::FingerprintText)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| KeyError::FingerprintText)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_pair_survives_its_stored_form_and_names_itself_by_its_public_key() {
        let pair = IdentityKeyPair::generate().unwrap();
        let again = IdentityKeyPair::from_pkcs8(pair.pkcs8()).unwrap();
        assert_eq!(pair.public(), again.public());
        assert_eq!(IdentityKey::from_spki(&pair.public().to_spki()), Ok(pair.public()));
        let fingerprint = pair.public().fingerprint();
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    }

    #[test]
    fn a_wireguard_key_reads_as_wg_prints_it_and_nothing_else() {
        let key = WireguardKey([7; 32]);
        assert_eq!(key.to_string().parse(), Ok(key));
        for wrong in ["", "BwcH", "!", &"A".repeat(44), &format!("{key}AAAA")] {
            assert_eq!(wrong.parse::<WireguardKey>(), Err(KeyError::WireguardText), "{wrong}");
        }
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(json, format!("\"{key}\""));
        assert_eq!(serde_json::from_str::<WireguardKey>(&json).unwrap(), key);
        assert!(serde_json::from_str::<WireguardKey>("\"BwcH\"").is_err());
    }

    #[test]
    fn a_truncated_public_key_info_is_refused_at_every_length() {
        let spki = IdentityKey([9; 32]).to_spki();
        for length in 0..spki.len() {
            assert!(IdentityKey::from_spki(&spki[..length]).is_err(), "{length}");
        }
    }
}
