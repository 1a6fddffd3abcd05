//! Our relay beside coturn, under the same load: pairs of clients that send sealed-size packets to each other over
//! channels, the relay on one core and the load on another. In turns, so that a busy machine hits both alike.
//!
//! Goal: ≥ 2 Gb/s for one pair, and ahead of coturn.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod client;
mod load;

use std::net::SocketAddr;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use load::{Leave, Outcome, SECRET};
use twinmesh_e2e::{IpVersion, Mesh, on_scenario, wait_for};

const ROUNDS: usize = 5;
const PAIRS: [usize; 2] = [1, 100];
const PATIENCE: Duration = Duration::from_secs(15);
/// The relay's core, and the load's.
const CORES: [&str; 2] = ["0", "1"];

/// Who relays.
#[derive(Clone, Copy)]
enum Server {
    Ours,
    Coturn,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "twinmesh",
            Self::Coturn => "coturn",
        }
    }
}

/// Of one round.
struct Figures {
    gigabits: f64,
    cpu_per_gigabyte: f64,
    lost: f64,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, marker, relay, pairs, leave] = arguments.as_slice()
        && marker == load::MARKER
    {
        let outcome = load::run(relay.parse()?, pairs.parse()?, leave)?;
        println!("{}", serde_json::to_string(&outcome)?);
        return Ok(());
    }
    println!("{} s a round, {ROUNDS} rounds, packets of {} bytes", load::SECONDS, load::PAYLOAD);
    println!("| relay | pairs | datagrams leave | Gb/s | CPU s for each GB | lost |");
    println!("|---|---|---|---|---|---|");
    for pairs in PAIRS {
        for leave in Leave::BOTH {
            compare(pairs, leave);
        }
    }
    Ok(())
}

/// Medians of both servers, whose rounds are in turns.
fn compare(pairs: usize, leave: Leave) {
    let mut rounds = [Server::Ours, Server::Coturn].map(|server| (server, Vec::new()));
    for round in 0..ROUNDS {
        for (server, figures) in &mut rounds {
            let name = format!("bench-{}-{pairs}-{}-{round}", server.name(), leave.name());
            on_scenario("relay-bench.toml", &name, |mesh| {
                figures.push(measure(mesh, *server, pairs, leave)?);
                Ok(())
            });
        }
    }
    for (server, figures) in rounds {
        let of = |figure: fn(&Figures) -> f64| median(figures.iter().map(figure).collect());
        println!(
            "| {} | {pairs} | {} | {:.2} | {:.2} | {:.2} % |",
            server.name(),
            leave.name(),
            of(|figures| figures.gigabits),
            of(|figures| figures.cpu_per_gigabyte),
            of(|figures| figures.lost),
        );
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn measure(mesh: &Mesh, server: Server, pairs: usize, leave: Leave) -> Result<Figures> {
    let relay = Relay::start(mesh, server)?;
    let process = relay.process()?;
    let own = std::env::current_exe()?.display().to_string();
    let (at, pairs) = (relay.at.to_string(), pairs.to_string());
    let before = relay.cpu(&process)?;
    let outcome: Outcome = serde_json::from_value(
        mesh.json("load", &["taskset", "-c", CORES[1], &own, load::MARKER, &at, &pairs, leave.name()])?,
    )?;
    let used = relay.cpu(&process)?.saturating_sub(before);
    ensure!(outcome.received > 0.0, "nothing came through");
    Ok(Figures {
        gigabits: outcome.received * 8.0 / outcome.seconds / 1e9,
        cpu_per_gigabyte: used.as_secs_f64() * 1e9 / (outcome.received + outcome.warm_up),
        lost: 100.0 * (1.0 - outcome.received / outcome.sent),
    })
}

struct Relay<'a> {
    mesh: &'a Mesh,
    program: Child,
    at: SocketAddr,
}

impl<'a> Relay<'a> {
    fn start(mesh: &'a Mesh, server: Server) -> Result<Self> {
        let address = mesh.outer_address("hub", IpVersion::V4)?;
        let at = SocketAddr::new(address, 3478);
        let secret = mesh.write("hub", "relay-secret", &format!("{SECRET}\n"))?;
        let (listen, ip) = (at.to_string(), address.to_string());
        let command: Vec<&str> = match server {
            Server::Ours => vec![
                "twinmesh-coordinator",
                "relay",
                "--listen",
                &listen,
                "--secret-file",
                &secret,
                "--relay-node-rate",
                "1000000",
            ],
            Server::Coturn => vec![
                "turnserver",
                "-n",
                "--no-tls",
                "--no-dtls",
                "--no-cli",
                "--use-auth-secret",
                "--realm=twinmesh",
                "--static-auth-secret",
                SECRET,
                "--listening-ip",
                &ip,
                "--relay-ip",
                &ip,
                // Threads that relay; there is one core.
                "-m",
                "1",
            ],
        };
        let program = mesh.spawn("hub", &[&["taskset", "-c", CORES[0]], &command[..]].concat())?;
        let relay = Self { mesh, program, at };
        wait_for("the relay to listen", PATIENCE, || {
            let listening = mesh.run("hub", &["ss", "-Hulnp", "sport = :3478"]).ok()?;
            (!listening.trim().is_empty()).then_some(())
        })?;
        Ok(relay)
    }

    /// The number that the relay's own process has in the lab: the one that was started is the way into it.
    fn process(&self) -> Result<String> {
        let listening = self.mesh.run("hub", &["ss", "-Hulnp", "sport = :3478"])?;
        let (_, from) = listening.split_once("pid=").with_context(|| format!("no process: {listening}"))?;
        Ok(from.chars().take_while(char::is_ascii_digit).collect())
    }

    /// User and system time.
    fn cpu(&self, process: &str) -> Result<Duration> {
        let stat = self.mesh.run("hub", &["cat", &format!("/proc/{process}/stat")])?;
        let (_, fields) = stat.rsplit_once(')').context("no process")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |index: usize| {
            fields.get(index).context("a short line")?.parse::<u64>().map_err(anyhow::Error::from)
        };
        // proc(5): utime and stime, in hundredths of a second.
        Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
    }
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        // One that has ended already is gone.
        self.program.kill().ok();
        self.program.wait().ok();
    }
}
