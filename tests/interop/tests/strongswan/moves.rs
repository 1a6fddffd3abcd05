//! An end whose address changes, by its own move (MOBIKE, RFC 4555) or by its NAT's.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use twinmesh_e2e::{Mesh, wait_for};
use twinmesh_interop::strongswan::{Charon, Version};
use twinmesh_interop::{BARN, NORTH, SOUTH, Site, on_sites};

use crate::ours::{Ours, Start};
use crate::pair::{answering, connection};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn our_address_changes_and_the_ike_sa_moves_along() {
    on_sites("ike-mobike-ours", |mesh| {
        let charon = Charon::start(mesh, SOUTH.host, &[connection(mesh, SOUTH, NORTH)?])?;
        let ours = Ours::start(mesh, NORTH)?;
        ours.add(&connection(mesh, NORTH, SOUTH)?, Start::Initiate)?;
        ours.settles_with(1)?;
        let spis = charon.ike_spis()?;
        mesh.move_node(NORTH.host)?;
        knows(&charon, "192.0.2.77").with_context(|| ours.log())?;
        NORTH.reaches_within(mesh, SOUTH, PATIENCE)?;
        NORTH.ping(mesh, SOUTH, 5)?;
        ensure!(charon.ike_spis()? == spis, "another IKE SA: {}", charon.sas()?);
        charon.rekey_child("net")?;
        SOUTH.ping(mesh, NORTH, 5)
    });
}

#[test]
fn charon_moves_to_another_address_and_ours_follows() {
    on_sites("ike-mobike-theirs", |mesh| {
        let (waiting, asking) = (answering(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?);
        let charon = Charon::start_version(mesh, SOUTH.host, Version::Trixie, "", &[asking])?;
        let ours = Ours::start(mesh, NORTH)?;
        ours.add(&waiting, Start::Answer)?;
        charon.initiate("net").with_context(|| ours.log())?;
        ours.settles_with(1)?;
        let spis = charon.ike_spis()?;
        mesh.move_node(SOUTH.host)?;
        // It tries all pairs of addresses at once, and takes that of IPv6 if its answer comes first.
        let moved = |state: &serde_json::Value| {
            ["198.51.100.77:4500", "[2001:db8:2::77]:4500"].iter().any(|address| state["remote"] == *address)
        };
        ours.is_within(PATIENCE, "the new address", moved).with_context(|| charon.log())?;
        NORTH.reaches_within(mesh, SOUTH, PATIENCE)?;
        SOUTH.ping(mesh, NORTH, 5)?;
        ensure!(charon.ike_spis()? == spis, "another IKE SA: {}", charon.sas()?);
        Ok(())
    });
}

#[test]
fn our_nat_gives_us_another_port_and_charon_learns_it() {
    on_sites("ike-nat-change-ours", |mesh| {
        let charon =
            Charon::start_version(mesh, SOUTH.host, Version::Trixie, "", &[answering(mesh, SOUTH, BARN)?])?;
        let ours = Ours::start(mesh, BARN)?;
        let mut mine = connection(mesh, BARN, SOUTH)?;
        mine.options = "dpd_delay = \"2s\"".to_owned();
        ours.add(&mine, Start::Initiate)?;
        ours.settles_with(1)?;
        BARN.ping(mesh, SOUTH, 2)?;
        let spis = charon.ike_spis()?;
        remap(mesh, BARN)?;
        knows(&charon, "40404]").with_context(|| ours.log())?;
        BARN.reaches_within(mesh, SOUTH, PATIENCE)?;
        SOUTH.ping(mesh, BARN, 5)?;
        ensure!(charon.ike_spis()? == spis, "another IKE SA: {}", charon.sas()?);
        Ok(())
    });
}

#[test]
fn the_nat_of_charon_gives_it_another_port_and_ours_follows() {
    on_sites("ike-nat-change-theirs", |mesh| {
        let charon = Charon::start(mesh, BARN.host, &[connection(mesh, BARN, SOUTH)?])?;
        let ours = Ours::start(mesh, SOUTH)?;
        ours.add(&answering(mesh, SOUTH, BARN)?, Start::Answer)?;
        charon.initiate("net").with_context(|| ours.log())?;
        ours.settles_with(1)?;
        BARN.ping(mesh, SOUTH, 2)?;
        let spis = charon.ike_spis()?;
        remap(mesh, BARN)?;
        // Its ESP is what comes from the new port, and shows it.
        BARN.reaches_within(mesh, SOUTH, PATIENCE).with_context(|| ours.log())?;
        SOUTH.ping(mesh, BARN, 5)?;
        ensure!(charon.ike_spis()? == spis, "another IKE SA: {}", charon.sas()?);
        let state = ours.state()?;
        ensure!(state["children"].as_array().map(Vec::len) == Some(1), "{state}");
        Ok(())
    });
}

/// Waits until charon's IKE SA names this part of the peer's address.
fn knows(charon: &Charon<'_>, address: &str) -> Result<()> {
    wait_for(&format!("charon to know {address}"), PATIENCE, || {
        charon.sas().ok()?.contains(address).then_some(())
    })
    .with_context(|| format!("{:?}\n{}", charon.sas(), charon.log()))
}

/// The site's NAT loses its mappings, and gives the port of IKE another outer one from now on.
fn remap(mesh: &Mesh, site: Site) -> Result<()> {
    let gateway = site.gateway.context("no gateway")?;
    // In another zone of conntrack no flow is known; the first rule that sets one counts.
    let rules = "table ip remap {
        chain zone_in { type filter hook prerouting priority raw - 1; ct zone set 99; }
        chain zone_out { type filter hook output priority raw - 1; ct zone set 99; }
        chain post { type nat hook postrouting priority srcnat - 1; oifname wan udp sport 4500 masquerade to :40404; }
        }";
    mesh.run(gateway, &["nft", rules]).map(drop)
}
