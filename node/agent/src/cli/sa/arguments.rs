//! What `twinmesh sa` takes, and its help.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::arguments::Socket;

/// Show the security associations (SAs) of ESP tunnels; add or remove SAs keyed by hand
///
/// Each tunnel has two SAs, one for each direction. SAs keyed by hand live as long as the tunnels: they are lost
/// at `twinmesh down`, at the daemon's end and at a crash.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_long_help = LIST_HELP)]
pub(in super::super) struct SaArguments {
    #[command(subcommand)]
    pub(super) command: Option<SaCommand>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) socket: Socket,
}

#[derive(Debug, Subcommand)]
pub(super) enum SaCommand {
    /// Add SAs keyed by hand, from a TOML file: for tests and static interop only
    ///
    /// The daemon refuses it unless it runs with --allow-manual-sa, and while the tunnels are down. Of a file with
    /// several SAs all are added or none.
    ///
    /// Keys by hand protect less than keys that are negotiated: whoever learns the file can read all that was ever
    /// sent. A key is used once. The daemon takes none again that it had before; it cannot know what it had before
    /// its restart, so give both ends new keys then too. With a key used twice, AES-GCM, ChaCha20-Poly1305 and AES-CTR
    /// hide nothing any more.
    #[command(after_long_help = ADD_HELP)]
    Add {
        /// The file; `-` for standard input
        file: PathBuf,
        #[command(flatten)]
        socket: Socket,
    },
    /// Remove the SAs of a tunnel keyed by hand, with its routes
    ///
    /// Traffic that they protected then goes as it would without them, which may be in plain text.
    Remove {
        /// Name of the tunnel, as in its file
        name: String,
        #[command(flatten)]
        socket: Socket,
    },
}

const LIST_HELP: &str = "\
Examples:
  twinmesh sa
  twinmesh sa --json | jq -r '.[] | select(.state!=\"active\") | .name'
  twinmesh sa add site.toml
  twinmesh sa remove to-beta

JSON (--json): an array of tunnels; fields may be added, none is ever renamed:
  name           of the tunnel
  origin         manual | ike (a child of a site, called SITE/CHILD#NUMBER)
  state          active | expiring (soft limit passed, traffic flows) | expired (hard limit passed, nothing passes)
  problem        what is wrong and what to do, or null
  mode           tunnel | transport
  encapsulation  udp (RFC 3948) | raw (IP protocol 50)
  suite          as strongSwan writes it, such as aes128gcm16
  suite_class    default | legacy | test-only
  esn            true for 64-bit sequence numbers
  local          this node's address outside (transport mode), or null
  remote         the peer's address and port outside, at present; with raw the port means nothing
  follow_remote  true: remote follows the newest authentic packet
  local_ts       traffic selectors of this side, such as \"192.0.2.0/24[tcp/443]\"
  remote_ts      and of the peer's
  routes         prefixes routed into the TUN device for it
  mtu            longest inner packet in bytes
  partial_checksums
                 true: those of TCP and UDP are left to the receiving kernel
  age_s          seconds since it was added
  ike            of a child of a site: { local_id, remote_id, rekey_in_s (null while it is done, or if only the peer
                 does it), expires_in_s }; else null
  inbound, outbound
    spi            eight hexadecimal digits
    state          as above, of this direction
    packets        inner packets; bytes: their bytes (transport mode: payloads)
    sequence       last sequence number sent, or newest received
    replay_window  in packets; null outbound
    soft, hard     { bytes, packets, seconds }: limits of the lifetime, each or null
    drops          { reason: packets }, only reasons that occurred";

const ADD_HELP: &str = concat!(
    "\
Example of a file (take no key from here: `openssl rand -hex 20` makes one). At the peer, inbound and outbound, local
and remote change places:

",
    include_str!("example.toml"),
    "
Settings of a table [[sa]]; unknown ones are refused:
  name           letters, digits, `.`, `_`, `-`; no two tunnels of a node share it
  mode           \"tunnel\" for whole packets between subnets, \"transport\" for traffic between two machines
  suite          as strongSwan writes it: aes128gcm16, aes256gcm16, chacha20poly1305, aes256-sha256, …
  esn            true for 64-bit sequence numbers; both ends alike; default false
  encapsulation  \"udp\" (RFC 3948; default), or \"raw\" for IP protocol 50, which needs CAP_NET_RAW
  remote         the peer's address and UDP port outside the tunnel; with \"raw\" the address alone
  local          transport mode: this node's address outside; with \"raw\" in any mode, where packets leave from
  local_ts       what may pass on this side: prefixes, addresses, ranges, each with [PROTOCOL] or [PROTOCOL/PORTS]:
                 [\"10.1.0.0/16\", \"192.0.2.7[tcp/443]\", \"10.9.0.1-10.9.0.5\", \"2001:db8::/32[icmpv6]\"];
                 transport mode: the two addresses alone, and that is the default
  remote_ts      the same at the peer's side; its prefixes are routed into the TUN device, so 0.0.0.0/0 is refused
  inbound        spi and key of what the peer sends here; the SPI is from 80000000 to ffffffff
  outbound       spi and key of what goes to the peer
    spi          eight hexadecimal digits in quotes, or a number
    key          hexadecimal digits: encryption key, salt, integrity key, as far as the suite has them (IKE's KEYMAT):
                 20 bytes for aes128gcm16, 36 for aes256gcm16 and chacha20poly1305, 64 for aes256-sha256
  replay_window  packets that may come late, 32 to 65536; default 4096
  lifetime       soft = { … }, hard = { … } of bytes (\"9 GiB\"), packets (\"3G\"), time (\"55m\"); default none
  follow_remote  true: send to where the newest authentic packet came from; for a peer behind a NAT; default false
  path_mtu       of the path to the peer, in bytes; default 1500
  partial_checksums
                 tunnel mode: true at both ends, where both are nodes of twinmesh of this version or a later one, leaves
                 the checksums of TCP and UDP to the receiving kernel, since the SA protects them; default false
  tfc            tunnel mode: packets are padded to a multiple of so many bytes, so that sizes tell less
  dscp           \"copy\" from the inner packet (default), or 0 to 63
  allow_legacy   true to take 3DES, HMAC-SHA1-96 or HMAC-MD5-96
  allow_null     true to take a suite that encrypts nothing

Routes: in tunnel mode the prefixes of remote_ts lead into the TUN device, and programs of this machine send from one
of its addresses in local_ts. Inside the mesh's own prefixes these SAs come before WireGuard. In transport mode, and
where remote_ts contains the peer's outer address, the route stands in table 29805, to which the rule `not fwmark
0x746d` leads; the daemon's own packets carry that mark. All traffic to that address then goes into the TUN device:
what no selector matches is dropped there. Routes and rules go with the SAs.

The file should be readable by its owner only (chmod 600)."
);

/// A whole file, for the help and for tests.
#[cfg(test)]
pub(crate) const EXAMPLE: &str = include_str!("example.toml");
