//! What is wrong with a site's file, and where.

use ipnet::IpNet;
use twinmesh_dataplane::esp::SelectorError;
use twinmesh_ike::auth::{IdentityError, PreSharedKeyError};
use twinmesh_ike::config::{ProposalError, UnknownVendor};

use crate::sa;

/// Shows as `FILE:LINE: what to change`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct SiteFileError {
    pub file: String,
    /// From 1.
    pub line: usize,
    pub problem: Problem,
}

/// The kinds of faults.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// No TOML, an unknown key, or a value of the wrong kind; the parser's words.
    #[error("{0}")]
    Toml(String),
    /// A fault that a table of SAs keyed by hand can have too.
    #[error(transparent)]
    Value(#[from] sa::Problem),
    #[error("two children of this site are called `{0}`: rename one of them")]
    ChildTwice(String),
    #[error("a site without a table [[child]] carries nothing: `twinmesh site add --help` shows one")]
    NoChild,
    #[error(
        "`{0}` is no address of a peer: write \"198.51.100.2\", \"198.51.100.2:500\", \"[2001:db8::2]:4500\", or \"any\" \
         for a peer that comes from anywhere"
    )]
    Remote(String),
    #[error(
        "with remote = \"any\" only the peer can start: write \"none\" for start, \"clear\" for dpd_action, or leave them out"
    )]
    StartAnywhere,
    #[error("with remote = \"any\" the peer is known by its identity alone: write remote_id in [auth]")]
    AnyoneAnywhere,
    #[error(transparent)]
    Vendor(#[from] UnknownVendor),
    #[error("`{0}`: {1}")]
    Proposal(String, ProposalError),
    #[error("write at least one proposal, or leave `proposals` out for the defaults")]
    NoProposals,
    #[error(
        "`{0}` is no identity: {1}; write it as strongSwan does, such as \"@gw.example.net\" or \"192.0.2.1\""
    )]
    Identity(String, IdentityError),
    #[error("psk: {0}")]
    Secret(#[from] PreSharedKeyError),
    #[error("ppk: {0}")]
    PostquantumKey(PreSharedKeyError),
    #[error("the peer knows the ppk by a name that both ends write: add ppk_id = \"NAME\"")]
    PostquantumId,
    #[error("{0} goes with a secret: add ppk = \"0x…\", 64 random hexadecimal digits that the peer has too")]
    PostquantumSecret(&'static str),
    #[error(
        "how do the two ends prove who they are? Write psk for both; or certificate and key, or key alone, for this \
         side, and ca or remote_public_key for the peer"
    )]
    NoProof,
    #[error("the certificate needs its private key: write key = \"FILE\"")]
    NoKey,
    #[error(
        "the peer proves itself by a certificate (ca) or by one known key (remote_public_key): remove one"
    )]
    TwoProofs,
    #[error("neither side uses the psk: remove it")]
    SecretUnused,
    #[error("crl goes with ca: without an authority there is nothing to revoke")]
    RevocationWithoutAuthority,
    #[error(
        "the certificate does not name `{0}`, and peers would refuse it: write one of its names (subjectAltName), or \
         leave local_id out for its subject"
    )]
    NotNamed(String),
    #[error("{path}: {reason}")]
    InFile { path: String, reason: String },
    #[error("`{given}`: {error}")]
    Selector { given: String, error: SelectorError },
    #[error("`{0}` is no prefix: write \"10.2.0.0/16\"")]
    Route(String),
    #[error("tunnel mode needs {0} = [\"PREFIX\", …]: what may pass, such as [\"10.1.0.0/16\"]")]
    NoSelectors(&'static str),
    #[error("at most 255 selectors for one side: write larger prefixes")]
    TooManySelectors,
    #[error(
        "with remote = \"any\" nobody knows the peer's address beforehand: leave remote_ts out, and transport mode takes \
         whichever it is"
    )]
    TransportAnywhere,
    #[error(
        "in transport mode this can only be the address of this node, with a protocol and ports if you like"
    )]
    NotOneAddress,
    #[error(
        "{0} would get a route into the TUN device, and that would carry the tunnels themselves into the tunnel: add \
         routes = [\"PREFIX\", …] to this child, naming the prefixes behind the peer"
    )]
    DefaultRoute(IpNet),
    #[error("factor is how many times longer each wait is than the one before: write 1.0 to 10.0")]
    Factor,
    #[error("tries is how often a request is repeated before the peer counts as dead: write 1 to 20")]
    Tries,
    #[error("fragment_size is that of the largest IP packet for IKE: write 576 to 65535 bytes")]
    FragmentSize,
    #[error(
        "life_time comes before rekey_time: raise it, or leave it out for a tenth more than rekey_time, at least 3 minutes"
    )]
    LifeBeforeRekey,
}
