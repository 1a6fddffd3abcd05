//! Bad input gets an error that says what was wrong and what to do, and changes nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use twinmesh_e2e::{Mesh, on_mesh, over_capture, wait_for};

/// `twinmesh up` on a node that is not enrolled, with that token; its error.
fn refused(mesh: &Mesh, token: &str) -> Result<String> {
    mesh.fails("beta", &["twinmesh", "up", "--coordinator", "hub", "--token", token])
}

#[test]
fn each_bad_token_is_called_by_its_fault() {
    on_mesh("tokens", |mesh| {
        mesh.run("beta", &["twinmesh", "logout"])?;

        let used = mesh.token(&[])?;
        mesh.run("beta", &["twinmesh", "up", "--coordinator", "hub", "--token", &used.text])?;
        mesh.run("beta", &["twinmesh", "logout"])?;
        let error = refused(mesh, &used.text)?;
        ensure!(error.contains("used"), "{error}");

        let revoked = mesh.token(&[])?;
        mesh.run("hub", &["twinmesh-coordinator", "token", "revoke", &revoked.id])?;
        let error = refused(mesh, &revoked.text)?;
        ensure!(error.contains("revoked"), "{error}");

        let expired = mesh.token(&["--expires", "1s"])?;
        let error = wait_for("the token to expire", Duration::from_secs(5), || {
            let outcome =
                mesh.output("beta", &["twinmesh", "up", "--coordinator", "hub", "--token", &expired.text]);
            match outcome {
                Ok(output) if output.status.success() => {
                    mesh.run("beta", &["twinmesh", "logout"]).ok();
                    None
                }
                Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
                Err(_) => None,
            }
        })?;
        ensure!(error.contains("expired") || error.contains("used"), "{error}");

        let mut mistyped = mesh.token(&[])?.text;
        mistyped.truncate(mistyped.len() - 3);
        let error = refused(mesh, &mistyped)?;
        ensure!(error.contains("mistyped") || error.contains("cut short"), "{error}");
        ensure!(mesh.status("beta")?["state"] == "needs-login", "{}", mesh.status("beta")?);
        Ok(())
    });
}

#[test]
fn a_coordinator_with_another_key_is_refused_with_both_fingerprints() {
    on_mesh("pinned", |mesh| {
        mesh.run("beta", &["twinmesh", "logout"])?;
        let token = mesh.token(&[])?.text;
        mesh.stop_coordinator()?;
        mesh.run("hub", &["sh", "-c", "mv $TWINMESH_LAB_HOST_DIR/coordinator $TWINMESH_LAB_HOST_DIR/old"])?;
        mesh.start_coordinator()?;
        let error = refused(mesh, &token)?;
        let fingerprints = error
            .split(|letter: char| !letter.is_ascii_hexdigit())
            .filter(|word| word.len() == 64)
            .collect::<std::collections::BTreeSet<_>>();
        ensure!(fingerprints.len() == 2, "{error}");
        Ok(())
    });
}

#[test]
fn a_second_agent_on_the_same_state_is_refused_with_the_holders_pid() {
    on_mesh("second", |mesh| {
        let pid = mesh.agent_pid("alpha")?;
        let state = mesh.state_dir("alpha")?;
        let error = mesh.fails(
            "alpha",
            &["twinmesh", "agent", "--state", &state, "--socket", "/run/other.sock", "--tun", "other0"],
        )?;
        ensure!(error.contains(&pid), "no pid {pid}: {error}");
        Ok(())
    });
}

#[test]
fn a_corrupt_map_is_named_and_kept_aside_and_the_node_recovers() {
    on_mesh("corrupt", |mesh| {
        let state = mesh.state_dir("alpha")?;
        let beta = mesh.overlay_addresses("beta")?[0];
        mesh.kill_agent("alpha")?;
        mesh.run("alpha", &["sh", "-c", &format!("head -c 20 /dev/urandom > {state}/map")])?;
        mesh.start_agent("alpha")?;
        mesh.pings_within("alpha", beta, Duration::from_secs(10))?;
        let files = mesh.run("alpha", &["ls", &state])?;
        ensure!(files.contains("map.corrupt-"), "{files}");
        Ok(())
    });
}

#[test]
fn datagrams_that_nobody_should_send_are_dropped_and_counted_by_kind() {
    on_mesh("garbage", |mesh| {
        let datagrams = |status: &serde_json::Value| status["datagrams"].clone();
        let before = datagrams(&mesh.status("alpha")?);
        // A NAT keepalive, IKE, a short WireGuard handshake, ESP, and noise.
        for bytes in
            ["\\377", "\\000\\000\\000\\000abcd", "\\001\\000\\000\\000short", "\\200abcdefgh", "hello"]
        {
            let send = format!("printf '{bytes}' | nc -u -w1 -q0 alpha 4500");
            mesh.run("hub", &["sh", "-c", &send])?;
        }
        wait_for("the counters to show them", Duration::from_secs(3), || {
            let after = datagrams(&mesh.status("alpha").ok()?);
            let grown = |kind: &str| after[kind].as_u64() > before[kind].as_u64().or(Some(0));
            ["keepalive", "ike", "esp", "unknown"].iter().all(|kind| grown(kind)).then_some(())
        })?;
        mesh.pings_within("gamma", mesh.overlay_addresses("alpha")?[0], Duration::from_secs(3))
    });
}

#[test]
fn without_the_tun_device_up_says_how_to_get_it() {
    on_mesh("no-tun", |mesh| {
        mesh.kill_agent("alpha")?;
        // An empty file over /dev/net/tun, in this host's own mount namespace, is not a TUN device.
        mesh.run("alpha", &["sh", "-c", "touch /run/empty && mount --bind /run/empty /dev/net/tun"])?;
        mesh.start_agent("alpha")?;
        let error = mesh.fails("alpha", &["twinmesh", "up"])?;
        ensure!(error.contains("/dev/net/tun"), "{error}");
        Ok(())
    });
}

#[test]
fn a_recorded_packet_sent_again_is_dropped_and_counted() {
    on_mesh("replay", |mesh| {
        let beta = mesh.overlay_addresses("beta")?[0];
        mesh.pings_within("alpha", beta, Duration::from_secs(5))?;
        let capture = mesh.capture("alpha", "udp src port 4500")?;
        let file = capture.file().display().to_string();
        mesh.run("alpha", &["ping", "-c", "5", "-i", "0.2", &beta.to_string()])?;
        ensure!(capture.finish()?.len() > 5 * 120, "nothing was captured");
        let before = mesh.drops("beta", "wireguard-replayed-packet")?;
        // Anybody on the way can do this: the same bytes, from another address.
        mesh.run("hub", &["python3", "-c", &over_capture(REPLAY), &file, "beta"])?;
        wait_for("the copies to be counted", Duration::from_secs(3), || {
            (mesh.drops("beta", "wireguard-replayed-packet").ok()? >= before + 5).then_some(())
        })?;
        // Neither has the sender of the copies become the peer's endpoint, nor has the session suffered.
        mesh.run(
            "beta",
            &["ping", "-c", "2", "-i", "0.2", "-W", "1", &mesh.overlay_addresses("alpha")?[0].to_string()],
        )?;
        Ok(())
    });
}

/// Sends the WireGuard data messages of a capture again.
const REPLAY: &str = "
for payload in payloads:
    if payload[0] == 4:
        socket.socket(to[0], socket.SOCK_DGRAM).sendto(payload, to[4])
";
