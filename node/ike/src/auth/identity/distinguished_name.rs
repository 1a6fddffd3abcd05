use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Any, ObjectIdentifier, SetOfVec};
use x509_cert::der::{Decode as _, Encode as _, Tag, Tagged as _};
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};

use super::IdentityError;

/// Names of attributes as strongSwan prints them, synonyms behind.
const ATTRIBUTES: [(&str, ObjectIdentifier); 21] = [
    ("C", ObjectIdentifier::new_unwrap("2.5.4.6")),
    ("ST", ObjectIdentifier::new_unwrap("2.5.4.8")),
    ("L", ObjectIdentifier::new_unwrap("2.5.4.7")),
    ("O", ObjectIdentifier::new_unwrap("2.5.4.10")),
    ("OU", ObjectIdentifier::new_unwrap("2.5.4.11")),
    ("CN", ObjectIdentifier::new_unwrap("2.5.4.3")),
    ("DC", DOMAIN_COMPONENT),
    ("UID", ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.1")),
    ("E", EMAIL),
    ("N", ObjectIdentifier::new_unwrap("2.5.4.41")),
    ("G", ObjectIdentifier::new_unwrap("2.5.4.42")),
    ("S", ObjectIdentifier::new_unwrap("2.5.4.4")),
    ("I", ObjectIdentifier::new_unwrap("2.5.4.43")),
    ("T", ObjectIdentifier::new_unwrap("2.5.4.12")),
    ("D", ObjectIdentifier::new_unwrap("2.5.4.13")),
    ("SN", ObjectIdentifier::new_unwrap("2.5.4.5")),
    ("dnQualifier", ObjectIdentifier::new_unwrap("2.5.4.46")),
    ("postalCode", ObjectIdentifier::new_unwrap("2.5.4.17")),
    ("serialNumber", ObjectIdentifier::new_unwrap("2.5.4.5")),
    ("emailAddress", EMAIL),
    ("Email", EMAIL),
];

const EMAIL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1");
const DOMAIN_COMPONENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.25");

/// A name of X.501, kept as the octets it came in. Attributes compare by type and text, without regard to ASCII
/// case and to the kind of string (RFC 5280 §7.1).
#[derive(Debug, Clone)]
pub struct DistinguishedName {
    der: Vec<u8>,
    parts: RdnSequence,
}

impl DistinguishedName {
    pub fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        let parts = RdnSequence::from_der(der).map_err(|_| IdentityError::DistinguishedName)?;
        // An empty name identifies nobody.
        if parts.0.is_empty() {
            return Err(IdentityError::DistinguishedName);
        }
        Ok(Self { der: der.to_vec(), parts })
    }

    /// `C=CH, O=strongSwan, CN=moon`, or `/C=CH/O=strongSwan/CN=moon`, most significant first.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let (separator, text) = text.strip_prefix('/').map_or((',', text), |rest| ('/', rest));
        let parts = text.split(separator).map(attribute).collect::<Result<_, _>>()?;
        let parts = RdnSequence(parts);
        let der = parts.to_der().map_err(|_| IdentityError::DistinguishedName)?;
        Ok(Self { der, parts })
    }

    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn is_like(&self, pattern: &Self) -> bool {
        self.fits(pattern, |value, pattern| string(pattern) == Some("*") || same(value, pattern))
    }

    pub(crate) fn has_wildcard(&self) -> bool {
        self.attributes().any(|attribute| string(&attribute.value) == Some("*"))
    }

    fn fits(&self, other: &Self, same_value: impl Fn(&Any, &Any) -> bool) -> bool {
        let (ours, theirs) = (&self.parts.0, &other.parts.0);
        ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|(ours, theirs)| {
                ours.0.len() == theirs.0.len()
                    && ours.0.iter().zip(theirs.0.iter()).all(|(ours, theirs)| {
                        ours.oid == theirs.oid && same_value(&ours.value, &theirs.value)
                    })
            })
    }

    fn attributes(&self) -> impl Iterator<Item = &AttributeTypeAndValue> {
        self.parts.0.iter().flat_map(|part| part.0.iter())
    }

    /// Nothing where a part cannot be written as text.
    pub(crate) fn text(&self) -> Option<String> {
        let parts: Option<Vec<String>> = self
            .attributes()
            .map(|attribute| {
                let (name, _) = ATTRIBUTES.iter().find(|(_, oid)| *oid == attribute.oid)?;
                let value = string(&attribute.value).filter(|text| !text.chars().any(char::is_control))?;
                Some(format!("{name}={value}"))
            })
            .collect();
        Some(parts?.join(", "))
    }
}

impl PartialEq for DistinguishedName {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der || self.fits(other, same)
    }
}

impl Eq for DistinguishedName {}

fn attribute(text: &str) -> Result<RelativeDistinguishedName, IdentityError> {
    let (name, value) = text.split_once('=').ok_or(IdentityError::DistinguishedName)?;
    let (name, value) = (name.trim(), value.trim());
    if value.is_empty() {
        return Err(IdentityError::DistinguishedName);
    }
    let (_, oid) = ATTRIBUTES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .ok_or(IdentityError::UnknownAttribute)?;
    let tag = match *oid {
        EMAIL | DOMAIN_COMPONENT if value.is_ascii() => Tag::Ia5String,
        _ if value.bytes().all(is_printable) => Tag::PrintableString,
        _ => Tag::Utf8String,
    };
    let value = Any::new(tag, value.as_bytes()).map_err(|_| IdentityError::DistinguishedName)?;
    let part = SetOfVec::try_from(vec![AttributeTypeAndValue { oid: *oid, value }]);
    part.map(RelativeDistinguishedName).map_err(|_| IdentityError::DistinguishedName)
}

/// PrintableString of X.680 §41.4.
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

fn string(value: &Any) -> Option<&str> {
    let text = str::from_utf8(value.value()).ok()?;
    let ascii_strings = [Tag::PrintableString, Tag::Ia5String, Tag::TeletexString];
    let tag = value.tag();
    (tag == Tag::Utf8String || ascii_strings.contains(&tag) && text.is_ascii()).then_some(text)
}

fn same(a: &Any, b: &Any) -> bool {
    match (string(a), string(b)) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> DistinguishedName {
        DistinguishedName::parse(text).expect("a name")
    }

    #[test]
    fn names_compare_by_text_whatever_the_kind_of_string() {
        let utf8 = [0x30, 0x0d, 0x31, 0x0b, 0x30, 0x09, 6, 3, 85, 4, 3, 0x0c, 2, b'm', b'O'];
        assert_eq!(DistinguishedName::from_der(&utf8).expect("a name"), parse("CN=Mo"));
        assert_ne!(parse("CN=mo"), parse("OU=mo"));
        assert_ne!(parse("C=CH, CN=mo"), parse("CN=mo, C=CH"));
        assert_ne!(parse("C=CH, CN=mo"), parse("CN=mo"));
    }

    #[test]
    fn both_notations_name_the_same_and_text_is_read_back() {
        let name = parse("/C=CH/O=Linux strongSwan/E=a@b.org/CN=Zürich");
        assert_eq!(name, parse("C=CH, O=Linux strongSwan, emailAddress=a@b.org, CN=Zürich"));
        assert_eq!(name.text().as_deref(), Some("C=CH, O=Linux strongSwan, E=a@b.org, CN=Zürich"));
    }

    #[test]
    fn every_truncation_of_a_name_is_refused() {
        let name = parse("C=CH, O=strongSwan, CN=moon");
        for length in 0..name.as_der().len() {
            let head = name.as_der().get(..length).expect("a head");
            assert_eq!(DistinguishedName::from_der(head).err(), Some(IdentityError::DistinguishedName));
        }
        let long = [name.as_der(), &[0]].concat();
        assert!(DistinguishedName::from_der(&long).is_err());
        assert!(DistinguishedName::from_der(&[0x30, 0]).is_err());
    }
}
