//! What is wrong with a file of SAs, and where.

use std::net::IpAddr;

use ipnet::IpNet;
use twinmesh_dataplane::esp::{SelectorError, Spi, Suite, SuiteError};

/// Shows as `FILE:LINE: what to change`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct SaFileError {
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
    #[error("there is no SA in this file: write a table [[sa]] (`twinmesh sa add --help` shows one)")]
    Empty,
    #[error(
        "`{0}` cannot be a name: use letters, digits, `.`, `_` and `-`, at most 64, a letter or digit first"
    )]
    Name(String),
    #[error("two SAs of this file are called `{0}`: rename one of them")]
    NameTwice(String),
    #[error(
        "`{0}` is no suite: {1}; write it as strongSwan does, such as \"aes128gcm16\", \"chacha20poly1305\" or \
         \"aes256-sha256\""
    )]
    Suite(String, SuiteError),
    #[error(
        "the suite {0} is out of date: its cipher or hash is too weak to rely on (RFC 8221). Where the peer has \
         nothing better, write allow_legacy = true in this table"
    )]
    Legacy(Suite),
    #[error(
        "the suite {0} encrypts nothing: everybody on the way reads the traffic. For a test, write \
         allow_null = true in this table"
    )]
    Null(Suite),
    #[error("`{0}` is no SPI: write a number from 256 to 4294967295, or eight hexadecimal digits in quotes")]
    Spi(String),
    #[error(
        "the inbound SPI {0} needs its top bit set: take one from 80000000 to ffffffff, here and as the peer's \
         outbound SPI. On the shared UDP port that bit tells ESP from other traffic"
    )]
    SpiNotOurs(Spi),
    #[error("two SAs of this file have the inbound SPI {0}: the SPI alone tells them apart, so change one")]
    SpiTwice(Spi),
    #[error(
        "{suite} takes a key of {needed} bytes ({} hexadecimal digits), this one has {given}: it is the encryption \
         key, then the salt, then the integrity key, as far as the suite has them",
        2 * .needed
    )]
    KeyLength { suite: Suite, needed: usize, given: usize },
    #[error(
        "this key is in this file already: the two directions, and any two SAs, need keys of their own, or packets \
         are encrypted with the same nonce (make one with `openssl rand -hex {0}`)"
    )]
    KeyTwice(usize),
    #[error("`{0}` is no address with a port: write \"198.51.100.2:4500\" or \"[2001:db8::2]:4500\"")]
    Remote(String),
    #[error(
        "`{0}` is no address of a peer without UDP: write \"198.51.100.2\" or \"2001:db8::2\", without a port"
    )]
    RemoteRaw(String),
    #[error("follow_remote goes with UDP: without it there is no NAT that could move the peer; remove it")]
    FollowRaw,
    #[error("`{0}` is no address of a machine: write this node's own, such as \"192.0.2.1\"")]
    Local(String),
    #[error("transport mode needs local = \"ADDRESS\", the address of this node outside the tunnel")]
    NoLocal,
    #[error(
        "`local` belongs to transport mode and to encapsulation = \"raw\"; tunnel mode in UDP sends from whatever \
         address leads to the peer: remove it"
    )]
    LocalInTunnel,
    #[error("local is of another IP version than remote ({0}): both ends of an SA have the same")]
    MixedEnds(IpAddr),
    #[error("tunnel mode needs {0} = [\"PREFIX\", …]: what may pass, such as [\"10.1.0.0/16\"]")]
    NoSelectors(&'static str),
    #[error("at most {0} selectors for one side: write larger prefixes")]
    TooManySelectors(usize),
    #[error(transparent)]
    Selector(#[from] SelectorError),
    #[error("local_ts and remote_ts share no IP version: nothing could pass")]
    MixedSelectors,
    #[error("in transport mode this selector can only be {0} itself, with a protocol and ports if you like")]
    NotTheHost(IpAddr),
    #[error(
        "{0} would get a route into the TUN device, and that would carry the tunnels themselves into the tunnel: name \
         the prefixes behind the peer"
    )]
    DefaultRoute(IpNet),
    #[error("`{0}` is no replay window: write a number of packets from 32 to 65536")]
    ReplayWindow(String),
    #[error(
        "`{0}` is no amount of bytes: write a whole number with B, kB, MB, GB, KiB, MiB or GiB, such as \"9 GiB\""
    )]
    Bytes(String),
    #[error("`{0}` is no number of packets: write a whole number, alone or with k, M or G, such as \"3G\"")]
    Packets(String),
    #[error("`{0}` is no time: write a whole number with s, m, h or d, such as \"55m\", up to 3650 days")]
    Time(String),
    #[error("the hard limit comes before the soft one: raise it, or leave the soft one out")]
    LimitOrder,
    #[error("`{0}` is no size for TFC padding: write a multiple in bytes from 4 to 9000")]
    Tfc(String),
    #[error("TFC padding needs tunnel mode (RFC 4303 §2.7): remove it")]
    TfcInTransport,
    #[error("`{0}` is no DSCP: write \"copy\" or a number from 0 to 63")]
    Dscp(String),
    #[error("partial_checksums = true needs tunnel mode: remove it")]
    PartialInTransport,
    #[error("`{given}` is no MTU of a path: write a number from {least} to 65535")]
    PathMtu { given: String, least: u16 },
}
