//! Our responder beside charon's, under the same initiator: whole handshakes with a child SA, whose ESP the agent's
//! data plane and charon's `kernel-libipsec` take over. In turns, so that a busy machine hits both alike.
//!
//! Goal: not below charon.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod load;

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use load::{Outcome, PSK};
use twinmesh_e2e::{IpVersion, Mesh, wait_for};
use twinmesh_interop::strongswan::{Authentication, Charon, Child, Connection};
use twinmesh_interop::{NORTH, SOUTH, on_sites};
use twinmesh_lab::Status;

/// Who answers.
struct Responder {
    name: &'static str,
    /// In the lab.
    program: &'static str,
    start: fn(&Mesh) -> Result<()>,
}

const RESPONDERS: [Responder; 2] = [
    Responder { name: "twinmesh", program: "agent", start: start_ours },
    Responder { name: "charon", program: "charon", start: start_charon },
];
const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, marker, address] = arguments.as_slice()
        && marker == load::MARKER
    {
        let outcome = load::run(address.parse()?)?;
        println!("{}", serde_json::to_string(&outcome)?);
        return Ok(());
    }
    println!("{} handshakes a round, {} at a time", load::HANDSHAKES, load::AT_A_TIME);
    println!("responder     median handshakes/s   CPU ms for each handshake");
    let mut figures = RESPONDERS.map(|responder| (responder, Vec::new()));
    for round in 0..ROUNDS {
        for (responder, figures) in &mut figures {
            on_sites(&format!("responder-{}-{round}", responder.name), |mesh| {
                figures.push(measure(mesh, responder)?);
                Ok(())
            });
        }
    }
    for (responder, figures) in figures {
        let (rates, costs): (Vec<f64>, Vec<f64>) = figures.into_iter().unzip();
        println!("{:<12} {:>20.0} {:>27.2}", responder.name, median(rates), median(costs));
    }
    Ok(())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Handshakes a second, and the responder's CPU milliseconds for each.
fn measure(mesh: &Mesh, responder: &Responder) -> Result<(f64, f64)> {
    (responder.start)(mesh)?;
    for thread in 0..load::AT_A_TIME {
        let address = format!("192.0.2.{}/24", load::FIRST_HOST + thread);
        mesh.run(NORTH.host, &["ip", "address", "add", &address, "dev", "eth0"])?;
    }
    let address = mesh.outer_address(SOUTH.host, IpVersion::V4)?.to_string();
    let own = std::env::current_exe()?.display().to_string();
    let cpu = || cpu(mesh, responder.program);
    let before = cpu()?;
    let outcome: Outcome = serde_json::from_value(mesh.json(NORTH.host, &[&own, load::MARKER, &address])?)?;
    let used = cpu()?.saturating_sub(before);
    ensure!(outcome.established == load::HANDSHAKES, "{} of them came to their end", outcome.established);
    let count = f64::from(u32::try_from(load::HANDSHAKES)?);
    Ok((count / outcome.seconds, used.as_secs_f64() * 1000.0 / count))
}

/// User and system time of a program of the responder's host.
fn cpu(mesh: &Mesh, program: &str) -> Result<Duration> {
    let status = mesh.lab().find_host(SOUTH.host)?.program(program)?.status();
    let Some(Status::Running(process)) = status else { bail!("the responder has ended") };
    let stat = std::fs::read_to_string(process.proc("stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no process")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks =
        |index: usize| fields.get(index).context("a short line")?.parse::<u64>().map_err(anyhow::Error::from);
    // proc(5): utime and stime, in hundredths of a second.
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}

/// charon's side: whoever knows the key, each with an address of a network of their own.
fn hub() -> Connection {
    Connection {
        name: "hub".to_owned(),
        remote: "%any".to_owned(),
        local_id: "hub.example".to_owned(),
        remote_id: "%any".to_owned(),
        authentication: Authentication::Psk(PSK.to_owned()),
        postquantum: None,
        proposals: load::IKE_PROPOSAL.to_owned(),
        options: "unique = never".to_owned(),
        children: vec![Child {
            name: "net".to_owned(),
            local_ts: SOUTH.network(),
            remote_ts: "10.64.0.0/10".to_owned(),
            proposals: load::ESP_PROPOSAL.to_owned(),
            options: String::new(),
        }],
    }
}

fn start_charon(mesh: &Mesh) -> Result<()> {
    Charon::start_with(mesh, SOUTH.host, "dos_protection = no", &[hub()]).map(drop)
}

fn start_ours(mesh: &Mesh) -> Result<()> {
    let host = mesh.lab().find_host(SOUTH.host)?;
    let state = host.folder().join("state").display().to_string();
    host.spawn("agent", &["twinmesh", "agent", "--state", &state], &[])?;
    let file = format!(
        "name = \"hub\"\nremote = \"any\"\nstart = \"none\"\nproposals = [\"{}\"]\n\
         [auth]\npsk = \"{PSK}\"\nlocal_id = \"@hub.example\"\nremote_id = \"*.example\"\n\
         [[child]]\nname = \"net\"\nlocal_ts = [\"{}\"]\nremote_ts = [\"10.64.0.0/10\"]\nproposals = [\"{}\"]\n",
        load::IKE_PROPOSAL,
        SOUTH.network(),
        load::ESP_PROPOSAL
    );
    let file = mesh.write(SOUTH.host, "hub.toml", &file)?;
    wait_for("the agent to take the site", PATIENCE, || {
        mesh.run(SOUTH.host, &["twinmesh", "site", "add", &file]).ok()
    })?;
    Ok(())
}
