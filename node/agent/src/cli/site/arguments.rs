//! What `twinmesh site` takes, and its help.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;

use super::super::arguments::Socket;
use super::super::completions::sites;

/// Connect to routers and gateways that speak IKEv2 and IPsec
///
/// A site is one peer, with the subnets on both sides. The daemon negotiates keys with it, renews them, and notices
/// when it is gone. Sites need no coordinator.
///
/// From `site add` to `site remove` a site is kept, over restarts of the daemon too, and what is to pass through it
/// never leaves this machine in the clear: while there are no SAs, its packets are dropped and counted, and their
/// senders told (ICMP: administratively prohibited). `twinmesh down` takes all sites down, `twinmesh up` and
/// `twinmesh site up` bring them back.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(in super::super) struct SiteArguments {
    #[command(subcommand)]
    pub(super) command: SiteCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum SiteCommand {
    /// Add a site from a TOML file, and begin
    ///
    /// It does not wait for the peer: `twinmesh site list` tells how it went.
    #[command(after_long_help = ADD_HELP)]
    Add {
        /// The file; `-` for standard input
        file: PathBuf,
        #[command(flatten)]
        socket: Socket,
    },
    /// Check a site's file: say what it means and what is doubtful in it, and change nothing
    ///
    /// It says in words what would be negotiated, renewed and routed, and warns of weak algorithms and secrets, of
    /// children without perfect forward secrecy, and of traffic that two children or sites could carry (those of the
    /// running daemon are looked at, if there is one). Exit status 1 if `site add` would refuse the file; warnings do
    /// not count.
    Check {
        /// The file; `-` for standard input
        file: PathBuf,
        #[command(flatten)]
        socket: Socket,
    },
    /// Remove a site for good: tell its peer, take its SAs and routes away, forget its secrets
    ///
    /// Traffic that it protected then goes as it would without it, which may be in plain text. To interrupt it only,
    /// there is `twinmesh site down`.
    Remove {
        /// Name of the site, as in its file
        #[arg(add = ArgValueCandidates::new(sites))]
        name: String,
        #[command(flatten)]
        socket: Socket,
    },
    /// Bring a site up: set up its IKE SA and all its children now
    ///
    /// Whatever its `start` says. It waits until that has succeeded or failed, and says why; exit status 1 if it
    /// failed. It also ends a `site down`.
    Up {
        /// Name of the site, as in its file
        #[arg(add = ArgValueCandidates::new(sites))]
        name: String,
        /// How many seconds to wait
        #[arg(long, value_name = "SECONDS", default_value_t = 30)]
        timeout: u64,
        /// Do not wait
        #[arg(long)]
        no_wait: bool,
        #[command(flatten)]
        socket: Socket,
    },
    /// Take a site down: tell its peer, end its SAs, and drop its traffic until `site up`
    ///
    /// It stays down over restarts of the daemon. Its peer cannot bring it up either.
    Down {
        /// Name of the site, as in its file
        #[arg(add = ArgValueCandidates::new(sites))]
        name: String,
        #[command(flatten)]
        socket: Socket,
    },
    /// Show the sites, their IKE SAs and children
    #[command(after_long_help = LIST_HELP)]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        socket: Socket,
    },
}

const LIST_HELP: &str = "\
Examples:
  twinmesh site list
  twinmesh site list --json | jq -r '.[] | select(.state!=\"established\") | .last_error'

JSON (--json): an array of sites; fields may be added, none is ever renamed:
  name           of the site
  state          established | connecting | failed (it is tried again) | waiting (the peer has to begin) |
                 trapped (traffic makes it begin) | down (by `site down` or `twinmesh down`)
  last_error     why the last attempt failed and what to do, or null
  remote         the peer's address and port outside, or null
  ike_sa         null, or { initiator, local, local_id, remote_id, initiator_spi, responder_spi, proposal, local_nat,
                 remote_nat, age_s (of its keys), established_s (since the peer proved who it is), rekeyed (how often),
                 rekey_in_s (null while it is done, or if only the peer does it), expires_in_s, reauth_in_s (until
                 both prove anew who they are; null if this node does not ask for it), ppk (whether a postquantum
                 secret is in the keys) }
  children       [{ name, state (installed | none), start (start | trap | none), sa (its name in `twinmesh sa`), spi_in,
                 spi_out, suite, local_ts, remote_ts (as negotiated, or as configured), age_s, rekey_in_s,
                 expires_in_s, packets_in, packets_out, bytes_in, bytes_out, rekeyed, blocked (packets dropped because there were no SAs), waiting (packets
                 kept for the SAs that they asked for) }]";

const ADD_HELP: &str = concat!(
    "\
Example of a file:

",
    include_str!("example.toml"),
    "
Settings; unknown ones are refused:
  name           letters, digits, `.`, `_`, `-`
  remote         the peer's address. IKE begins at its UDP port 4500; with \"ADDRESS:500\" at port 500, which then moves
                 to 4500. \"any\": a peer that comes from anywhere and begins itself
  local          this node's address outside; default: the one that leads to the peer
  vendor         apple, aws, cisco-asa, cisco-ios, fortigate, juniper, mikrotik, strongswan, windows: sets what that
                 vendor's routers need, and says what it has set
  encapsulation  \"udp\" (default): ESP in UDP (RFC 3948), which goes wherever IKE went; \"auto\": straight in IP, as
                 protocol 50, where there is no NAT, which spares 8 bytes a packet and which many firewalls drop;
                 \"raw\": straight in IP even through a NAT. A peer that knows no UDP encapsulation gets it so anyway
  start          \"start\" (default): begin at once, and again after a loss or a failure, after 1 s and then twice as
                 long each time, up to a minute; \"trap\": begin as soon as there is traffic, whose first packets are
                 kept meanwhile; \"none\": wait for the peer. The default for the children
  proposals      for IKE, as strongSwan writes them, preferred first: [\"aes128gcm16-prfsha256-x25519\"]. Encryption:
                 aes128gcm16 aes256gcm16 chacha20poly1305 aes128 aes192 aes256; integrity: sha256 sha384 sha512; PRF:
                 prfsha256 prfsha384 prfsha512; key exchange: x25519 ecp256 ecp384 ecp521 modp2048 modp3072 modp4096;
                 then up to seven more, ke1_ to ke7_ in front (RFC 9370): \"aes256gcm16-prfsha384-x25519-ke1_mlkem768\"
                 keeps recorded traffic closed to quantum computers, ke1_none beside it lets a peer do without. The
                 same for children, whose rekeys it protects
  allow_legacy   true to let proposals name 3des, sha1, modp1024 and modp1536, and to take signatures over SHA-1
  rekey_time     of the IKE SA; default \"4h\"; it ends in any case a tenth later, at least 3 minutes
  reauth_time    peer and node prove anew who they are, in an IKE SA from scratch while the old one goes on; default:
                 never by this node
  mobike         false: the IKE SA ends when an address changes (default true: it moves along, if the peer can)
  dpd_delay      the peer is asked for a sign of life after so long a silence; default \"30s\"; \"off\"
  dpd_action     when it gives none: \"restart\": begin again (default where a child starts); \"trap\": when there is
                 traffic (default where one traps); \"clear\": wait for the peer or `site up`
  retransmission requests without an answer: { first = \"4s\", factor = 1.8, longest = \"1m\", tries = 5 }: repeated
                 after 4 s, 7.2 s, 13 s, 23 s, 42 s; the peer counts as dead a minute after the last
  fragment_size  of the largest IP packet that carries IKE, in bytes: 576 to 65535, default 1280; longer messages go in
                 fragments, where the peer knows how (RFC 7383)
  childless      the first child comes with the IKE SA or after it (RFC 6023): \"allow\" (default): the peer decides;
                 \"prefer\": after it, with a key exchange of its own, if the peer can; \"require\"; \"never\"
  uniqueness     how many IKE SAs stand with the same peer: \"replace\" (default): one, a newer takes the older's place;
                 \"keep\": one, a peer that comes again is refused while it stands, unless it says that it lost it;
                 \"multiple\": as many as are set up
  single_pair    true: each pair of local_ts and remote_ts gets SAs of its own, for peers that know one pair of subnets
                 for each (several vendors' presets set it)
  [auth]
    psk          the secret of both: characters, or 0x and hexadecimal digits, or 0s and base64. Or, for either side
                 instead (files in PEM, relative to this one):
    certificate  this node's, then those between it and the authority; with key, its private key
    key          without certificate: a key that the peer knows (RFC 7670)
    ca           [\"FILE\", …]: authorities for the peer's certificate; crl: [\"FILE\", …]: their revocation lists
    remote_public_key  the peer's key, where it has no certificate
    ppk          a further secret, mixed into the keys against quantum computers (RFC 8784): 0x and 64 digits, best
    ppk_id       what both ends call it
    ppk_required  false: a peer without it is taken all the same (default true)
    local_id     who this node says it is, as strongSwan writes it: \"@gw.example.net\", \"me@example.net\", \"192.0.2.1\";
                 default: its address, or the certificate's subject
    remote_id    who the peer has to be; \"*.example.net\" and \"%any\" stand for many; default: its address
  [[child]]      one pair of ESP SAs; several are possible
    name         as above
    local_ts     what may pass on this side: prefixes, addresses, ranges, each with [PROTOCOL] or [PROTOCOL/PORTS]:
                 [\"10.1.0.0/16\", \"192.0.2.7[tcp/443]\"]; transport mode: this node's address is the default
    remote_ts    the same at the peer's side; its prefixes are routed into the TUN device
    routes       prefixes to route instead; needed where remote_ts is 0.0.0.0/0
    proposals    for ESP: [\"aes128gcm16-x25519\"]. With a key exchange new keys are independent of the old (PFS); with
                 `-modpnone` at the end both is taken; `esn` for 64-bit sequence numbers
    mode         \"tunnel\" (default), or \"transport\" for what the two ends themselves say to each other, NATs between
                 them or not; all this machine's traffic to the peer then goes through this child, or is dropped
    start        as above, for this child
    rekey_time   default \"1h\"; life_time: when it ends in any case, default a tenth later, at
                 least 3 minutes
    rekey_bytes  such as \"9 GiB\"; default none
    path_mtu     of the path to the peer, in bytes; default 1500
    replay_window  packets that may come late, 32 to 65536; default 4096

The file should be readable by its owner only (chmod 600)."
);

/// A whole file, for the help and for tests.
#[cfg(test)]
pub(crate) const EXAMPLE: &str = include_str!("example.toml");
