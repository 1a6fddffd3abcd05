//! What the command line takes, and its help.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use twinmesh_control::{Fingerprint, KeyError};

use super::policy::PolicyCommand;
use crate::control::{OtherRelay, Speaks};
use crate::relay::TlsAt;

/// The coordinator of a twinmesh network.
///
/// `serve` runs it: it lets nodes join, hands out their public keys and addresses, and tells each node what
/// changes. It never sees their traffic or their private keys. The other commands administrate it, on the same
/// host by its data folder, from elsewhere by --server and --api-token.
#[derive(Debug, Parser)]
#[command(
    name = "twinmesh-coordinator",
    version,
    arg_required_else_help = true,
    after_long_help = "\
Examples:
  twinmesh-coordinator serve --advertise hub.example.net
  twinmesh-coordinator token create
  twinmesh-coordinator node list
  twinmesh-coordinator explain alpha beta
  twinmesh-coordinator policy set --pair alpha,beta --protocol esp
  twinmesh-coordinator peer add phone --generate --with alpha,beta > phone.conf

Exit status:
  0  done
  1  failed; standard error says why and what to do
  2  bad usage"
)]
pub(super) struct CommandLine {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Serve(ServeArguments),
    Relay(RelayArguments),
    /// Join tokens: make, list, revoke
    #[command(subcommand)]
    Token(TokenCommand),
    /// Nodes: list, show, tag, remove
    #[command(subcommand)]
    Node(NodeCommand),
    /// Peers that speak only WireGuard: add, configure, remove
    #[command(subcommand)]
    Peer(PeerCommand),
    Explain(ExplainArguments),
    /// Which protocol carries what: show, change
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Print the OpenAPI document of the HTTP API
    Openapi,
    /// Print a completion script for a shell
    #[command(after_long_help = "\
Examples:
  twinmesh-coordinator completions bash > /etc/bash_completion.d/twinmesh-coordinator
  twinmesh-coordinator completions zsh > /usr/share/zsh/site-functions/_twinmesh-coordinator")]
    Completions {
        shell: Shell,
    },
    /// Print the version
    Version,
}

/// Where the data is.
#[derive(Debug, Args)]
pub(super) struct Data {
    /// Folder for the database and keys
    #[arg(
        long,
        value_name = "DIR",
        env = "TWINMESH_COORDINATOR_DATA",
        default_value = "/var/lib/twinmesh-coordinator"
    )]
    pub(super) data: PathBuf,
}

/// Run the coordinator, in the foreground
///
/// The first start makes the folder, its keys (mode 0600) and the account `admin`, whose password is printed
/// once. SIGTERM and SIGINT end it in order; nodes keep their tunnels and come back when it does.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  twinmesh-coordinator serve
  twinmesh-coordinator serve --data /srv/mesh --advertise hub.example.net
  twinmesh-coordinator serve --listen 192.0.2.1:7443 --http 127.0.0.1:8080

As a systemd service:
  ExecStart=/usr/local/bin/twinmesh-coordinator serve --advertise hub.example.net
  StateDirectory=twinmesh-coordinator

With a relay, and with one elsewhere that has a copy of relay-secret:
  twinmesh-coordinator serve --relay 192.0.2.1:3480
  twinmesh-coordinator serve --relay 192.0.2.1:3480 --relay-tls 192.0.2.1:443
  twinmesh-coordinator serve --other-relay 192.0.2.9:3478 --other-relay-tls 192.0.2.9:3478

Ports that nodes must reach:
  UDP 7443            control; TCP 7443 where UDP is blocked (--listen)
  UDP 3478 and 3479   STUN (--stun, --stun-other-port)
  UDP and TCP 3480    the relay, if --relay gives it that number; TCP is TLS, for nodes whose UDP is blocked
                      (--relay-tls). Networks that let only web traffic out want TCP 443 for it
  UDP 49152 to 65535  relayed ports, if there is a relay

Environment:
  RUST_LOG                   how much to log, such as `info` (the default) or `debug`
  TWINMESH_COORDINATOR_DATA  as --data

Files in the data folder:
  coordinator.db   database (SQLite)
  identity.key     the key that nodes know this coordinator by: keep a copy
  relay-secret     what relays check credentials with; a relay elsewhere needs a copy
  api-token        lets commands on this host use the API
  http-address     where the API listens
  lock             pid of the server")]
pub(super) struct ServeArguments {
    #[command(flatten)]
    pub(super) data: Data,
    /// UDP address for nodes, and TCP where UDP is blocked
    #[arg(long, value_name = "IP:PORT", default_value = "[::]:7443")]
    pub(super) listen: SocketAddr,
    /// TCP address of the HTTP API; port 0 for any free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7480")]
    pub(super) http: SocketAddr,
    /// Let the API, which has no TLS, listen on more than loopback
    #[arg(long)]
    pub(super) http_insecure: bool,
    /// UDP address where nodes ask what they are seen as (STUN)
    #[arg(long, value_name = "IP:PORT", default_value = "[::]:3478")]
    pub(super) stun: SocketAddr,
    /// Second UDP port for STUN, by which nodes learn what their NATs do; the next one if not given
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) stun_other_port: Option<u16>,
    /// A second address of this machine for STUN, at most one for each IP version: it tells more NATs apart
    #[arg(long, value_name = "IP")]
    pub(super) stun_other_address: Vec<IpAddr>,
    /// Run a relay (TURN) at this UDP address, for nodes without a direct path; STUN has 3478, so take another port
    /// such as 3480
    #[arg(long, value_name = "IP:PORT")]
    pub(super) relay: Option<SocketAddr>,
    #[command(flatten)]
    pub(super) relay_limits: RelayLimits,
    /// A relay elsewhere that has this coordinator's `relay-secret`; may be given several times
    #[arg(long = "other-relay", value_name = "IP:PORT")]
    pub(super) other_relays: Vec<SocketAddr>,
    /// The same by TLS over TCP, for nodes whose network lets no UDP through. FINGERPRINT is for a relay of another
    /// make: the SHA-256 of its certificate's public key (SubjectPublicKeyInfo), in hexadecimal digits. Relays of
    /// `twinmesh-coordinator relay` need none, since their key comes out of the secret
    #[arg(long = "other-relay-tls", value_name = "IP:PORT[,FINGERPRINT]", value_parser = parse_tls_relay)]
    pub(super) other_tls_relays: Vec<OtherRelay>,
    /// Name of the network; only the first start takes it
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(super) network_name: String,
    /// What nodes shall connect to; this machine's host name if not given
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(super) advertise: Option<String>,
}

/// Run a relay alone (TURN, RFC 8656), in the foreground
///
/// It carries the sealed packets of nodes that have no direct path, and can read none of them. It knows nothing of
/// the network but the secret in the coordinator's data folder, `relay-secret`: a node's credential, which the
/// coordinator makes with it, says itself where the node's packets may go.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  twinmesh-coordinator relay --listen 192.0.2.9:3478 --secret-file /etc/twinmesh/relay-secret
  twinmesh-coordinator relay --listen [::]:3478 --relay-address 192.0.2.9 --relay-address 2001:db8::9 \\
      --secret-file /etc/twinmesh/relay-secret

The coordinator tells nodes of it:
  twinmesh-coordinator serve --other-relay 192.0.2.9:3478 --other-relay-tls 192.0.2.9:3478

A coturn can serve in its place:
  turnserver --use-auth-secret --static-auth-secret=SECRET --realm=twinmesh --listening-ip=192.0.2.9

Nodes must reach its port by UDP, the same in TCP where their UDP is blocked (TLS, see --relay-tls), and UDP 49152 to
65535, where their relayed ports are. SIGTERM and SIGINT end it.")]
pub(super) struct RelayArguments {
    /// UDP address for nodes
    #[arg(long, value_name = "IP:PORT", default_value = "[::]:3478")]
    pub(super) listen: SocketAddr,
    /// File with the secret, in its first line
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: PathBuf,
    #[command(flatten)]
    pub(super) limits: RelayLimits,
}

/// What a relay gives its nodes.
#[derive(Debug, Args)]
pub(super) struct RelayLimits {
    /// Address at which relayed ports are seen; once for IPv4, once for IPv6. That of the relay's own port if not
    /// given
    #[arg(long = "relay-address", value_name = "IP")]
    pub(super) addresses: Vec<IpAddr>,
    /// TCP address for nodes whose UDP is blocked (TURN over TLS), or `none`; that of the relay's UDP port if not
    /// given. Its certificate's key comes out of the secret, so nodes know it without a certificate authority
    #[arg(long = "relay-tls", value_name = "IP:PORT", value_parser = parse_tls_at)]
    pub(super) tls: Option<TlsAt>,
    /// What one node may send, and be sent, in Mbit/s
    #[arg(long = "relay-node-rate", value_name = "MBIT", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(super) node_rate: u64,
    /// Relayed ports at one time
    #[arg(long = "relay-allocations", value_name = "NUMBER", default_value_t = 4096)]
    pub(super) allocations: usize,
    /// Relayed ports of one node at one time
    #[arg(long = "relay-node-allocations", value_name = "NUMBER", default_value_t = 4)]
    pub(super) node_allocations: usize,
}

/// Which coordinator to talk to.
#[derive(Debug, Args)]
pub(super) struct Server {
    #[command(flatten)]
    pub(super) data: Data,
    /// Its API, such as http://127.0.0.1:7480; found in the data folder if not given
    #[arg(long = "server", value_name = "URL", env = "TWINMESH_COORDINATOR_SERVER")]
    pub(super) url: Option<String>,
    /// File with the API token; found in the data folder if not given
    #[arg(long, value_name = "FILE", env = "TWINMESH_COORDINATOR_API_TOKEN_FILE")]
    pub(super) api_token: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a join token, and print the line to run on the new node
    ///
    /// A token is good for one node and one day unless told otherwise. It carries the coordinator's
    /// fingerprint, so a node cannot be led to another one. It is shown once and stored hashed.
    #[command(after_long_help = "\
Examples:
  twinmesh-coordinator token create
  twinmesh-coordinator token create --reusable --expires 7d --tag web --description 'rack 4'
  twinmesh-coordinator token create --json | jq -r .secret

JSON (--json):
  { \"token\": { \"id\", \"state\", \"reusable\", \"uses\", \"tags\", \"created_at\", \"expires_at\", … },
    \"secret\": \"tmjoin-…\", \"command\": \"twinmesh up …\" }")]
    Create {
        /// Good for any number of nodes
        #[arg(long)]
        reusable: bool,
        /// How long it is good for, such as 30m, 24h or 7d, or `never`
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_expiry)]
        expires: Expiry,
        /// Tag its nodes get; may be given several times
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        /// For whom or what
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        server: Server,
    },
    /// List join tokens
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        server: Server,
    },
    /// Revoke a join token; nodes that have joined stay
    Revoke {
        /// Its number, as `token list` shows it
        id: i64,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// List nodes
    #[command(after_long_help = "\
Examples:
  twinmesh-coordinator node list
  twinmesh-coordinator node list --json | jq -r '.nodes[] | select(.connected) | .name'")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        server: Server,
    },
    /// Show a node
    Show {
        /// Name or id
        node: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        server: Server,
    },
    /// Replace a node's tags; without any it has none
    #[command(after_long_help = "\
Examples:
  twinmesh-coordinator node tag alpha web pci
  twinmesh-coordinator node tag alpha")]
    Tag {
        /// Name or id
        node: String,
        /// All tags that it shall have
        tags: Vec<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Remove a node: its peers forget it at once
    Remove {
        /// Name or id
        node: String,
        #[command(flatten)]
        server: Server,
    },
}

/// Say what carries the traffic of two nodes, which way, and why
///
/// The protocol that is chosen for the pair and the reasons, protocols that failed and until when they are avoided, and
/// of each end the path, the NAT and what fails, as it last reported.
#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// Name or id of a node
    pub(super) one: String,
    /// Name or id of another node
    pub(super) other: String,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) server: Server,
}

#[derive(Debug, Subcommand)]
pub(super) enum PeerCommand {
    /// Add a peer, and print its wg-quick file
    ///
    /// The key is either the peer's own public key, or made here (--generate): then the file printed holds
    /// the private key, which is stored nowhere else.
    #[command(after_long_help = "\
Examples:
  twinmesh-coordinator peer add phone --generate --with alpha,beta > phone.conf
  twinmesh-coordinator peer add router --public-key xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg= \\
      --endpoint 203.0.113.7:51820 --allowed-ips 198.51.100.0/24")]
    Add {
        /// Its name in the mesh
        name: String,
        /// Its WireGuard public key
        #[arg(long, value_name = "KEY", required_unless_present = "generate", conflicts_with = "generate")]
        public_key: Option<String>,
        /// Make a key pair for it
        #[arg(long)]
        generate: bool,
        /// Where it listens, if that is fixed
        #[arg(long, value_name = "IP:PORT")]
        endpoint: Option<String>,
        /// Prefixes behind it
        #[arg(long, value_name = "PREFIX", value_delimiter = ',')]
        allowed_ips: Vec<String>,
        /// Tag; may be given several times
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        /// Agents that it shall reach; all if not given
        #[arg(long, value_name = "NODE", value_delimiter = ',')]
        with: Vec<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Print a peer's wg-quick file again, with a place for its private key
    Configuration {
        /// Name or id
        peer: String,
        /// Agents that it shall reach; all if not given
        #[arg(long, value_name = "NODE", value_delimiter = ',')]
        with: Vec<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Remove a peer
    Remove {
        /// Name or id
        peer: String,
        #[command(flatten)]
        server: Server,
    },
}

/// How long a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    Never,
    Seconds(u64),
}

fn parse_tls_relay(text: &str) -> Result<OtherRelay, String> {
    let (address, speaks) = match text.split_once(',') {
        None => (text, Speaks::Tls),
        Some((address, fingerprint)) => {
            let fingerprint: Fingerprint =
                fingerprint.parse().map_err(|error: KeyError| error.to_string())?;
            (address, Speaks::TlsWith(fingerprint))
        }
    };
    let address = address.parse().map_err(|_| format!("`{address}` is no IP:PORT"))?;
    Ok(OtherRelay { address, speaks })
}

fn parse_tls_at(text: &str) -> Result<TlsAt, String> {
    match text {
        "none" => Ok(TlsAt::Nowhere),
        address => {
            address.parse().map(TlsAt::Other).map_err(|_| format!("`{text}` is neither IP:PORT nor `none`"))
        }
    }
}

fn parse_expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry::Never);
    }
    let error = || format!("`{text}` is no time: write it as 90s, 30m, 24h or 7d, or `never`");
    let (number, unit) =
        text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(error()),
    };
    let number: u64 = number.parse().map_err(|_| error())?;
    let total = number.checked_mul(seconds).filter(|total| *total > 0).ok_or_else(error)?;
    Ok(Expiry::Seconds(total))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn expiries_have_units() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(parse_expiry(text), Ok(Expiry::Seconds(seconds)));
        }
        assert_eq!(parse_expiry("never"), Ok(Expiry::Never));
        for text in ["", "d", "1", "0s", "-1d", "1w", "99999999999999999999d", "18446744073709551615d"] {
            assert!(parse_expiry(text).is_err(), "{text}");
        }
    }
}
