//! What the command line takes, and its help.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::{ArgValueCandidates, Shell};
use twinmesh_control::Preference;
use twinmesh_dataplane::Offload;

use super::bugreport::BugreportArguments;
use super::completions::peers;
use super::debug::DebugArguments;
use super::sa::SaArguments;
use super::site::SiteArguments;
use super::trace::TraceArguments;

/// Join this machine to a mesh of servers, over WireGuard.
///
/// Every machine runs the daemon, `twinmesh agent`. The other commands talk to it over a local socket. A
/// coordinator introduces the machines to each other; it never sees their traffic or their private keys.
#[derive(Debug, Parser)]
#[command(
    name = "twinmesh",
    version,
    propagate_version = false,
    disable_version_flag = false,
    arg_required_else_help = true,
    after_long_help = "\
Examples:
  twinmesh agent &                                          start the daemon
  twinmesh up --coordinator hub.example.net --token tmjoin-…  join a network
  twinmesh status                                           see peers and tunnels
  twinmesh ping alpha                                       reach another machine
  twinmesh explain alpha                                    see which way, by what, and why
  twinmesh trace alpha tcp 443                              follow a packet to there, and see what stops it
  twinmesh bugreport                                        write all of that into an archive

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
    Agent(AgentArguments),
    Up(UpArguments),
    /// Take the tunnels down; the node stays a member of its network
    ///
    /// Traffic of the mesh stops, the TUN device and its routes go. It stays so over restarts, until
    /// `twinmesh up`.
    Down {
        #[command(flatten)]
        socket: Socket,
    },
    /// Leave the network for good: tell the coordinator, forget keys and network map
    ///
    /// To join again takes a new token. Where the coordinator cannot be reached, the node forgets all the same
    /// and says how to remove it there.
    Logout {
        #[command(flatten)]
        socket: Socket,
    },
    /// Show this node, its coordinator and its peers
    #[command(after_long_help = STATUS_HELP)]
    Status {
        /// Print JSON (with --watch: one line a second)
        #[arg(long)]
        json: bool,
        /// Show it again each second, until interrupted
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        socket: Socket,
    },
    /// Say what carries the traffic to a peer, which way it goes, and why
    ///
    /// PEER is a host name of the mesh or an inner address.
    #[command(after_long_help = EXPLAIN_HELP)]
    Explain {
        /// Host name of the mesh, or inner address
        #[arg(add = ArgValueCandidates::new(peers))]
        peer: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        socket: Socket,
    },
    Trace(TraceArguments),
    Ping(PingArguments),
    /// Measure what NAT and firewall stand between this node and the others, and say what that means
    ///
    /// It asks the coordinator's STUN server, from two UDP ports of its own, and takes about three seconds.
    #[command(after_long_help = "\
Examples:
  twinmesh netcheck
  twinmesh netcheck --json | jq -r .ipv4.mapping

JSON (--json); fields may be added, none is ever renamed:
  udp         whether any server answers
  ipv4, ipv6  { mapping, filtering, hairpin, seen }, or null: no server has such an address, or no way leads there
                mapping: none | endpoint-independent | port-independent | address-dependent |
                         address-and-port-dependent | udp-blocked, or null (could not be told)
                filtering: endpoint-independent | port-independent | address-dependent |
                           address-and-port-dependent, or null
                port-independent: the port does not matter; the server has one address, so whether the address
                does is not known
                hairpin: true | false, or null (no NAT, or could not be told)
                seen: the address and port that the server saw, or null
  servers     [{ address, round_trip_ms (or null) }]
  port_mapping  { protocol: pcp | nat-pmp | upnp, or null (the router maps no port),
                outer: the router's address and port, refusal: why there is none }, or null: no router was asked
  meaning     sentences for people")]
    Netcheck {
        /// Another STUN server to ask, instead of the coordinator
        #[arg(long, value_name = "HOST:PORT")]
        server: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        socket: Socket,
    },
    /// Show which inner addresses go to which peer
    #[command(after_long_help = "\
JSON (--json): an array of
  { \"destination\": \"100.64.0.2/32\", \"peer\": \"beta\", \"id\": 2, \"state\": \"active\"|\"connecting\"|\"idle\",
    \"endpoint\": \"198.51.100.2:4500\"|null, \"problem\": null|\"why the machine does not send it into the tunnel\" }")]
    Routes {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        socket: Socket,
    },
    Sa(SaArguments),
    Site(SiteArguments),
    Debug(DebugArguments),
    Bugreport(BugreportArguments),
    /// Print the version
    Version,
    /// Print a completion script for a shell
    ///
    /// It completes commands and flags, and names of peers and sites, for which it asks the daemon.
    #[command(after_long_help = "\
Examples:
  twinmesh completions bash > /etc/bash_completion.d/twinmesh
  twinmesh completions zsh > /usr/share/zsh/site-functions/_twinmesh
  twinmesh completions fish > ~/.config/fish/completions/twinmesh.fish")]
    Completions {
        shell: Shell,
    },
}

/// Where the daemon listens if nothing else is said.
pub(super) const USUAL_SOCKET: &str = "/run/twinmesh/twinmesh.sock";

/// Where the daemon listens.
#[derive(Debug, Args)]
pub(super) struct Socket {
    /// The daemon's socket
    #[arg(long, value_name = "PATH", default_value = USUAL_SOCKET)]
    pub(super) socket: PathBuf,
}

/// Run the daemon, in the foreground
///
/// It needs root or CAP_NET_ADMIN, and /dev/net/tun. If the node was up before, its tunnels return at once
/// from the last network map, the coordinator away or not. SIGTERM and SIGINT end it in order.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  twinmesh agent
  twinmesh agent --state /srv/mesh --socket /run/mesh.sock --tun mesh1 --port 4501

As a systemd service:
  ExecStart=/usr/local/bin/twinmesh agent
  StateDirectory=twinmesh
  RuntimeDirectory=twinmesh

Environment:
  RUST_LOG  how much to log, such as `info,boringtun=off,stun_types=error` (the default) or `twinmesh_agent=debug`

Files:
  /var/lib/twinmesh               keys, coordinator, last network map (mode 0700)
  /run/twinmesh/twinmesh.sock     local socket (mode 0600)")]
pub(super) struct AgentArguments {
    /// Folder for keys, configuration and the last network map
    #[arg(long, value_name = "DIR", default_value = "/var/lib/twinmesh")]
    pub(super) state: PathBuf,
    #[command(flatten)]
    pub(super) socket: Socket,
    /// Name of the TUN device to make
    #[arg(long, value_name = "NAME", default_value = "twinmesh0")]
    pub(super) tun: String,
    /// UDP port of the tunnels; 0 for any free one
    #[arg(long, value_name = "N", default_value_t = 4500)]
    pub(super) port: u16,
    /// Threads that carry traffic; 0 for one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) workers: usize,
    /// Do without what the kernel can do for the tunnels, were it faulty: comma-separated
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(super) no_offload: Vec<NoOffload>,
    /// New keys for ESP with other agents after so long: 30s, 2m or 1h
    #[arg(long, value_name = "T", default_value = "1h", value_parser = parse_time)]
    pub(super) esp_rekey: Duration,
    /// Take SAs keyed by hand (`twinmesh sa add`): for tests and static interop only
    #[arg(long)]
    pub(super) allow_manual_sa: bool,
}

/// Work that is not to be left to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum NoOffload {
    /// None at all
    All,
    /// TCP, and with it UDP, at the TUN device: joined and cut, checksums left out
    Tcp,
    /// UDP from the TUN device: cut
    Udp,
    /// Tunnel datagrams at the UDP port
    Port,
}

impl NoOffload {
    /// What is left.
    pub(super) fn without(given: &[Self]) -> Offload {
        let may = |what| !given.contains(&what) && !given.contains(&Self::All);
        Offload { tcp: may(Self::Tcp), udp: may(Self::Tcp) && may(Self::Udp), port: may(Self::Port) }
    }
}

/// Bring the tunnels up; the first time, join a network
///
/// The first time it takes a coordinator and a join token, made there by `twinmesh-coordinator token create`.
/// The token names the coordinator's key: nobody else can pose as it. Later, `twinmesh up` alone brings the
/// tunnels up again after `twinmesh down`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  twinmesh up --coordinator hub.example.net --token tmjoin-AZ…
  twinmesh up --coordinator '[2001:db8::1]:7443' --token tmjoin-AZ… --hostname alpha
  twinmesh up
  twinmesh up --coordinator new-hub.example.net    the same coordinator at a new address
  twinmesh up --prefer esp                         ask for ESP with all peers that can have it
  twinmesh up --site branch-7.toml                 an IPsec tunnel to somebody else's router")]
pub(super) struct UpArguments {
    /// The coordinator; port 7443 if none is given
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(super) coordinator: Option<String>,
    /// The join token
    #[arg(long, value_name = "TOKEN", requires = "coordinator")]
    pub(super) token: Option<String>,
    /// Name of this node in the mesh; the machine's host name if none is given
    #[arg(long, value_name = "NAME", requires = "token")]
    pub(super) hostname: Option<String>,
    /// What to wish for the tunnels to other agents: WireGuard, whatever they wish, or ESP where they can have it
    /// and do not insist on WireGuard; it stays so until another wish
    #[arg(long, value_name = "PROTOCOL", value_parser = preference())]
    pub(super) prefer: Option<Preference>,
    /// A site that speaks IKEv2, in a TOML file, instead of a network: the same as `twinmesh site add FILE`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["coordinator", "token", "hostname", "prefer"])]
    pub(super) site: Option<PathBuf>,
    /// How long to try, such as 30s or 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time)]
    pub(super) timeout: Duration,
    #[command(flatten)]
    pub(super) socket: Socket,
}

/// Send ICMP echo requests to a peer through its tunnel
///
/// It shows what carries each, which way, and when that changes: another protocol, another path. PEER is a host name
/// of the mesh or an inner address. Exits with status 1 when nothing answered. It uses an ICMP datagram socket where
/// net.ipv4.ping_group_range allows, else a raw one (root or CAP_NET_RAW).
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  twinmesh ping alpha
  twinmesh ping alpha -c 10 -i 0.2
  twinmesh ping 100.64.0.2 --json

JSON (--json):
  peer, address  whom, and where
  protocol       wireguard | esp | none: what carries the packets at the end
  path           direct | none
  endpoint       where they go, or null
  sent, received
  replies        [{ sequence, rtt_ms, protocol, path, endpoint }]
  rtt_ms         { min, avg, max }, or null (no answer)")]
pub(super) struct PingArguments {
    /// Host name of the mesh, or overlay address
    #[arg(add = ArgValueCandidates::new(peers))]
    pub(super) peer: String,
    /// How many requests to send
    #[arg(short, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) count: u16,
    /// Seconds between two requests
    #[arg(short, value_name = "S", default_value = "1", value_parser = parse_seconds)]
    pub(super) interval: Duration,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) socket: Socket,
}

const EXPLAIN_HELP: &str = "\
Examples:
  twinmesh explain beta
  twinmesh explain 100.64.0.2 --json | jq -r '.meaning[]'

JSON (--json); fields may be added, none is ever renamed:
  address       the address that was asked for, or the peer's first
  peer          as in `twinmesh status --json`
  tags          of the peer
  compliance    whether only approved algorithms may protect the traffic
  generation    number of the coordinator's choice for this pair
  nat           { ipv4, ipv6 }: { class, filtering, hairpin } of what stands before this node, where it was measured
  peer_nat      the same of the peer
  candidates    [{ address, kind, used, problem }]: where the peer may be
                  kind: host | reflexive | mapped | configured | relayed, or null (it was heard there)
                  used: the tunnel's packets go there
                  problem: why it is never tried, or null
  history       [{ time_ms (since the Unix epoch), text }]: what happened to the tunnel, the oldest first
  meaning       sentences for people";

const STATUS_HELP: &str = "\
Examples:
  twinmesh status
  twinmesh status --watch
  twinmesh status --json | jq -r '.peers[] | select(.state==\"active\") | .name'

JSON (--json); fields may be added, none is ever renamed:
  state         running | stopped | needs-login | removed
  problem       what is wrong and what to do, or null
  version, pid  of the daemon
  name, id      of this node in the network, or null
  addresses     overlay addresses, IPv4 first
  network       { name, ipv4, ipv6 } or null
  coordinator   { address, connected, since (Unix time), last_error } or null
  revision      of the network map in force, or null
  tun           { name, mtu } or null
  port          UDP port of the tunnels, or null
  endpoints     [{ address, kind }]: where others may reach it; kind: host | reflexive | configured
  behind_nat    true | false | null (not known yet)
  preference    auto | wireguard | esp: what `up --prefer` asked for
  peers         [{ id, name, kind (agent | unmanaged), addresses, allowed_ips,
                   protocol (wireguard | esp), reasons [{ code, text }], problem (or null), endpoint,
                   mtu (longest packet that goes to it whole, or null),
                   partial_checksums { sent, taken } (of TCP and UDP, as both nodes agreed on),
                   state (active | connecting | idle), last_handshake_age_s,
                   rx_bytes, tx_bytes, rx_packets, tx_packets }]
                  a reason's code: default | prefers-esp | prefers-wireguard | no-esp | unmanaged-peer
  datagrams     { kind: received } since the tunnels came up
  drops         { reason: dropped packets }
  adjusted      { how: packets made to fit a narrow path }: inner-fragmented | outer-fragmented | mss-clamped
  calls         { call: system calls that moved packets }: tun-read | tun-write | send | receive
  workers       threads that carry traffic
  offload       what the kernel does for them: tcp (at the TUN device, a flow at once both ways), udp (from it only),
                  port (tunnel datagrams cut and joined)
  memory_kib    resident memory of the daemon, or null";

fn preference() -> impl TypedValueParser<Value = Preference> {
    PossibleValuesParser::new(["auto", "wireguard", "esp"]).map(Preference::from)
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let error = || format!("`{text}` is no time: write it as 30s, 2m or 1h");
    let (number, unit) =
        text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(error()),
    };
    let number: u64 = number.parse().map_err(|_| error())?;
    // Days make no sense here and would overflow clocks.
    let total = number.checked_mul(seconds).filter(|total| (1..=86_400).contains(total)).ok_or_else(error)?;
    Ok(Duration::from_secs(total))
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is no number of seconds"))?;
    if (0.01..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("between 0.01 and 3600 seconds".to_owned())
    }
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
    fn times_have_units() {
        for (text, seconds) in [("30s", 30), ("30", 30), ("2m", 120), ("1h", 3600)] {
            assert_eq!(parse_time(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "s", "-1s", "0s", "1d", "1.5s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
