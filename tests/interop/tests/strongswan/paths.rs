//! Paths that are not as good as the lab's own: NATs at both ends, IPv6, a slow line with losses.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use twinmesh_e2e::{Mesh, wait_for};
use twinmesh_interop::strongswan::{Charon, Connection, Version};
use twinmesh_interop::{BARN, CABIN, NORTH, SOUTH, on_sites, on_sites_with_each_version};

use crate::ours::{Ours, Start};
use crate::pair::{answering, connection};

#[test]
fn sites_that_are_both_behind_nats_reach_each_other_in_both_roles() {
    on_sites("ike-nat-both", |mesh| {
        // barn's NAT lets strangers in to its ports of IKE, cabin's gives each destination a port of its own.
        BARN.forward_ports(mesh)?;
        let (asking, waiting) = (connection(mesh, CABIN, BARN)?, answering(mesh, BARN, CABIN)?);

        let charon =
            Charon::start_version(mesh, BARN.host, Version::Trixie, "", std::slice::from_ref(&waiting))?;
        let ours = Ours::start(mesh, CABIN)?;
        ours.add(&asking, Start::Initiate)?;
        let state = ours.settles_with(1).with_context(|| charon.log())?;
        behind_nats(&state)?;
        CABIN.ping(mesh, BARN, 3)?;
        BARN.iperf(mesh, CABIN)?;
        charon.rekey_child("net")?;
        CABIN.ping(mesh, BARN, 3)?;
        ours.remove(BARN.host)?;
        charon.is_empty_within(Duration::from_secs(5))?;
        charon.kill()?;
        ours.kill()?;

        let charon = Charon::start(mesh, CABIN.host, &[asking])?;
        let ours = Ours::start(mesh, BARN)?;
        ours.add(&waiting, Start::Answer)?;
        charon.initiate("net").with_context(|| ours.log())?;
        behind_nats(&ours.settles_with(1)?)?;
        BARN.ping(mesh, CABIN, 3)?;
        CABIN.ping(mesh, BARN, 3)
    });
}

fn behind_nats(state: &serde_json::Value) -> Result<()> {
    let sa = &state["ike_sa"];
    ensure!(sa["local_nat"] == true && sa["remote_nat"] == true, "{state}");
    Ok(())
}

/// charon's ESP in user space knows nothing but UDP, and says so by claiming to be behind a NAT.
#[test]
fn charon_gets_esp_in_udp_from_us_who_would_do_without() {
    on_sites("ike-auto-encapsulation", |mesh| {
        let charon = Charon::start(mesh, SOUTH.host, &[connection(mesh, SOUTH, NORTH)?])?;
        let ours = Ours::start(mesh, NORTH)?;
        let mut mine = connection(mesh, NORTH, SOUTH)?;
        mine.options = "encapsulation = \"auto\"".to_owned();
        for start in [Start::Initiate, Start::Answer] {
            ours.connects(&mine, start, &charon)?;
            NORTH.ping(mesh, SOUTH, 3)?;
            let sas = mesh.json(NORTH.host, &["twinmesh", "sa", "--json"])?;
            ensure!(sas[0]["encapsulation"] == "udp", "{sas}");
            ours.remove(SOUTH.host)?;
            charon.is_empty_within(Duration::from_secs(5))?;
        }
        Ok(())
    });
}

#[test]
fn ipv6_carries_a_tunnel_in_both_roles() {
    on_sites_with_each_version("ike-ipv6", |mesh, version| {
        let (mut mine, mut theirs) = (connection(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?);
        mine.remote = SOUTH.outer6(mesh)?.to_string();
        theirs.remote = NORTH.outer6(mesh)?.to_string();
        let charon = Charon::start_version(mesh, SOUTH.host, version, "", &[theirs])?;
        let ours = Ours::start(mesh, NORTH)?;
        for start in [Start::Initiate, Start::Answer] {
            ours.connects(&mine, start, &charon)?;
            let capture = mesh.capture(NORTH.host, "ip6 and udp port 4500")?;
            NORTH.ping(mesh, SOUTH, 3)?;
            charon.rekey_child("net")?;
            SOUTH.ping(mesh, NORTH, 3)?;
            ensure!(capture.finish()?.len() > 6 * 150, "ESP did not travel by IPv6");
            ours.remove(SOUTH.host)?;
            charon.is_empty_within(Duration::from_secs(5))?;
        }
        Ok(())
    });
}

/// One packet in ten is lost in each direction, and both ends renew their SAs every few seconds.
#[test]
fn both_rekey_over_a_slow_line_with_losses_and_hold_the_same_sas_after_it() {
    on_sites("ike-lossy", |mesh| {
        let (mut mine, mut theirs) = (connection(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?);
        let often = |connection: &mut Connection, ike: &str, child: &str| {
            ike.clone_into(&mut connection.options);
            child.clone_into(&mut connection.children[0].options);
        };
        // Past a tenth more than its time an IKE SA of ours is deleted, which is no longer than one repetition: so the
        // IKE SA is renewed by charon, the children by both.
        often(&mut mine, "", "rekey_time = \"4s\"\nlife_time = \"90s\"");
        often(
            &mut theirs,
            "rekey_time = 7s\n over_time = 90s\n rand_time = 2s",
            "rekey_time = 4s\n life_time = 90s\n rand_time = 2s",
        );
        let patient = "retransmit_tries = 8";
        let charon = Charon::start_version(mesh, SOUTH.host, Version::Trixie, patient, &[theirs])?;
        let ours = Ours::start(mesh, NORTH)?;
        ours.add(&mine, Start::Initiate)?;
        ours.settles_with(1)?;
        mesh.run(
            NORTH.host,
            &[
                "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "256kbit", "burst", "4k",
                "latency", "100ms",
            ],
        )?;
        mesh.run(
            "core",
            &[
                "nft",
                "table inet lossy {\nchain forward {\ntype filter hook forward priority 0;\n\
                 meta l4proto udp numgen random mod 10 == 0 drop\n}\n}",
            ],
        )?;
        let stream = mesh.ping_in_background(SOUTH.host, NORTH.inner.into(), Duration::from_secs(40))?;
        let report = stream.finish()?;
        // Nearly a fifth of the round trips is lost to the line; more than half would be an outage.
        ensure!(report.sent > 300 && report.lost * 2 < report.sent, "{report:?}");
        mesh.run("core", &["nft", "delete", "table", "inet", "lossy"])?;
        same_sas(mesh, &ours, &charon)?;
        let stream = mesh.ping_in_background(NORTH.host, SOUTH.inner.into(), Duration::from_secs(8))?;
        let report = stream.finish()?;
        ensure!(report.sent > 60 && report.lost == 0, "after the losses: {report:?}");
        Ok(())
    });
}

/// Waits until both ends name one IKE SA with one child by the same SPIs. What was lost is repeated within 13 seconds.
fn same_sas(mesh: &Mesh, ours: &Ours<'_>, charon: &Charon<'_>) -> Result<()> {
    let spi = |value: &serde_json::Value| value.as_str().map(|text| text.trim_start_matches("0x").to_owned());
    let same = || {
        let (state, sas) = (ours.state().ok()?, charon.sas().ok()?);
        let count = |text: &str| sas.matches(text).count();
        let one = count("ESTABLISHED") == 1 && count("INSTALLED") == 1 && count("reqid") == 1;
        let [child] = state["children"].as_array()?.as_slice() else { return None };
        let known = [
            &state["ike_sa"]["initiator_spi"],
            &state["ike_sa"]["responder_spi"],
            &child["spi_in"],
            &child["spi_out"],
        ];
        (one && known.into_iter().all(|value| spi(value).is_some_and(|spi| sas.contains(&spi)))).then_some(())
    };
    wait_for("both ends to hold the same SAs", Duration::from_secs(40), same)
        .with_context(|| format!("{:?}\n{:?}\n{}", ours.state(), charon.sas(), ours.log()))
        .with_context(|| mesh.run(NORTH.host, &["twinmesh", "sa"]).unwrap_or_default())
}
