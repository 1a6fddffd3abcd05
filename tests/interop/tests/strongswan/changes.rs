//! SAs that are renewed, deleted or lost under traffic.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use twinmesh_e2e::{Mesh, wait_for};
use twinmesh_interop::strongswan::{Charon, Connection, Version};
use twinmesh_interop::{NORTH, SOUTH, on_sites, on_sites_with_each_version};

use crate::ours::{Ours, Start};
use crate::pair::connection;

const PATIENCE: Duration = Duration::from_secs(5);

/// Both sides up, and our connection changed by `change`.
fn joined(
    mesh: &Mesh,
    version: Version,
    mine: impl Fn(&mut Connection),
    theirs: impl Fn(&mut Connection),
) -> Result<(Ours<'_>, Charon<'_>)> {
    let mut connections = [connection(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?];
    mine(&mut connections[0]);
    theirs(&mut connections[1]);
    let charon = Charon::start_version(mesh, SOUTH.host, version, "", &connections[1..])?;
    let ours = Ours::start(mesh, NORTH)?;
    ours.add(&connections[0], Start::Initiate)?;
    ours.settles_with(1)?;
    Ok((ours, charon))
}

#[test]
fn charon_rekeys_child_and_ike_sa_under_traffic_and_no_packet_is_lost() {
    on_sites_with_each_version("ike-rekey-theirs", |mesh, version| {
        let (ours, charon) = joined(mesh, version, |_| (), |_| ())?;
        let stream = mesh.ping_in_background(NORTH.host, SOUTH.inner.into(), Duration::from_secs(14))?;
        for _ in 0..3 {
            let (old, old_ike) = (ours.state()?, charon.ike_spis()?);
            charon.rekey_child("net")?;
            ours.is_within(PATIENCE, "a new child", |state| spi(state) != spi(&old))?;
            charon.swanctl(&["--rekey", "--ike", NORTH.host])?;
            ike_spis_change(&charon, &old_ike, PATIENCE)?;
            charon.settles_with(1)?;
            // charon writes them as 0123456789abcdef_i* fedcba9876543210_r.
            let theirs = charon.ike_spis()?;
            ours.is_within(PATIENCE, "the new IKE SA", |state| {
                let sa = &state["ike_sa"];
                let spis =
                    [&sa["initiator_spi"], &sa["responder_spi"]].map(|spi| spi.as_str().unwrap_or("-"));
                spis.iter().all(|spi| theirs.contains(spi)) && sa["initiator"] == false
            })?;
        }
        let report = stream.finish()?;
        ensure!(report.sent > 120 && report.lost == 0, "{report:?}");
        ours.settles_with(1)?;
        NORTH.iperf(mesh, SOUTH)
    });
}

fn spi(state: &serde_json::Value) -> &serde_json::Value {
    &state["children"][0]["spi_in"]
}

fn ike_spis_change(charon: &Charon<'_>, old: &str, deadline: Duration) -> Result<()> {
    wait_for("a new IKE SA", deadline, || (charon.ike_spis().ok()? != old).then_some(()))
}

#[test]
fn we_rekey_child_and_ike_sa_by_time_under_traffic_and_no_packet_is_lost() {
    on_sites("ike-rekey-ours", |mesh| {
        let often = |connection: &mut Connection| {
            connection.options = "rekey_time = \"10s\"".to_owned();
            connection.children[0].options = "rekey_time = \"4s\"".to_owned();
        };
        let (ours, charon) = joined(mesh, Version::OfMachine, often, |_| ())?;
        let (old, old_ike) = (ours.state()?, charon.ike_spis()?);
        let stream = mesh.ping_in_background(SOUTH.host, NORTH.inner.into(), Duration::from_secs(25))?;
        ours.is_within(2 * PATIENCE, "a new child", |state| spi(state) != spi(&old))?;
        ike_spis_change(&charon, &old_ike, 3 * PATIENCE)?;
        let report = stream.finish()?;
        ensure!(report.sent > 200 && report.lost == 0, "{report:?}");
        ours.settles_with(1)?;
        charon.settles_with(1)
    });
}

#[test]
fn both_rekey_all_the_time_and_one_tunnel_remains() {
    on_sites_with_each_version("ike-rekey-both", |mesh, version| {
        let often = |connection: &mut Connection| {
            connection.options = "rekey_time = \"5s\"".to_owned();
            connection.children[0].options = "rekey_time = \"3s\"".to_owned();
        };
        let theirs = |connection: &mut Connection| {
            connection.options = "rekey_time = 5s\n over_time = 60s\n rand_time = 1s".to_owned();
            connection.children[0].options = "rekey_time = 3s\n life_time = 60s\n rand_time = 1s".to_owned();
        };
        let (ours, charon) = joined(mesh, version, often, theirs)?;
        let stream = mesh.ping_in_background(SOUTH.host, NORTH.inner.into(), Duration::from_secs(30))?;
        let report = stream.finish()?;
        ensure!(report.sent > 250 && report.lost == 0, "{report:?}");
        ours.settles_with(1)?;
        charon.settles_with(1)
    });
}

#[test]
fn charon_reauthenticates_under_traffic_and_no_packet_is_lost() {
    on_sites("ike-reauth-theirs", |mesh| {
        let mut theirs = connection(mesh, SOUTH, NORTH)?;
        theirs.options = "reauth_time = 5s\n rekey_time = 0s\n over_time = 60s\n rand_time = 0s".to_owned();
        let softly = "make_before_break = yes";
        let charon = Charon::start_version(mesh, SOUTH.host, Version::Trixie, softly, &[theirs])?;
        let ours = Ours::start(mesh, NORTH)?;
        ours.add(&connection(mesh, NORTH, SOUTH)?, Start::Answer)?;
        charon.initiate("net").with_context(|| ours.log())?;
        ours.settles_with(1)?;
        let old = charon.ike_spis()?;
        let stream = mesh.ping_in_background(SOUTH.host, NORTH.inner.into(), Duration::from_secs(13))?;
        ike_spis_change(&charon, &old, 2 * PATIENCE)?;
        let report = stream.finish()?;
        ensure!(report.sent > 110 && report.lost == 0, "{report:?}");
        // Neither end has kept the old one.
        charon.settles_with(1)?;
        ours.settles_with(1)?;
        let log = charon.log();
        ensure!(log.contains("reauthenticating IKE_SA"), "{log}");
        Ok(())
    });
}

#[test]
fn we_reauthenticate_under_traffic_and_no_packet_is_lost() {
    on_sites("ike-reauth-ours", |mesh| {
        let often = |connection: &mut Connection| connection.options = "reauth_time = \"5s\"".to_owned();
        let (ours, charon) = joined(mesh, Version::OfMachine, often, |_| ())?;
        let old = charon.ike_spis()?;
        let stream = mesh.ping_in_background(SOUTH.host, NORTH.inner.into(), Duration::from_secs(13))?;
        ike_spis_change(&charon, &old, 2 * PATIENCE)?;
        let report = stream.finish()?;
        ensure!(report.sent > 110 && report.lost == 0, "{report:?}");
        ours.settles_with(1)?;
        charon.settles_with(1)
    });
}

#[test]
fn either_side_ends_the_tunnel_and_the_other_follows() {
    on_sites_with_each_version("ike-delete", |mesh, version| {
        let (ours, charon) = joined(mesh, version, |_| (), |_| ())?;
        ours.remove(SOUTH.host)?;
        charon.is_empty_within(PATIENCE)?;
        SOUTH.does_not_reach(mesh, NORTH)?;

        ours.add(&connection(mesh, NORTH, SOUTH)?, Start::Answer)?;
        charon.initiate("net")?;
        NORTH.ping(mesh, SOUTH, 2)?;
        charon.swanctl(&["--terminate", "--child", "net"])?;
        ours.settles_with(0)?;
        NORTH.does_not_reach(mesh, SOUTH)?;
        // The IKE SA stayed, and carries another child.
        charon.initiate("net")?;
        ours.settles_with(1)?;
        NORTH.ping(mesh, SOUTH, 2)?;
        charon.swanctl(&["--terminate", "--ike", NORTH.host])?;
        ours.is_within(PATIENCE, "the site to be idle", |state| state["ike_sa"].is_null())?;
        NORTH.does_not_reach(mesh, SOUTH)
    });
}

#[test]
fn a_peer_that_restarts_replaces_what_we_had_with_it() {
    on_sites("ike-restart", |mesh| {
        let (ours, charon) = joined(mesh, Version::OfMachine, |_| (), |_| ())?;
        let old = ours.state()?;
        charon.kill()?;
        charon.restart()?;
        charon.initiate("net")?;
        ours.is_within(PATIENCE, "the new child alone", |state| {
            state["state"] == "established"
                && spi(state) != spi(&old)
                && state["children"].as_array().map(Vec::len) == Some(1)
        })?;
        NORTH.ping(mesh, SOUTH, 5)
    });
}

/// Takes three minutes: all retransmissions are waited for.
#[test]
fn a_peer_that_dies_is_noticed_and_found_again_when_it_returns() {
    on_sites("ike-dpd", |mesh| {
        let mine = |connection: &mut Connection| connection.options = "dpd_delay = \"2s\"".to_owned();
        let (ours, charon) = joined(mesh, Version::OfMachine, mine, |_| ())?;
        charon.kill()?;
        ours.is_within(Duration::from_mins(3), "the loss to be noticed", |state| {
            state["state"] != "established" && !state["last_error"].is_null()
        })?;
        charon.restart()?;
        NORTH.reaches_within(mesh, SOUTH, Duration::from_secs(40))?;
        charon.settles_with(1)
    });
}

#[test]
fn charon_notices_that_our_agent_died_and_takes_its_return_for_the_first_contact() {
    on_sites("ike-dpd-theirs", |mesh| {
        let theirs = |connection: &mut Connection| connection.options = "dpd_delay = 2s".to_owned();
        let (ours, charon) = joined(mesh, Version::OfMachine, |_| (), theirs)?;
        ours.kill()?;
        charon.is_empty_within(6 * PATIENCE)?;
        // The site is kept, and begins again by itself.
        let ours = Ours::start(mesh, NORTH)?;
        ours.settles_with(1)?;
        NORTH.ping(mesh, SOUTH, 2)?;
        // Again, but charon does not know yet.
        ours.kill()?;
        let ours = Ours::start(mesh, NORTH)?;
        ours.settles_with(1)?;
        charon.settles_with(1)
    });
}
