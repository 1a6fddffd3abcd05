//! What happens to the mesh while its flows run: one thing after the other, again and again.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use twinmesh_lab::LinkChange;

use super::{GUEST, Pause};
use crate::policy::pair_in;
use crate::{Mesh, wait_for};

/// How long a way is lost.
const LOST: Duration = Duration::from_secs(4);
/// A guest is reached so soon after it joined.
const FIRST_PING: Duration = Duration::from_secs(15);

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disturbance {
    /// A policy moves a pair to the other engine.
    ChangeOfEngine,
    /// A guest joins, is reached by everybody, and logs out.
    GuestLogsOut,
    /// It is removed by the operator.
    GuestRemoved,
    /// It dies, and is removed.
    GuestDies,
    /// A node's cable is pulled and plugged in again.
    LinkDown,
    /// Two networks do not reach each other any more: their pairs go by relay, and back.
    DirectPathLost,
    /// A NAT forgets its mappings.
    NatForgets,
}

/// The order of a round: every kind within the first minute.
pub(super) const ROUND: [Disturbance; 12] = [
    Disturbance::ChangeOfEngine,
    Disturbance::GuestLogsOut,
    Disturbance::ChangeOfEngine,
    Disturbance::DirectPathLost,
    Disturbance::NatForgets,
    Disturbance::LinkDown,
    Disturbance::ChangeOfEngine,
    Disturbance::GuestRemoved,
    Disturbance::ChangeOfEngine,
    Disturbance::ChangeOfEngine,
    Disturbance::GuestDies,
    Disturbance::ChangeOfEngine,
];

/// The pairs that change their engine in turn.
const PAIRS: [[&str; 2]; 6] = [
    ["alpha", "beta"],
    ["gamma", "delta"],
    ["alpha", "gamma"],
    ["beta", "delta"],
    ["beta", "gamma"],
    ["alpha", "delta"],
];

/// Whose cable is pulled.
const PULLED: &str = "delta";

/// Carries the disturbances out.
pub(super) struct Disturber {
    /// Changes of engine so far.
    changes: usize,
    token: String,
}

impl Disturber {
    /// Half of the pairs in ESP to begin with.
    pub(super) fn new(mesh: &Mesh) -> Result<Self> {
        for pair in PAIRS.into_iter().step_by(2) {
            pair_in(mesh, pair, "esp")?;
        }
        Ok(Self { changes: 0, token: mesh.token(&["--reusable"])?.text })
    }

    pub(super) fn carry_out(
        &mut self,
        mesh: &mut Mesh,
        what: Disturbance,
        pause: &mut Pause<'_>,
    ) -> Result<()> {
        match what {
            Disturbance::ChangeOfEngine => self.change_engine(mesh),
            Disturbance::GuestLogsOut | Disturbance::GuestRemoved | Disturbance::GuestDies => {
                self.welcome(mesh)?;
                pause.rest(Duration::from_secs(1))?;
                farewell(mesh, what)
            }
            Disturbance::LinkDown => {
                pause.flows().excuse(PULLED);
                mesh.change_link(PULLED, LinkChange::Down)?;
                pause.rest(LOST)?;
                mesh.change_link(PULLED, LinkChange::Up)?;
                pause.flows().expect(PULLED);
                pause.rest(LOST)
            }
            Disturbance::DirectPathLost => {
                mesh.run("core", &["nft", &block()])?;
                pause.rest(LOST)?;
                mesh.run("core", &["nft", "delete table inet block"]).map(drop)
            }
            Disturbance::NatForgets => mesh.forget_nat("door"),
        }
    }

    /// Each pair in turn: the first of a pair that began in ESP goes to WireGuard.
    fn change_engine(&mut self, mesh: &Mesh) -> Result<()> {
        let (round, at) = (self.changes / PAIRS.len(), self.changes % PAIRS.len());
        let pair = PAIRS.get(at).copied().context("the remainder is within")?;
        self.changes += 1;
        let engine = if (at + round).is_multiple_of(2) { "wireguard" } else { "esp" };
        pair_in(mesh, pair, engine).with_context(|| format!("{pair:?} to {engine}"))
    }

    fn welcome(&self, mesh: &Mesh) -> Result<()> {
        mesh.run(
            GUEST,
            &["twinmesh", "up", "--coordinator", "hub", "--token", &self.token, "--hostname", GUEST],
        )?;
        let guest: IpAddr = *mesh.overlay_addresses(GUEST)?.first().context("no address")?;
        for node in super::NODES {
            mesh.pings_within(node, guest, FIRST_PING).with_context(|| format!("{node} to the guest"))?;
        }
        Ok(())
    }
}

fn farewell(mesh: &mut Mesh, how: Disturbance) -> Result<()> {
    if how == Disturbance::GuestLogsOut {
        mesh.run(GUEST, &["twinmesh", "logout"])?;
    } else {
        if how == Disturbance::GuestDies {
            mesh.kill_agent(GUEST)?;
        }
        mesh.run("hub", &["twinmesh-coordinator", "node", "remove", GUEST])?;
    }
    if how == Disturbance::GuestDies {
        mesh.start_agent(GUEST)?;
    }
    wait_for("the guest to be forgotten", Duration::from_secs(10), || {
        let peers = mesh.status("alpha").ok()?["peers"].as_array()?.clone();
        peers.iter().all(|peer| peer["name"] != GUEST).then_some(())
    })
}

/// Of `core`: nothing between beta's network and that of delta and of gamma's NAT.
fn block() -> String {
    let rules = [
        ("ip", "198.51.100.0/24", "203.0.113.0/24"),
        ("ip", "203.0.113.0/24", "198.51.100.0/24"),
        ("ip6", "2001:db8:2::/64", "2001:db8:3::/64"),
        ("ip6", "2001:db8:3::/64", "2001:db8:2::/64"),
    ];
    let rules: String = rules
        .iter()
        .map(|(family, from, to)| {
            format!("add rule inet block way {family} saddr {from} {family} daddr {to} drop; ")
        })
        .collect();
    format!(
        "add table inet block; add chain inet block way {{ type filter hook forward priority 0; }}; {rules}"
    )
}
