//! Pairs that no direct path connects, over relays: ours and coturn, by UDP and by TLS.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use twinmesh_e2e::{Mesh, Server, bracketed, on_scenario, wait_for};
use twinmesh_lab::Signal;

const HUB: &str = "192.0.2.10:3480";
const SPARE: &str = "192.0.2.20:3478";
const DEADLINE: Duration = Duration::from_secs(15);
/// The relay's own death is noticed within 3 s, and the peers learn of the new address by the map.
const REPLACED: Duration = Duration::from_secs(6);

fn home(mesh: &Mesh, node: &str) -> Result<Value> {
    Ok(mesh.status(node)?["relay"]["home"].clone())
}

fn wait_for_home(mesh: &Mesh, node: &str, server: &str, transport: &str, deadline: Duration) -> Result<()> {
    let what = format!("{node} to have {server} as its relay, by {transport}");
    wait_for(&what, deadline, || {
        let home = home(mesh, node).ok()?;
        (home["server"] == server && home["transport"] == transport && home["answers"] == true).then_some(())
    })
}

/// Starts the relay on `spare`, which has the coordinator's secret.
fn start_spare(mesh: &Mesh, coturn: bool) -> Result<()> {
    let secret = mesh.run("hub", &["sh", "-c", "cat $TWINMESH_LAB_HOST_DIR/coordinator/relay-secret"])?;
    let secret = secret.trim();
    let file = mesh.write("spare", "relay-secret", secret)?;
    let command: Vec<&str> = if coturn {
        let options = ["-n", "--no-tls", "--no-dtls", "--no-cli", "--use-auth-secret", "--realm=twinmesh"];
        let own =
            ["--static-auth-secret", secret, "--listening-ip", "192.0.2.20", "--relay-ip", "192.0.2.20"];
        [&["turnserver"], &options[..], &own].concat()
    } else {
        vec!["twinmesh-coordinator", "relay", "--listen", SPARE, "--secret-file", &file]
    };
    mesh.lab().find_host("spare")?.spawn("relay", &command, &[("RUST_LOG", "info")])?;
    wait_for("the relay to listen", DEADLINE, || {
        let listening = mesh.run("spare", &["ss", "-Hulnp", "sport = :3478"]).ok()?;
        (!listening.trim().is_empty()).then_some(())
    })
}

fn kill_spare(mesh: &Mesh) -> Result<()> {
    let relay = mesh.lab().find_host("spare")?.program("relay")?;
    relay.signal(Signal::SIGKILL)?;
    relay.wait(DEADLINE).context("the relay does not end")?;
    Ok(())
}

/// Both ends say that the pair is relayed, and packets pass in both directions.
fn reach_each_other_by_relay(mesh: &Mesh, one: &str, other: &str) -> Result<()> {
    for (from, to) in [(one, other), (other, one)] {
        for address in mesh.overlay_addresses(to)? {
            mesh.pings_within(from, address, DEADLINE)?;
        }
        let path = mesh.peer(from, to)?["path"].clone();
        ensure!(path["relayed"] == true, "{from} → {to}: {path}");
    }
    Ok(())
}

/// A file, compared by hash.
fn download(mesh: &Mesh, from: &str, to: &str, megabytes: u32) -> Result<()> {
    let address = mesh.overlay_addresses(to)?[0];
    let make = format!("head -c {} /dev/urandom > $TWINMESH_LAB_HOST_DIR/file", megabytes * 1_048_576);
    mesh.run(to, &["sh", "-c", &make])?;
    let hash = mesh.run(to, &["sh", "-c", "sha256sum < $TWINMESH_LAB_HOST_DIR/file"])?;
    let _server = Server::http(mesh, to, address)?;
    let fetch = format!("curl -sSf --max-time 60 http://{}/file | sha256sum", bracketed(address));
    let got = mesh.run(from, &["sh", "-c", &fetch])?;
    ensure!(got == hash, "{from} ← {to}: {got} is not {hash}");
    let agreed = mesh.peer(to, from)?["partial_checksums"].clone();
    ensure!(agreed["sent"] == true, "{to} → {from}: checksums are not partial: {agreed}");
    Ok(())
}

#[test]
fn nodes_behind_strict_nats_reach_each_other_by_the_coordinators_relay() {
    on_scenario("relayed.toml", "relayed", |mesh| {
        wait_for_home(mesh, "alpha", HUB, "udp", DEADLINE)?;
        wait_for_home(mesh, "beta", HUB, "udp", DEADLINE)?;
        reach_each_other_by_relay(mesh, "alpha", "beta")?;
        download(mesh, "alpha", "beta", 10)?;
        let page = mesh.run("alpha", &["twinmesh", "status"])?;
        ensure!(page.contains("192.0.2.10:3480"), "{page}");
        Ok(())
    });
}

#[test]
fn a_node_whose_udp_is_blocked_is_reached_by_a_relay_over_tls() {
    on_scenario("relayed.toml", "relayed-tls", |mesh| {
        wait_for_home(mesh, "blocked", HUB, "tls", DEADLINE)?;
        wait_for_home(mesh, "alpha", HUB, "udp", DEADLINE)?;
        reach_each_other_by_relay(mesh, "alpha", "blocked")?;
        download(mesh, "blocked", "alpha", 10)
    });
}

#[test]
fn a_dead_relay_is_replaced_while_packets_pass() {
    on_scenario("relayed.toml", "relayed-dead", |mesh| {
        start_spare(mesh, false)?;
        for node in ["alpha", "beta"] {
            // Nearer, so it is found to be so in a while; a new start is sooner.
            mesh.run(node, &["twinmesh", "down"])?;
            mesh.run(node, &["twinmesh", "up"])?;
            wait_for_home(mesh, node, SPARE, "udp", DEADLINE)?;
        }
        reach_each_other_by_relay(mesh, "alpha", "beta")?;
        kill_spare(mesh)?;
        let died = Instant::now();
        let beta = mesh.overlay_addresses("beta")?[0].to_string();
        // Somebody goes on sending.
        wait_for("packets to pass again", REPLACED, || {
            mesh.run("alpha", &["ping", "-c", "1", "-W", "0.3", &beta]).ok()
        })?;
        ensure!(died.elapsed() < REPLACED, "{:?}", died.elapsed());
        wait_for_home(mesh, "alpha", HUB, "udp", DEADLINE)?;
        wait_for_home(mesh, "beta", HUB, "udp", DEADLINE)
    });
}

#[test]
fn coturn_serves_in_place_of_our_relay() {
    on_scenario("relayed.toml", "relayed-coturn", |mesh| {
        start_spare(mesh, true)?;
        for node in ["alpha", "beta"] {
            mesh.run(node, &["twinmesh", "down"])?;
            mesh.run(node, &["twinmesh", "up"])?;
            wait_for_home(mesh, node, SPARE, "udp", DEADLINE)?;
        }
        reach_each_other_by_relay(mesh, "alpha", "beta")?;
        download(mesh, "alpha", "beta", 10)
    });
}

#[test]
fn a_download_goes_on_by_tls_when_udp_is_blocked_in_the_middle_of_it() {
    on_scenario("relayed.toml", "relayed-cut", |mesh| {
        for node in ["alpha", "beta"] {
            wait_for_home(mesh, node, HUB, "udp", DEADLINE)?;
        }
        reach_each_other_by_relay(mesh, "alpha", "beta")?;
        let address = mesh.overlay_addresses("beta")?[0];
        mesh.run("beta", &["sh", "-c", "head -c 41943040 /dev/urandom > $TWINMESH_LAB_HOST_DIR/file"])?;
        let hash = mesh.run("beta", &["sh", "-c", "sha256sum < $TWINMESH_LAB_HOST_DIR/file"])?;
        let _server = Server::http(mesh, "beta", address)?;
        let fetch = format!(
            "curl -sSf --limit-rate 2M --max-time 90 http://{}/file > $TWINMESH_LAB_HOST_DIR/got",
            bracketed(address)
        );
        let mut fetching = mesh.spawn("alpha", &["sh", "-c", &fetch])?;
        let got = |mesh: &Mesh| -> Option<u64> {
            let size = mesh.run("alpha", &["sh", "-c", "stat -c %s $TWINMESH_LAB_HOST_DIR/got"]).ok()?;
            size.trim().parse().ok()
        };
        wait_for("the download to run", DEADLINE, || got(mesh).filter(|bytes| *bytes > 1_000_000))?;
        let cut = "add table inet cut; add chain inet cut out { type filter hook output priority 0; }; \
                   add rule inet cut out oifname \"eth0\" meta l4proto udp drop";
        mesh.run("alpha", &["nft", cut])?;
        wait_for_home(mesh, "alpha", HUB, "tls", DEADLINE)?;
        let at_cut = got(mesh).context("nothing was got")?;
        wait_for("the download to go on", DEADLINE, || {
            got(mesh).filter(|bytes| *bytes > at_cut + 1_000_000)
        })?;
        mesh.run("alpha", &["nft", "delete table inet cut"])?;
        wait_for_home(mesh, "alpha", HUB, "udp", Duration::from_secs(30))?;
        let ended = fetching.wait()?;
        ensure!(ended.success(), "the download ended with {ended}");
        let got = mesh.run("alpha", &["sh", "-c", "sha256sum < $TWINMESH_LAB_HOST_DIR/got"])?;
        ensure!(got == hash, "{got} is not {hash}");
        Ok(())
    });
}
