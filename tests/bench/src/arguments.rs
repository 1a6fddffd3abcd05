//! What the command line takes, and its help.

use clap::{Args, Parser, Subcommand};

use crate::candidate::Candidate;

/// Measure twinmesh beside its peers on this machine
///
/// Two network namespaces, joined by a cable, stand for two machines; both ends of every tunnel share this machine's
/// cores. Nothing leaves it. Compare figures of one run only: they differ from machine to machine, and from hour to hour.
#[derive(Debug, Parser)]
#[command(
    name = "twinmesh-bench",
    version,
    arg_required_else_help = true,
    after_long_help = "\
Exit status:
  0  done
  1  failed, or nothing could be measured; standard error says why
  2  bad usage"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(RunArguments),
    Scale(ScaleArguments),
    Flows(FlowsArguments),
}

/// Measure tunnels in turn: throughput, latency, processor time, memory
///
/// Each candidate is brought up, measured and taken down, all of them once in each round. Shown are medians over the
/// rounds. A candidate whose program is not there is left out and named with the reason; `make bench` installs what it
/// can. It takes about 6 × SECONDS + 8 s for each candidate and round.
#[derive(Debug, Args)]
#[command(after_long_help = RUN_HELP)]
pub(crate) struct RunArguments {
    /// Only these candidates
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_enum)]
    pub(crate) only: Vec<Candidate>,
    /// Seconds of each throughput test
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=60))]
    pub(crate) seconds: u16,
    /// How often each candidate is measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub(crate) rounds: u16,
    /// Count system calls too, by `perf`, in a TCP test of their own
    #[arg(long)]
    pub(crate) syscalls: bool,
    /// Print the report as JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show how an agent's cost grows with its peers, routes and busy tunnels
///
/// Two agents; the left one is looked at. Idle peers are such as speak only WireGuard and never speak; routes are
/// prefixes behind them. Busy tunnels are pairs of SAs (ESP, aes128gcm16) with one TCP stream each. Traffic of the first
/// two series is one TCP stream between the agents, by WireGuard.
#[derive(Debug, Args)]
#[command(after_long_help = SCALE_HELP)]
pub(crate) struct ScaleArguments {
    /// Idle peers
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_values_t = [0, 1, 10, 100, 1_000, 10_000],
        value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) peers: Vec<u32>,
    /// Routes, in steps of 250
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_values_t = [0, 1_000, 10_000],
        value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub(crate) routes: Vec<u32>,
    /// Busy tunnels
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_values_t = [1, 10, 100],
        value_parser = clap::value_parser!(u32).range(1..=250))]
    pub(crate) busy: Vec<u32>,
    /// Seconds of each throughput test, and of looking at an agent at rest
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=60))]
    pub(crate) seconds: u16,
    /// Print the report as JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// A part of `scale`, in one of its hosts: TCP streams to several addresses at once
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct FlowsArguments {
    /// Take what comes, on all addresses, until it is ended
    #[arg(long, conflicts_with_all = ["seconds", "to"])]
    pub(crate) serve: bool,
    #[arg(long, default_value_t = 3)]
    pub(crate) seconds: u16,
    /// One stream to each
    pub(crate) to: Vec<std::net::IpAddr>,
}

const SCALE_HELP: &str = "\
Written to target/bench, and printed: scale.md, and scale.json (fields may be added, none is ever renamed):
  date, revision, machine, seconds
                   as in report.json
  rows             [{ series, count, rss_kb, idle_cpu_percent, ping_ms, tcp1, cpu_s_per_GB }]
    series         idle-peers | routes | busy-tunnels
    rss_kb         resident memory of the left agent, at rest
    idle_cpu_percent
                   of one core, that the left agent takes at rest
    ping_ms, tcp1, cpu_s_per_GB
                   as in report.json; of busy tunnels tcp1 is the sum of all streams
  goals            [{ name, measured, wanted, reached }]: memory and peers, as far as they were measured
  problems         rows that could not be measured

Examples:
  twinmesh-bench scale
  twinmesh-bench scale --peers 0,10000 --routes 0 --busy 1";

const RUN_HELP: &str = "\
Candidates:
  veth                           no tunnel: the bound of the machine
  twinmesh-null                  twinmesh's ESP framing without cryptography: the bound of its own I/O path; it needs
                                 an agent built with the feature `null`, below target/bench-null
  twinmesh-wireguard             two agents and a coordinator
  twinmesh-esp-aes128gcm16       the same agents, with SAs keyed by hand
  twinmesh-esp-chacha20poly1305
  wireguard-go                   the newest that Debian has for this release: target/bench/peers, else PATH
  boringtun, gotatun             boringtun-cli and gotatun-cli
  strongswan-libipsec            charon with its user-space ESP (kernel-libipsec), aes128gcm16

Written to target/bench, and printed: report.md, and report.json (fields may be added, none is ever renamed):
  date, revision       of the run; git's revision of the source, with -dirty if it was changed
  machine              { cpu, cores, kernel, memory_kb }
  seconds, rounds      as given
  results              one for each candidate: medians
    name, version
    tcp1, tcp4         Gb/s of TCP by 1 and by 4 streams, as received
    tcp1_reverse       from right to left
    udp_gbps, udp_lost_percent
                       1,200-byte datagrams as fast as iperf3 sends: Gb/s of payload received
    udp_small_gbps, udp_small_lost_percent
                       200-byte datagrams
    ping_ms            median round trip of an idle tunnel
    ping_load_p50_ms, ping_load_p99_ms
                       round trips of 200 pings, 5 ms apart, beside a TCP stream
    cpu_s_per_GB       user and system time of both ends' tunnel processes, for 10^9 bytes of the tcp1 test
    rss_kb             peak resident memory, of the end that had more
    syscalls_per_GB    with --syscalls: of both ends
    spread             { figure: [lowest, highest] } over the rounds
  goals                [{ name, measured, wanted, reached }]: ratios that the design asks for, of what was measured
  left_out             [{ name, reason }]
  problems             measurements that failed

Examples:
  make bench
  twinmesh-bench run --only twinmesh-wireguard,wireguard-go --seconds 5 --rounds 5
  twinmesh-bench run --json | jq -r '.results[] | [.name, .tcp1] | @tsv'";
