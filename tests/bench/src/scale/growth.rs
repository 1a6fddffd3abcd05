//! One series: a mesh that grows, looked at on the way.

use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;
use twinmesh_e2e::{Mesh, wait_for};
use twinmesh_lab::process::Process;

use super::{Row, flows};
use crate::candidate::manual_sa::{AES_128_GCM_16, ManualSa};
use crate::candidate::twinmesh::{AGENT, add_sas, join_both, outer};
use crate::candidate::{Tunnel, processes};
use crate::figure::{Figure, Sample};
use crate::measure::{Bench, process};
use crate::pair::{LEFT, Pair, RIGHT};
use crate::places::Places;

/// For an agent to learn of ten thousand peers.
const PATIENCE: Duration = Duration::from_mins(2);
/// What the coordinator takes for one peer.
const ROUTES_OF_A_PEER: u32 = 250;

/// What there is more and more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Series {
    IdlePeers,
    Routes,
    BusyTunnels,
}

impl Series {
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::IdlePeers => "idle peers",
            Self::Routes => "routes",
            Self::BusyTunnels => "busy tunnels",
        }
    }

    /// The counts in ascending order, all in one mesh; tells each row as it is there.
    pub(super) fn measure(
        self,
        places: &Places,
        counts: &[u32],
        seconds: u16,
        mut seen: impl FnMut(Row),
    ) -> Result<()> {
        let pair = Pair::up(&places.programs)?;
        let addresses = join_both(&pair, places)?;
        let processes = processes(&pair, AGENT)?;
        let left = *processes.first().context("no agent")?;
        let tunnel = Tunnel { from: addresses[0], to: addresses[1], processes };
        let mut there = 0;
        for &count in counts {
            self.grow(pair.mesh(), addresses, there, count).with_context(|| format!("growing to {count}"))?;
            there = count;
            let (rss_kb, idle_cpu_percent) = at_rest(left, seconds)?;
            let bench = Bench { mesh: pair.mesh(), tunnel: &tunnel, seconds };
            let mut sample: Sample = bench.ping_idle()?.into_iter().collect();
            let busy = if self == Self::BusyTunnels {
                flows::measure(&bench, &(0..count).map(target).collect::<Vec<_>>())?
            } else {
                bench.tcp_with_cost()?
            };
            sample.extend(busy);
            let figure = |figure| sample.get(&figure).copied().context("not measured");
            seen(Row {
                series: self,
                count,
                rss_kb,
                idle_cpu_percent,
                ping_ms: figure(Figure::Ping)?,
                tcp1: figure(Figure::Tcp1)?,
                cpu_s_per_gb: figure(Figure::Cpu)?,
            });
        }
        Ok(())
    }

    fn grow(self, mesh: &Mesh, inner: [IpAddr; 2], from: u32, to: u32) -> Result<()> {
        match self {
            Self::IdlePeers => add_peers(mesh, from, to, 0),
            Self::Routes => {
                let peers = |routes: u32| routes.div_ceil(ROUTES_OF_A_PEER);
                add_peers(mesh, peers(from), peers(to), ROUTES_OF_A_PEER)
            }
            Self::BusyTunnels => {
                let outer = outer(mesh)?;
                let sas = (from..to).map(|number| {
                    let selectors = [inner[0], target(number)];
                    ManualSa { number, suite: AES_128_GCM_16, outer, selectors }
                });
                for number in from..to {
                    let address = format!("{}/32", target(number));
                    mesh.run(RIGHT, &["ip", "address", "add", &address, "dev", "lo"])?;
                }
                add_sas(mesh, &sas.collect::<Vec<_>>())
            }
        }
    }
}

/// An address of right's behind a tunnel of its own.
fn target(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 1, 1).to_bits() + number).into()
}

/// Peers that speak only WireGuard, each with so many prefixes behind it; until left knows them.
fn add_peers(mesh: &Mesh, from: u32, to: u32, prefixes: u32) -> Result<()> {
    if from == to {
        return Ok(());
    }
    let folder = mesh.lab().find_host(RIGHT)?.folder().join("coordinator/api-token").display().to_string();
    let [from, all, prefixes] = [from, to, prefixes].map(|number| number.to_string());
    mesh.run(RIGHT, &["python3", "-c", ADD_PEERS, &folder, &from, &all, &prefixes])?;
    // Right's agent beside them.
    let wanted = usize::try_from(to)? + 1;
    wait_for("the agent to know its peers", PATIENCE, || {
        let status = mesh.status(LEFT).ok()?;
        (status["peers"].as_array()?.len() == wanted).then_some(())
    })
}

/// One after the other over one connection: the API-token's file, first and last peer, prefixes of each.
const ADD_PEERS: &str = "
import base64, http.client, json, os, sys
token = open(sys.argv[1]).read().strip()
first, end, prefixes = map(int, sys.argv[2:])
api = http.client.HTTPConnection('127.0.0.1', 7480)
for peer in range(first, end):
    behind = [peer * prefixes + number for number in range(prefixes)]
    body = {'name': f'peer-{peer}', 'wireguard_key': base64.b64encode(os.urandom(32)).decode(),
            'allowed_ips': [f'198.{19 + (net >> 16)}.{net >> 8 & 255}.{net & 255}/32' for net in behind]}
    api.request('POST', '/api/v1/peers', json.dumps(body),
                {'Authorization': f'Bearer {token}', 'Content-Type': 'application/json'})
    answer = api.getresponse()
    said = answer.read()
    if answer.status != 201:
        sys.exit(f'{answer.status}: {said.decode()}')
";

/// Resident memory in kB, and the share of a core in percent, once what came before is dealt with.
fn at_rest(agent: Process, seconds: u16) -> Result<(f64, f64)> {
    /// Of one core, over a second.
    const BUSY: f64 = 0.5;
    wait_for("the agent to be at rest", PATIENCE, || {
        (share(agent, Duration::from_secs(1)).ok()? < BUSY).then_some(())
    })?;
    let share = share(agent, Duration::from_secs(seconds.into()))?;
    Ok((process::memory_kb(agent)?, share * 100.0))
}

/// What it takes of one core within that time.
fn share(agent: Process, time: Duration) -> Result<f64> {
    let (start, before) = (Instant::now(), process::cpu_seconds(&[agent])?);
    thread::sleep(time);
    Ok((process::cpu_seconds(&[agent])? - before) / start.elapsed().as_secs_f64())
}
