//! Another's WireGuard as a peer: `wireguard-go` under `wg-quick`, with the file that the coordinator prints.

use std::time::Duration;

use anyhow::{Result, ensure};
use twinmesh_e2e::{Mesh, Server, on_mesh, wait_for};

/// Makes the host `phone` a WireGuard-only peer of alpha and beta.
fn join_phone(mesh: &Mesh) -> Result<()> {
    let with = ["twinmesh-coordinator", "peer", "add", "phone", "--generate", "--with", "alpha,beta"];
    let file = mesh.run("hub", &with)?;
    let place = mesh.lab().find_host("phone")?.folder().join("phone.conf");
    std::fs::write(&place, file)?;
    let up = format!(
        "chmod 600 {0}; WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go wg-quick up {0}",
        place.display()
    );
    mesh.run("phone", &["sh", "-c", &up])?;
    wait_for("alpha to know the phone", Duration::from_secs(5), || mesh.peer("alpha", "phone").ok())?;
    Ok(())
}

/// The phone's address in the mesh, by IPv4 or IPv6.
fn phone_address(mesh: &Mesh, family: &str) -> Result<String> {
    let show =
        format!("ip -{family} -o address show dev phone scope global | awk '{{ print $4 }}' | cut -d/ -f1");
    Ok(mesh.run("phone", &["sh", "-c", &show])?.trim().to_owned())
}

#[test]
fn wireguard_go_reaches_the_agents_and_they_reach_it() {
    on_mesh("unmanaged", |mesh| {
        join_phone(mesh)?;
        for node in ["alpha", "beta"] {
            for address in mesh.overlay_addresses(node)? {
                mesh.pings_within("phone", address, Duration::from_secs(10))?;
            }
            for family in ["4", "6"] {
                mesh.pings_within(node, phone_address(mesh, family)?.parse()?, Duration::from_secs(5))?;
            }
        }
        let alpha = mesh.overlay_addresses("alpha")?[0];
        let _server = Server::iperf(mesh, "alpha", alpha)?;
        for direction in [&[][..], &["-R"]] {
            let alpha = alpha.to_string();
            let report =
                mesh.json("phone", &[&["iperf3", "-c", &alpha, "-t", "2", "-J"], direction].concat())?;
            let received = report["end"]["sum_received"]["bytes"].as_u64().unwrap_or_default();
            ensure!(received > 1_000_000, "{direction:?}: only {received} bytes");
        }
        let peer = mesh.peer("alpha", "phone")?;
        ensure!(peer["kind"] == "unmanaged" && peer["state"] == "active", "{peer}");
        let handshakes = mesh.run("phone", &["wg", "show", "phone", "latest-handshakes"])?;
        ensure!(handshakes.lines().all(|line| !line.ends_with("\t0")), "{handshakes}");
        Ok(())
    });
}

#[test]
fn a_peer_that_uses_anothers_inner_address_is_not_heard_and_is_counted() {
    on_mesh("spoof", |mesh| {
        join_phone(mesh)?;
        let alpha = mesh.overlay_addresses("alpha")?[0];
        let gamma = mesh.overlay_addresses("gamma")?[0].to_string();
        mesh.pings_within("phone", alpha, Duration::from_secs(10))?;
        let before = mesh.drops("alpha", "source-not-allowed")?;
        mesh.run("phone", &["ip", "address", "add", &format!("{gamma}/32"), "dev", "phone"])?;
        mesh.fails("phone", &["ping", "-c", "3", "-i", "0.2", "-W", "1", "-I", &gamma, &alpha.to_string()])?;
        let dropped = mesh.drops("alpha", "source-not-allowed")? - before;
        ensure!(dropped == 3, "{dropped} packets counted");
        // An honest packet still passes.
        mesh.pings_within("phone", alpha, Duration::from_secs(2))
    });
}

#[test]
fn a_removed_wireguard_peer_is_cut_off() {
    on_mesh("unmanaged-removed", |mesh| {
        join_phone(mesh)?;
        let alpha = mesh.overlay_addresses("alpha")?[0];
        mesh.pings_within("phone", alpha, Duration::from_secs(10))?;
        mesh.run("hub", &["twinmesh-coordinator", "peer", "remove", "phone"])?;
        wait_for("alpha to forget the phone", Duration::from_secs(2), || {
            mesh.peer("alpha", "phone").is_err().then_some(())
        })?;
        mesh.fails("phone", &["ping", "-c", "2", "-i", "0.2", "-W", "1", &alpha.to_string()])?;
        Ok(())
    });
}
