//! An end moves, or its NAT maps it anew, under traffic (RFC 4555).

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use twinmesh_e2e::{IpVersion, Mesh};
use twinmesh_interop::strongswan::Connection;
use twinmesh_interop::{NORTH, SOUTH, Site, on_sites};

use crate::ours::{Ours, Start};
use crate::pair::{answering, connection};

const PATIENCE: Duration = Duration::from_secs(10);

/// twinmesh at both sites.
fn joined(
    mesh: &Mesh,
    [first, second]: [Site; 2],
    change: impl Fn(&mut Connection),
) -> Result<[Ours<'_>; 2]> {
    let mut theirs = answering(mesh, second, first)?;
    let mut mine = connection(mesh, first, second)?;
    change(&mut theirs);
    change(&mut mine);
    let answering = Ours::start(mesh, second)?;
    answering.add(&theirs, Start::Answer)?;
    let initiating = Ours::start(mesh, first)?;
    initiating.add(&mine, Start::Initiate)?;
    initiating.settles_with(1)?;
    answering.settles_with(1)?;
    Ok([initiating, answering])
}

fn spis(state: &Value) -> [&Value; 3] {
    let (ike, child) = (&state["ike_sa"], &state["children"][0]);
    [&ike["initiator_spi"], &child["spi_in"], &child["spi_out"]]
}

/// Waits until an end sees the other there.
fn sees(ours: &Ours<'_>, address: IpAddr) -> Result<Value> {
    ours.is_within(PATIENCE, &format!("the peer at {address}"), |state| {
        state["remote"].as_str().is_some_and(|remote| remote.starts_with(&format!("{address}:")))
    })
}

#[test]
fn either_end_moves_under_traffic_and_the_same_sas_go_on() {
    on_sites("ike-move", |mesh| {
        let [initiating, answering] = joined(mesh, [NORTH, SOUTH], |_| ())?;
        let before = initiating.state()?;
        let stream = mesh.ping_in_background(NORTH.host, SOUTH.inner.into(), Duration::from_secs(12))?;
        mesh.move_node(NORTH.host)?;
        sees(&answering, mesh.outer_address(NORTH.host, IpVersion::V4).map(moved)?)?;
        mesh.move_node(SOUTH.host)?;
        let after = sees(&initiating, mesh.outer_address(SOUTH.host, IpVersion::V4).map(moved)?)?;
        ensure!(spis(&before) == spis(&after), "{before}\n{after}");
        let report = stream.finish()?;
        // What is on its way while an address goes is lost with it.
        ensure!(report.sent > 100 && report.lost <= 15, "{report:?}");
        NORTH.ping(mesh, SOUTH, 10)?;
        SOUTH.ping(mesh, NORTH, 10)
    });
}

/// As `Mesh::move_node` does it.
fn moved(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            IpAddr::from([a, b, c, 77])
        }
        IpAddr::V6(_) => address,
    }
}
