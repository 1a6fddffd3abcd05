//! What nodes have dropped, and which of that the run explains.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use crate::Mesh;

/// Why some packets may be dropped in such a run. What is not here is a fault.
const EXPLAINED: [(&str, &str); 19] = [
    ("multicast", "machines look for routers on every link"),
    ("no-route", "for a guest that has left"),
    ("peer-removed", "for a guest that has left"),
    ("too-big", "for a way by relay; the sender was told"),
    ("send-failed", "the cable was pulled"),
    ("no-sa", "the way was lost, and the SAs with it"),
    ("unknown-channel", "by relay, for a way that was given up"),
    ("relay-busy", "by relay"),
    ("unknown-stun", "answers to checks of ways that were given up"),
    ("forged-check", "of a way that was given up, under its old secret"),
    ("esp-behind-window", "by relay, overtaken by thousands that went directly"),
    ("esp-unknown-spi", "on its way when its SA ended"),
    ("wireguard-unknown-index", "on its way when its session ended"),
    ("wireguard-no-endpoint", "to a guest whose way was not known yet, or no longer"),
    ("wireguard-no-session", "on its way when its session ended"),
    ("wireguard-replayed-packet", "by relay, overtaken by thousands that went directly"),
    ("wireguard-unexpected-handshake", "an answer to a handshake that was begun anew"),
    ("wireguard-replayed-handshake", "a handshake came by two ways"),
    ("wireguard-unknown-peer", "of a guest that was removed"),
];
/// Of so many packets one may be dropped for any of these reasons: they are exceptions.
pub(super) const EXCEPTIONAL: u64 = 100;

/// Of one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drops {
    pub packets: u64,
    pub why: Option<&'static str>,
}

/// By reason, over all nodes.
pub(super) fn of_all(mesh: &Mesh, nodes: &[&str]) -> Result<BTreeMap<String, Drops>> {
    let mut all = BTreeMap::<String, Drops>::new();
    for node in nodes {
        let status = mesh.status(node)?;
        let drops = status["drops"].as_object().context("no drops in the status")?;
        for (reason, count) in drops {
            let packets = count.as_u64().context("drops are numbers")?;
            if packets == 0 {
                continue;
            }
            let why = EXPLAINED.iter().find(|(known, _)| known == reason).map(|(_, why)| *why);
            all.entry(reason.clone()).or_insert(Drops { packets: 0, why }).packets += packets;
        }
    }
    Ok(all)
}
