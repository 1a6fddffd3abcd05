//! Credentials that a relay checks with nothing but a secret.
//!
//! ```text
//!   username   1767268800:7:192.0.2.1,2001:db8::1,203.0.113.9:51820
//!              until      │ └ where its packets may go: relays, and ports of peers that have no agent
//!                         └ the node
//!   password   base64(HMAC-SHA1(secret, username))
//! ```
//!
//! That is the time-limited form of coturn's `use-auth-secret` (draft-uberti-behave-turn-rest-00), whose user part is
//! free: coturn checks time and password, this relay the rest too.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use twinmesh_control::NodeId;
use zeroize::Zeroizing;

/// Longest USERNAME (RFC 8489 §14.3), in bytes.
const LONGEST_USERNAME: usize = 508;
/// A shorter secret can be tried out by whoever has seen one credential.
const SHORTEST_SECRET: usize = 16;

/// A file holds no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    #[error("cannot read {}: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "the secret in {} has {length} characters and needs {SHORTEST_SECRET}: copy `relay-secret` from the \
         coordinator's data folder",
        .path.display()
    )]
    Short { path: PathBuf, length: usize },
}

/// Why a username is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    #[error("the username is not UNTIL:NODE:PLACE,…")]
    Malformed,
    #[error("the credential's time is over")]
    Expired,
}

/// Somewhere packets may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A relay: nodes have their ports there.
    Relay(IpAddr),
    /// One UDP port.
    Port(SocketAddr),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relay(address) => address.fmt(f),
            Self::Port(address) => address.fmt(f),
        }
    }
}

impl FromStr for Place {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::Relay).or_else(|_| text.parse().map(Self::Port))
    }
}

/// What a username says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Unix time, in seconds.
    pub until: i64,
    pub node: NodeId,
    pub places: Vec<Place>,
}

impl Credential {
    /// Reads a username; it proves nothing before the password is checked.
    ///
    /// # Errors
    /// [`CredentialError`], also if its time is over at `unix`.
    pub fn read(username: &str, unix: i64) -> Result<Self, CredentialError> {
        let mut parts = username.splitn(3, ':');
        let mut part = || parts.next().ok_or(CredentialError::Malformed);
        let until = part()?.parse().map_err(|_| CredentialError::Malformed)?;
        let node = NodeId(part()?.parse().map_err(|_| CredentialError::Malformed)?);
        let places = part()?.split(',').filter(|place| !place.is_empty()).map(str::parse);
        let places = places.collect::<Result<_, _>>().map_err(|_| CredentialError::Malformed)?;
        if until <= unix { Err(CredentialError::Expired) } else { Ok(Self { until, node, places }) }
    }

    /// The username; places that find no room are left out, the last ones first.
    pub fn username(&self) -> String {
        let mut username = format!("{}:{}:", self.until, self.node.0);
        for (index, place) in self.places.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            let place = format!("{separator}{place}");
            if username.len() + place.len() > LONGEST_USERNAME {
                break;
            }
            username.push_str(&place);
        }
        username
    }

    /// Whether a permission for that address may stand (RFC 8656 §9: permissions know no ports).
    pub fn may_permit(&self, address: IpAddr) -> bool {
        self.places.iter().any(|place| match place {
            Place::Relay(relay) => *relay == address,
            Place::Port(port) => port.ip() == address,
        })
    }

    /// Whether packets may go to that port.
    pub fn may_reach(&self, peer: SocketAddr) -> bool {
        self.places.iter().any(|place| match place {
            Place::Relay(relay) => *relay == peer.ip(),
            Place::Port(port) => *port == peer,
        })
    }
}

/// What makes and checks passwords; one network's relays share it.
#[derive(Clone)]
pub struct RelaySecret(Zeroizing<String>);

impl fmt::Debug for RelaySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelaySecret(…)")
    }
}

impl RelaySecret {
    /// The secret as text; `None` if it is too short to be one.
    pub fn new(text: Zeroizing<String>) -> Option<Self> {
        (text.len() >= SHORTEST_SECRET).then_some(Self(text))
    }

    /// The first line of a file.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SecretError::Read { path: path.to_owned(), source })?;
        let text = Zeroizing::new(text);
        let line = text.lines().next().unwrap_or_default().trim();
        let length = line.len();
        Self::new(Zeroizing::new(line.to_owned()))
            .ok_or_else(|| SecretError::Short { path: path.to_owned(), length })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The password of a username.
    pub fn password(&self, username: &str) -> Zeroizing<String> {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(self.bytes()) else {
            return Zeroizing::default();
        };
        mac.update(username.as_bytes());
        Zeroizing::new(STANDARD.encode(mac.finalize().into_bytes()))
    }
}
