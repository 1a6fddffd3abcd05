//! Identities of the ID payloads (RFC 7296 §3.5), written as strongSwan writes them.

mod distinguished_name;
mod text;

use std::net::{Ipv4Addr, Ipv6Addr};

pub use distinguished_name::DistinguishedName;
pub(crate) use text::hexadecimal;

/// Longer identities are refused: a name in DER with room to spare.
const LONGEST: usize = 2_048;

const ID_IPV4_ADDR: u8 = 1;
const ID_FQDN: u8 = 2;
const ID_RFC822_ADDR: u8 = 3;
const ID_IPV6_ADDR: u8 = 5;
const ID_DER_ASN1_DN: u8 = 9;
const ID_KEY_ID: u8 = 11;

/// Who a peer says it is. Names compare without regard to ASCII case.
#[derive(Debug, Clone)]
pub enum Identity {
    Ipv4(Ipv4Addr),
    Ipv6(Ipv6Addr),
    Fqdn(String),
    Email(String),
    DistinguishedName(DistinguishedName),
    KeyId(Vec<u8>),
}

/// Why an identity could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    #[error("identity type {id_type} is unknown here")]
    UnsupportedType { id_type: u8 },
    #[error("an identity of type {id_type} with {length} octets")]
    Length { id_type: u8, length: usize },
    #[error("a name that is not printable text")]
    NotText,
    #[error("a distinguished name that is not well formed")]
    DistinguishedName,
    #[error("an attribute of a distinguished name that is unknown here")]
    UnknownAttribute,
    #[error("an address that is not well formed")]
    Address,
    #[error("the hexadecimal digits after # are not well formed")]
    Hexadecimal,
    #[error("wildcards stand for other identities, not for one")]
    Wildcard,
}

impl Identity {
    /// From the type and the data of an ID payload.
    pub fn from_payload(id_type: u8, data: &[u8]) -> Result<Self, IdentityError> {
        let length = IdentityError::Length { id_type, length: data.len() };
        if data.is_empty() || data.len() > LONGEST {
            return Err(length);
        }
        match id_type {
            ID_IPV4_ADDR => Ok(Self::Ipv4(<[u8; 4]>::try_from(data).map_err(|_| length)?.into())),
            ID_IPV6_ADDR => Ok(Self::Ipv6(<[u8; 16]>::try_from(data).map_err(|_| length)?.into())),
            ID_FQDN => Ok(Self::Fqdn(name(data)?)),
            ID_RFC822_ADDR => Ok(Self::Email(name(data)?)),
            ID_DER_ASN1_DN => Ok(Self::DistinguishedName(DistinguishedName::from_der(data)?)),
            ID_KEY_ID => Ok(Self::KeyId(data.to_vec())),
            _ => Err(IdentityError::UnsupportedType { id_type }),
        }
    }

    /// The number in "IKEv2 Identification Payload ID Types".
    pub fn id_type(&self) -> u8 {
        match self {
            Self::Ipv4(_) => ID_IPV4_ADDR,
            Self::Ipv6(_) => ID_IPV6_ADDR,
            Self::Fqdn(_) => ID_FQDN,
            Self::Email(_) => ID_RFC822_ADDR,
            Self::DistinguishedName(_) => ID_DER_ASN1_DN,
            Self::KeyId(_) => ID_KEY_ID,
        }
    }

    /// The identification data of an ID payload.
    pub fn payload_data(&self) -> Vec<u8> {
        match self {
            Self::Ipv4(address) => address.octets().to_vec(),
            Self::Ipv6(address) => address.octets().to_vec(),
            Self::Fqdn(name) | Self::Email(name) => name.as_bytes().to_vec(),
            Self::DistinguishedName(name) => name.as_der().to_vec(),
            Self::KeyId(id) => id.clone(),
        }
    }

    /// An ID payload without its generic header: type, three reserved octets, data.
    pub fn payload_body(&self) -> Vec<u8> {
        [&[self.id_type(), 0, 0, 0], self.payload_data().as_slice()].concat()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ipv4(a), Self::Ipv4(b)) => a == b,
            (Self::Ipv6(a), Self::Ipv6(b)) => a == b,
            (Self::Fqdn(a), Self::Fqdn(b)) | (Self::Email(a), Self::Email(b)) => a.eq_ignore_ascii_case(b),
            (Self::DistinguishedName(a), Self::DistinguishedName(b)) => a == b,
            (Self::KeyId(a), Self::KeyId(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Identity {}

/// A name off the wire goes into logs and is compared with certificates: no control characters, no NUL.
fn name(data: &[u8]) -> Result<String, IdentityError> {
    let text = str::from_utf8(data).map_err(|_| IdentityError::NotText)?;
    if text.chars().any(char::is_control) {
        return Err(IdentityError::NotText);
    }
    Ok(text.to_owned())
}
