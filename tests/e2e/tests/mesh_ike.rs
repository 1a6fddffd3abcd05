//! Pairs of nodes whose traffic ESP carries, keyed by IKE between the two: chosen by the coordinator, as its nodes
//! wish.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use twinmesh_e2e::{IpVersion, Mesh, Server, bracketed, on_mesh, over_capture, wait_for};

/// Says a wish, and waits until the pair is in ESP at both ends and its SAs stand.
fn prefer_esp(mesh: &Mesh, node: &str, peer: &str) -> Result<()> {
    mesh.run(node, &["twinmesh", "up", "--prefer", "esp"])?;
    for (here, there) in [(node, peer), (peer, node)] {
        wait_for(&format!("{there} to be in ESP at {here}"), Duration::from_secs(10), || {
            let seen = mesh.peer(here, there).ok()?;
            (seen["protocol"] == "esp" && seen["state"] == "active").then_some(())
        })?;
    }
    Ok(())
}

/// The tunnels of a node with a peer, as `sa --json` has them.
fn sas(mesh: &Mesh, node: &str, peer: &str) -> Result<Vec<Value>> {
    let list = mesh.json(node, &["twinmesh", "sa", "--json"])?;
    let list = list.as_array().context("no list")?;
    let prefix = format!("@{peer}/");
    Ok(list
        .iter()
        .filter(|sa| sa["name"].as_str().is_some_and(|name| name.starts_with(&prefix)))
        .cloned()
        .collect())
}

/// After a change to WireGuard ESP is received on for half a minute.
fn without_sas(mesh: &Mesh, node: &str, peer: &str) -> Result<()> {
    wait_for("the SAs to be gone", Duration::from_secs(45), || {
        sas(mesh, node, peer).ok()?.is_empty().then_some(())
    })
}

fn ping_all(mesh: &Mesh, from: &str, to: &str) -> Result<()> {
    for address in mesh.overlay_addresses(to)? {
        let address = address.to_string();
        mesh.run(from, &["ping", "-c", "3", "-i", "0.2", "-W", "2", &address])
            .with_context(|| format!("{from} → {to}"))?;
    }
    Ok(())
}

/// 20 MB by TCP, compared by hash.
fn fetch(mesh: &Mesh, from: &str, to: &str, address: IpAddr) -> Result<()> {
    mesh.run(to, &["sh", "-c", "head -c 20971520 /dev/urandom > $TWINMESH_LAB_HOST_DIR/file"])?;
    let hash = mesh.run(to, &["sh", "-c", "sha256sum < $TWINMESH_LAB_HOST_DIR/file"])?;
    let _server = Server::http(mesh, to, address)?;
    let fetch = format!("curl -sSf --max-time 60 http://{}/file | sha256sum", bracketed(address));
    let got = mesh.run(from, &["sh", "-c", &fetch])?;
    ensure!(got == hash, "{from} ← {to} ({address}): {got} is not {hash}");
    Ok(())
}

fn count(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).filter(|window| *window == wanted).count()
}

/// How many datagrams are ESP, and how many are neither that nor IKE.
const KINDS: &str = "
esp = [payload for payload in payloads if payload[0] & 0x80 and len(payload) > 1]
ike = [payload for payload in payloads if payload[:4] == bytes(4) or payload == b'\\xff']
checks = [payload for payload in payloads if payload[0] < 0x40 and payload[4:8] == bytes.fromhex('2112a442')]
print(len(esp), len(payloads) - len(esp) - len(ike) - len(checks))
";

#[test]
fn a_pair_in_esp_among_wireguard_carries_everything_and_says_why() {
    on_mesh("mesh-ike", |mesh| {
        mesh.run("gamma", &["twinmesh", "up", "--prefer", "wireguard"])?;
        prefer_esp(mesh, "alpha", "beta")?;
        for (here, there) in [("alpha", "beta"), ("beta", "alpha")] {
            let peer = mesh.peer(here, there)?;
            ensure!(peer["reasons"][0]["code"] == "prefers-esp", "{peer}");
            let text = peer["reasons"][0]["text"].as_str().unwrap_or_default();
            ensure!(text.contains("alpha"), "who asks? {text}");
            let page = mesh.run(here, &["twinmesh", "status"])?;
            ensure!(page.contains(&format!("{there}: esp, since alpha asks for ESP")), "{page}");
        }
        for (here, there) in [("alpha", "gamma"), ("gamma", "alpha"), ("beta", "gamma"), ("gamma", "beta")] {
            let peer = mesh.peer(here, there)?;
            ensure!(peer["protocol"] == "wireguard", "{peer}");
        }
        ensure!(mesh.peer("alpha", "gamma")?["reasons"][0]["code"] == "prefers-wireguard", "no reason");

        let [sa] = <[Value; 1]>::try_from(sas(mesh, "alpha", "beta")?).ok().context("one tunnel")?;
        ensure!(sa["origin"] == "ike" && sa["suite"] == "aes128gcm16", "{sa}");
        ensure!(
            sa["remote_ts"].as_array().is_some_and(|both| both.len() == 2),
            "one child, both families: {sa}"
        );

        let filter = format!("udp port 4500 and host {}", mesh.outer_address("beta", IpVersion::V4)?);
        let filter6 = format!("{filter} or host {}", mesh.outer_address("beta", IpVersion::V6)?);
        let capture = mesh.capture("alpha", &filter6)?;
        for address in mesh.overlay_addresses("beta")? {
            let to = address.to_string();
            // "secret-" in hexadecimal.
            mesh.run("alpha", &["ping", "-c", "10", "-i", "0.1", "-W", "2", "-p", "7365637265742d", &to])?;
        }
        let file = capture.file().display().to_string();
        let bytes = capture.finish()?;
        ensure!(count(&bytes, b"secret-secret-") == 0, "plain text on the wire");
        for direction in ["inbound", "outbound"] {
            let spi = u32::from_str_radix(sa[direction]["spi"].as_str().context("no SPI")?, 16)?;
            let seen = count(&bytes, &spi.to_be_bytes());
            ensure!(seen >= 20, "{seen} ESP packets {direction}");
        }
        let kinds = mesh.run("alpha", &["python3", "-c", &over_capture(KINDS), &file, "beta"])?;
        let [esp, others] =
            [0, 1].map(|at| kinds.split_whitespace().nth(at).and_then(|text| text.parse().ok()));
        // What leaves together is captured before the kernel cuts it: fewer datagrams than packets.
        ensure!(esp > Some(0) && others == Some(0), "ESP and others on the wire: {kinds}");

        for address in mesh.overlay_addresses("beta")? {
            fetch(mesh, "alpha", "beta", address)?;
        }
        for (from, to) in twinmesh_e2e::pairs() {
            ping_all(mesh, from, to)?;
        }
        let peer = mesh.peer("beta", "alpha")?;
        ensure!(peer["tx_bytes"].as_u64() > Some(40_000_000), "what was fetched is not counted: {peer}");
        let show = mesh.json("hub", &["twinmesh-coordinator", "node", "show", "alpha", "--json"])?;
        ensure!(show["preference"] == "esp", "{show}");

        mesh.run("alpha", &["twinmesh", "up", "--prefer", "auto"])?;
        wait_for("WireGuard to be back", Duration::from_secs(10), || {
            (mesh.peer("beta", "alpha").ok()?["protocol"] == "wireguard").then_some(())
        })?;
        mesh.pings_within("beta", mesh.overlay_addresses("alpha")?[0], Duration::from_secs(8))?;
        without_sas(mesh, "beta", "alpha")?;
        mesh.fails("alpha", &["twinmesh", "sa", "remove", "@beta/mesh#1"]).map(drop)
    });
}

#[test]
fn a_peer_behind_a_nat_is_in_esp_too_and_heals_when_its_nat_forgets_it() {
    on_mesh("mesh-ike-nat", |mesh| {
        prefer_esp(mesh, "gamma", "alpha")?;
        prefer_esp(mesh, "gamma", "beta")?;
        let gamma = mesh.overlay_addresses("gamma")?[0];
        ping_all(mesh, "alpha", "gamma")?;
        ping_all(mesh, "gamma", "beta")?;
        fetch(mesh, "alpha", "gamma", mesh.overlay_addresses("gamma")?[1])?;
        mesh.forget_nat("door")?;
        // A word of the one behind it is enough.
        mesh.pings_within("gamma", mesh.overlay_addresses("alpha")?[0], Duration::from_secs(5))?;
        mesh.pings_within("alpha", gamma, Duration::from_secs(5))?;
        // And without one, the liveness check says it.
        mesh.pings_within("beta", gamma, Duration::from_secs(45))
    });
}

#[test]
fn a_pair_in_esp_outlives_restarts_and_moves_of_either_end() {
    on_mesh("mesh-ike-life", |mesh| {
        prefer_esp(mesh, "alpha", "beta")?;
        let (alpha, beta) = (mesh.overlay_addresses("alpha")?[0], mesh.overlay_addresses("beta")?[0]);
        ping_all(mesh, "alpha", "beta")?;
        for (node, other, own) in [("alpha", "beta", alpha), ("beta", "alpha", beta)] {
            mesh.kill_agent(node)?;
            mesh.start_agent(node)?;
            mesh.pings_within(other, own, Duration::from_secs(10))
                .with_context(|| format!("{node} is back"))?;
            ensure!(mesh.peer(node, other)?["protocol"] == "esp", "{node} forgot its wish");
        }
        mesh.move_node("alpha")?;
        mesh.pings_within("beta", alpha, Duration::from_secs(5)).context("to the one that moved")?;
        mesh.pings_within("alpha", beta, Duration::from_secs(5)).context("from the one that moved")?;
        let moved = mesh.outer_address("alpha", IpVersion::V4)?;
        let endpoint = mesh.peer("beta", "alpha")?["endpoint"].to_string();
        ensure!(!endpoint.contains(&format!("\"{moved}:")), "beta still sends to {endpoint}");

        mesh.run("hub", &["twinmesh-coordinator", "node", "remove", "beta"])?;
        let removed = Instant::now();
        wait_for("the SAs with beta to be gone", Duration::from_secs(2), || {
            sas(mesh, "alpha", "beta").ok()?.is_empty().then_some(())
        })?;
        ensure!(removed.elapsed() <= Duration::from_secs(2), "{:?}", removed.elapsed());
        mesh.fails("alpha", &["ping", "-c", "1", "-W", "1", &beta.to_string()]).map(drop)
    });
}

/// Waits until both ends of a pair have that protocol, for that reason; gives what the first says of it.
fn chosen(mesh: &Mesh, [one, other]: [&str; 2], protocol: &str, code: &str) -> Result<String> {
    for (here, there) in [(one, other), (other, one)] {
        wait_for(&format!("{there} to be in {protocol} at {here}"), Duration::from_secs(10), || {
            let seen = mesh.peer(here, there).ok()?;
            (seen["protocol"] == protocol && seen["reasons"][0]["code"] == code).then_some(())
        })?;
    }
    mesh.run(one, &["twinmesh", "status"])
}

#[test]
fn a_policy_moves_a_pair_to_esp_and_back_and_status_says_why() {
    on_mesh("mesh-policy", |mesh| {
        let set = |arguments: &[&str]| {
            mesh.run("hub", &[&["twinmesh-coordinator", "policy", "set"], arguments].concat())
        };
        set(&["--pair", "alpha,beta", "--protocol", "esp"])?;
        let page = chosen(mesh, ["alpha", "beta"], "esp", "policy")?;
        ensure!(page.contains("beta: esp, since the policy of this pair asks for ESP"), "{page}");
        mesh.pings_within("alpha", mesh.overlay_addresses("beta")?[0], Duration::from_secs(8))?;
        ping_all(mesh, "alpha", "beta")?;
        ensure!(sas(mesh, "alpha", "beta")?.len() == 1, "no SA");
        chosen(mesh, ["alpha", "gamma"], "wireguard", "default")?;
        set(&["--pair", "alpha,beta", "--remove"])?;
        let page = chosen(mesh, ["alpha", "beta"], "wireguard", "default")?;
        ensure!(!page.contains("since"), "{page}");
        mesh.pings_within("alpha", mesh.overlay_addresses("beta")?[0], Duration::from_secs(8))?;
        without_sas(mesh, "alpha", "beta")?;
        Ok(())
    });
}

#[test]
fn under_compliance_only_approved_algorithms_carry_anything_and_a_plain_device_nothing() {
    on_mesh("mesh-compliance", |mesh| {
        mesh.run("hub", &["twinmesh-coordinator", "peer", "add", "tablet", "--generate"])?;
        mesh.run("hub", &["twinmesh-coordinator", "node", "tag", "alpha", "pci"])?;
        mesh.run("hub", &["twinmesh-coordinator", "policy", "set", "--tag", "pci", "--compliance", "yes"])?;
        let page = chosen(mesh, ["alpha", "beta"], "esp", "compliance")?;
        ensure!(page.contains("beta: esp, since the policy of the tag `pci` allows only approved"), "{page}");
        mesh.pings_within("alpha", mesh.overlay_addresses("beta")?[0], Duration::from_secs(8))?;
        let [sa] = <[Value; 1]>::try_from(sas(mesh, "alpha", "beta")?).ok().context("one tunnel")?;
        ensure!(sa["suite"] == "aes256gcm16", "{sa}");
        let tablet = mesh.peer("alpha", "tablet")?;
        ensure!(tablet["protocol"] == "none" && tablet["state"] == "idle", "{tablet}");
        ensure!(page.contains("and tablet is a plain WireGuard device"), "{page}");
        ensure!(mesh.peer("beta", "tablet")?["protocol"] == "wireguard", "beta has no such tag");
        Ok(())
    });
}
