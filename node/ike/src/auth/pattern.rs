use std::fmt;
use std::str::FromStr;

use super::{Identity, IdentityError};

/// Which identities a connection accepts, in strongSwan's notation: `%any`, `*.example.org`, `*@example.org`,
/// `C=CH, O=strongSwan, CN=*`, or one identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityPattern {
    Any,
    /// A name, an address or a key id; `*` at the head of a name and `*` as a value of a distinguished name
    /// stand for anything.
    Like(Identity),
}

/// How well a pattern fits, the better the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MatchQuality {
    Any,
    Wildcard,
    Perfect,
}

impl IdentityPattern {
    /// A peer's identity is taken literally: a `*` in it stands for nothing.
    pub fn matches(&self, identity: &Identity) -> Option<MatchQuality> {
        let Self::Like(pattern) = self else { return Some(MatchQuality::Any) };
        if pattern == identity {
            return Some(MatchQuality::Perfect);
        }
        let fits = match (pattern, identity) {
            (Identity::Fqdn(pattern), Identity::Fqdn(name))
            | (Identity::Email(pattern), Identity::Email(name)) => fits_below(pattern, name),
            (Identity::DistinguishedName(pattern), Identity::DistinguishedName(name)) => {
                name.is_like(pattern)
            }
            _ => false,
        };
        fits.then_some(MatchQuality::Wildcard)
    }

    /// The identity itself, where the pattern means just one.
    pub fn exact(&self) -> Option<&Identity> {
        match self {
            Self::Like(identity) if !identity.has_wildcard() => Some(identity),
            Self::Any | Self::Like(_) => None,
        }
    }
}

/// `*.example.org` fits names that end so, and have something in front.
fn fits_below(pattern: &str, name: &str) -> bool {
    let Some(suffix) = pattern.strip_prefix('*') else { return false };
    name.len()
        .checked_sub(suffix.len())
        .filter(|head| *head > 0)
        .and_then(|head| name.as_bytes().get(head..))
        .is_some_and(|tail| tail.eq_ignore_ascii_case(suffix.as_bytes()))
}

impl FromStr for IdentityPattern {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        if matches!(text.trim(), "" | "%any" | "%any6" | "*" | "0.0.0.0" | "::" | "0::0") {
            return Ok(Self::Any);
        }
        Identity::parse(text).map(Self::Like)
    }
}

impl fmt::Display for IdentityPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("%any"),
            Self::Like(identity) => identity.fmt(f),
        }
    }
}

impl From<Identity> for IdentityPattern {
    fn from(identity: Identity) -> Self {
        Self::Like(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quality(pattern: &str, identity: &str) -> Option<MatchQuality> {
        let pattern: IdentityPattern = pattern.parse().expect("a pattern");
        pattern.matches(&identity.parse().expect("an identity"))
    }

    #[test]
    fn wildcards_stand_for_names_of_the_same_kind_only() {
        use MatchQuality::{Any, Perfect, Wildcard};
        assert_eq!(quality("%any", "10.0.0.1"), Some(Any));
        assert_eq!(quality("*.example.org", "moon.Example.org"), Some(Wildcard));
        assert_eq!(quality("*.example.org", "example.org"), None);
        assert_eq!(quality("*.example.org", "evilexample.org"), None);
        assert_eq!(quality("*@example.org", "alice@example.org"), Some(Wildcard));
        assert_eq!(quality("*@example.org", "fqdn:alice@example.org"), None);
        assert_eq!(quality("moon.example.org", "MOON.example.org"), Some(Perfect));
        assert_eq!(quality("C=CH, O=Sun, CN=*", "C=CH, O=Sun, CN=moon"), Some(Wildcard));
        assert_eq!(quality("C=CH, O=Sun, CN=*", "C=CH, CN=moon"), None);
        assert_eq!(quality("C=CH, O=Sun, CN=*", "C=CH, O=Moon, CN=moon"), None);
        assert_eq!(quality("CN=moon", "moon"), None);
    }

    #[test]
    fn a_peer_cannot_bring_its_own_wildcard() {
        let peer = Identity::from_payload(2, b"*.example.org").expect("a name");
        let pattern: IdentityPattern = "moon.example.org".parse().expect("a pattern");
        assert_eq!(pattern.matches(&peer), None);
        assert_eq!("*.example.org".parse::<Identity>(), Err(IdentityError::Wildcard));
    }

    #[test]
    fn only_a_pattern_without_wildcard_is_an_identity() {
        let exact = |text: &str| text.parse::<IdentityPattern>().expect("a pattern").exact().is_some();
        assert!(exact("moon.example.org") && exact("10.0.0.1"));
        assert!(!exact("%any") && !exact("*.example.org") && !exact("C=CH, CN=*"));
    }
}
