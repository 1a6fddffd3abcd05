use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::{
    DistinguishedName, ID_DER_ASN1_DN, ID_FQDN, ID_IPV4_ADDR, ID_IPV6_ADDR, ID_KEY_ID, ID_RFC822_ADDR,
    Identity, IdentityError, LONGEST, name,
};

/// strongSwan's prefixes, which say the type when the text alone would not.
const PREFIXES: [(&str, u8); 10] = [
    ("ipv4:", ID_IPV4_ADDR),
    ("ipv6:", ID_IPV6_ADDR),
    ("fqdn:", ID_FQDN),
    ("dns:", ID_FQDN),
    ("email:", ID_RFC822_ADDR),
    ("rfc822:", ID_RFC822_ADDR),
    ("userfqdn:", ID_RFC822_ADDR),
    ("asn1dn:", ID_DER_ASN1_DN),
    ("dn:", ID_DER_ASN1_DN),
    ("keyid:", ID_KEY_ID),
];

impl Identity {
    /// Also with wildcards, for patterns.
    pub(crate) fn parse(text: &str) -> Result<Self, IdentityError> {
        let text = text.trim();
        if let Some((id_type, rest)) =
            PREFIXES.iter().find_map(|(prefix, id_type)| Some((*id_type, text.strip_prefix(prefix)?)))
        {
            return Self::of_type(id_type, rest);
        }
        if let Some(digits) = text.strip_prefix("@#") {
            return Self::from_payload(ID_KEY_ID, &hexadecimal(digits).ok_or(IdentityError::Hexadecimal)?);
        }
        if let Some(email) = text.strip_prefix("@@") {
            return Self::of_type(ID_RFC822_ADDR, email);
        }
        if let Some(fqdn) = text.strip_prefix('@') {
            return Self::of_type(ID_FQDN, fqdn);
        }
        if text.contains('=') {
            return Self::of_type(ID_DER_ASN1_DN, text);
        }
        if text.contains('@') {
            return Self::of_type(ID_RFC822_ADDR, text);
        }
        match text.parse::<IpAddr>() {
            Ok(address) => Ok(address.into()),
            Err(_) if text.contains(':') => Self::of_type(ID_KEY_ID, text),
            Err(_) => Self::of_type(ID_FQDN, text),
        }
    }

    fn of_type(id_type: u8, text: &str) -> Result<Self, IdentityError> {
        if let Some(digits) = text.strip_prefix('#') {
            return Self::from_payload(id_type, &hexadecimal(digits).ok_or(IdentityError::Hexadecimal)?);
        }
        if text.is_empty() || text.len() > LONGEST {
            return Err(IdentityError::Length { id_type, length: text.len() });
        }
        match id_type {
            ID_IPV4_ADDR => text.parse().map(Self::Ipv4).map_err(|_| IdentityError::Address),
            ID_IPV6_ADDR => text.parse().map(Self::Ipv6).map_err(|_| IdentityError::Address),
            ID_FQDN => name(text.as_bytes()).map(Self::Fqdn),
            ID_RFC822_ADDR => name(text.as_bytes()).map(Self::Email),
            ID_DER_ASN1_DN => DistinguishedName::parse(text).map(Self::DistinguishedName),
            _ => Ok(Self::KeyId(text.as_bytes().to_vec())),
        }
    }

    pub(crate) fn has_wildcard(&self) -> bool {
        match self {
            Self::Fqdn(name) | Self::Email(name) => name.starts_with('*'),
            Self::DistinguishedName(name) => name.has_wildcard(),
            Self::Ipv4(_) | Self::Ipv6(_) | Self::KeyId(_) => false,
        }
    }

    fn plain_text(&self) -> Option<String> {
        match self {
            Self::Ipv4(address) => Some(address.to_string()),
            Self::Ipv6(address) => Some(address.to_string()),
            Self::Fqdn(name) | Self::Email(name) => Some(name.clone()),
            Self::DistinguishedName(name) => name.text(),
            Self::KeyId(id) => {
                str::from_utf8(id).ok().filter(|text| !text.chars().any(char::is_control)).map(str::to_owned)
            }
        }
    }
}

impl From<IpAddr> for Identity {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::Ipv4(address),
            IpAddr::V6(address) => Self::Ipv6(address),
        }
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let identity = Self::parse(text)?;
        if identity.has_wildcard() {
            return Err(IdentityError::Wildcard);
        }
        Ok(identity)
    }
}

/// As short as it can be read back: the text, else the text with its type in front, else hexadecimal.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self {
            Self::Ipv4(_) => "ipv4:",
            Self::Ipv6(_) => "ipv6:",
            Self::Fqdn(_) => "fqdn:",
            Self::Email(_) => "email:",
            Self::DistinguishedName(_) => "asn1dn:",
            Self::KeyId(_) => "keyid:",
        };
        let data = self.payload_data();
        let reads_back = |text: &str| {
            Self::parse(text).is_ok_and(|read| {
                read.id_type() == self.id_type() && (read.payload_data() == data || read == *self)
            })
        };
        if let Some(text) = self.plain_text() {
            if reads_back(&text) {
                return f.write_str(&text);
            }
            let typed = format!("{prefix}{text}");
            if reads_back(&typed) {
                return f.write_str(&typed);
            }
        }
        write!(f, "{prefix}#")?;
        data.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Digits in pairs, with colons between pairs or not.
pub(crate) fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = digits.bytes().filter(|digit| *digit != b':').collect();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs
        .iter()
        .map(|&[high, low]| {
            let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            Some(digit(high)? << 4 | digit(low)?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(text: &str) -> (u8, Vec<u8>) {
        let identity: Identity = text.parse().expect("an identity");
        (identity.id_type(), identity.payload_data())
    }

    #[test]
    fn identities_are_read_as_strongswan_reads_them() {
        assert_eq!(kind("moon.strongswan.org"), (2, b"moon.strongswan.org".to_vec()));
        assert_eq!(kind("@moon"), (2, b"moon".to_vec()));
        assert_eq!(kind("@10.0.0.1"), (2, b"10.0.0.1".to_vec()));
        assert_eq!(kind("carol@strongswan.org"), (3, b"carol@strongswan.org".to_vec()));
        assert_eq!(kind("@@carol"), (3, b"carol".to_vec()));
        assert_eq!(kind("192.168.0.1"), (1, vec![192, 168, 0, 1]));
        assert_eq!(kind("fec0::1").0, 5);
        assert_eq!(kind("@#0badcafe"), (11, vec![0x0b, 0xad, 0xca, 0xfe]));
        assert_eq!(kind("keyid:site 7"), (11, b"site 7".to_vec()));
        assert_eq!(kind("keyid:#01:02"), (11, vec![1, 2]));
        assert_eq!(kind("fqdn:#6d6f"), (2, b"mo".to_vec()));
        assert_eq!(kind("not:an:address"), (11, b"not:an:address".to_vec()));
        assert_eq!(kind("C=CH, O=strongSwan, CN=moon").0, 9);
        assert_eq!(
            kind("asn1dn:CN=moon"),
            (9, vec![0x30, 0x0f, 0x31, 0x0d, 0x30, 0x0b, 6, 3, 85, 4, 3, 0x13, 4, 109, 111, 111, 110])
        );
    }

    #[test]
    fn what_is_no_identity_is_refused() {
        for text in
            ["", "ipv4:10.0.0", "ipv6:10.0.0.1", "keyid:", "@#abc", "@#+1", "fqdn:#00", "CN", "=x", "CN=a,"]
        {
            let read = text.parse::<Identity>();
            assert!(read.is_err() || text == "CN", "{text}: {read:?}");
        }
        assert_eq!("fqdn:#00".parse::<Identity>(), Err(IdentityError::NotText));
        assert_eq!(
            Identity::from_payload(1, &[1, 2, 3]),
            Err(IdentityError::Length { id_type: 1, length: 3 })
        );
        assert_eq!(Identity::from_payload(200, &[1]), Err(IdentityError::UnsupportedType { id_type: 200 }));
        assert_eq!(Identity::from_payload(9, &[0x30, 0x80]), Err(IdentityError::DistinguishedName));
        assert!(Identity::from_payload(11, &[0; 4_096]).is_err());
    }

    #[test]
    fn the_body_of_the_payload_has_type_and_reserved_octets() {
        let identity: Identity = "10.0.0.1".parse().expect("an identity");
        assert_eq!(identity.payload_body(), [1, 0, 0, 0, 10, 0, 0, 1]);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(id_type in prop::sample::select(vec![1u8, 2, 3, 5, 9, 11]), data in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(identity) = Identity::from_payload(id_type, &data) {
                let text = identity.to_string();
                prop_assert_eq!(Identity::parse(&text), Ok(identity), "{}", text);
            }
        }

        #[test]
        fn texts_of_any_kind_are_read_back_as_printed(text in "[ -~]{1,24}") {
            if let Ok(identity) = Identity::parse(&text) {
                let printed = identity.to_string();
                prop_assert_eq!(Identity::parse(&printed), Ok(identity), "{}", printed);
            }
        }
    }
}
