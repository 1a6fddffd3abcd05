//! What our user sees of the messages, and what Wireshark makes of the keys.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use twinmesh_e2e::{Mesh, wait_for};
use twinmesh_interop::strongswan::{Authentication, Charon};
use twinmesh_interop::{NORTH, SOUTH, on_sites};

use crate::ours::{Ours, Start};
use crate::pair::connection;

const PATIENCE: Duration = Duration::from_secs(10);

/// A handshake, with these algorithms, that is watched, captured and decrypted.
fn watched(mesh: &Mesh, ike: &str, esp: &str) -> Result<()> {
    let mut connections = [connection(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?];
    for connection in &mut connections {
        ike.clone_into(&mut connection.proposals);
        esp.clone_into(&mut connection.children[0].proposals);
    }
    let [mine, theirs] = connections;
    let _charon = Charon::start(mesh, SOUTH.host, &[theirs])?;
    let ours = Ours::start(mesh, NORTH)?;
    let north = mesh.lab().find_host(NORTH.host)?;
    let keys = north.folder().join("keys").display().to_string();
    let follow = ["twinmesh", "debug", "ike", "--follow", "--key-log", &keys];
    let follower = north.spawn("follower", &follow, &[])?;
    wait_for("the daemon to log who asks for keys", PATIENCE, || {
        ours.log().contains("asks for the keys").then_some(())
    })?;
    let capture = mesh.capture(NORTH.host, "udp port 500 or udp port 4500")?;
    ours.add(&mine, Start::Initiate)?;
    ours.settles_with(1)?;
    NORTH.ping(mesh, SOUTH, 3)?;

    let debug = ["twinmesh", "debug", "ike", "--site", SOUTH.host];
    let text = mesh.run(NORTH.host, &debug)?;
    for part in [
        "IKE_SA_INIT request 0",
        "IKE_SA_INIT response 0",
        "IKE_AUTH request 1",
        "IKE_AUTH response 1",
        &format!("1 IKE {ike}"),
        "as this datagram has it: no NAT before the receiver",
        "ID_FQDN north.example",
        "ID_FQDN south.example",
        "AUTH",
        "Shared Key Message Integrity Code",
        "1 ESP",
        "10.1.0.0/16",
        "10.2.0.0/16",
        "IKE SA established",
        "child net established",
    ] {
        ensure!(text.contains(part), "no {part:?} in\n{text}");
    }
    let json = mesh.run(NORTH.host, &[&debug[..], &["--json"]].concat())?;
    let entries: Vec<Value> = json.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let kinds: Vec<&str> = entries.iter().filter_map(|entry| entry["kind"].as_str()).collect();
    ensure!(
        kinds.starts_with(&["sent", "received", "sent", "received", "established", "established"]),
        "{kinds:?}"
    );

    let sites = mesh.run(NORTH.host, &["twinmesh", "site", "list"])?;
    let sas = mesh.run(NORTH.host, &["twinmesh", "sa"])?;
    for part in ["north.example", "south.example", "new keys in"] {
        ensure!(sites.contains(part) && sas.contains(part), "no {part:?} in\n{sites}{sas}");
    }
    ensure!(sites.contains(ike), "{sites}");

    let table = |name: &str| std::fs::read_to_string(format!("{keys}/{name}")).context(name.to_owned());
    let (ike_keys, esp_keys) = (table("ikev2_decryption_table")?, table("esp_sa")?);
    ensure!(ike_keys.lines().count() == 1 && esp_keys.lines().count() == 2, "{ike_keys}{esp_keys}");
    let followed = follower.log();
    ensure!(followed.contains("IKE_AUTH response 1"), "{followed}");
    // The SPIs may be seen, and the names of algorithms.
    let secrets = ike_keys.split([',', '\n']).chain(esp_keys.split([',', '"', '\n']));
    let secrets: Vec<&str> =
        secrets.map(|part| part.trim_start_matches("0x")).filter(|part| is_key(part)).collect();
    ensure!(secrets.len() >= 4, "{secrets:?}");
    for secret in secrets {
        let told = [&text, &json, &followed, &ours.log()].iter().any(|output| output.contains(secret));
        ensure!(!told, "a key was shown to who did not ask for it");
    }
    let shown = mesh.run(NORTH.host, &[&debug[..], &["--keys"]].concat())?;
    ensure!(shown.contains(ike_keys.trim()), "{shown}");

    let file = capture.file().display().to_string();
    capture.finish()?;
    decrypted(mesh, &keys, &file)
}

/// Longer than an SPI.
fn is_key(part: &str) -> bool {
    part.len() > 16 && part.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// By Wireshark.
fn decrypted(mesh: &Mesh, keys: &str, capture: &str) -> Result<()> {
    mesh.run(NORTH.host, &["tshark", "--version"])
        .context("Wireshark's tshark is missing: `tests/setup.sh test` installs it")?;
    let configuration = format!("WIRESHARK_CONFIG_DIR={keys}");
    let open = "esp.enable_encryption_decode:TRUE";
    let seen = mesh.run(NORTH.host, &["env", &configuration, "tshark", "-r", capture, "-o", open, "-V"])?;
    for part in
        ["Identification Data:north.example", "Identification Data:south.example", "Echo (ping) reply"]
    {
        ensure!(seen.contains(part), "tshark shows no {part:?}\n{seen}");
    }
    Ok(())
}

#[test]
fn a_whole_handshake_is_shown_without_keys_and_the_key_log_opens_its_capture() {
    on_sites("ike-debug-gcm", |mesh| watched(mesh, "aes128gcm16-prfsha256-x25519", "aes256gcm16-x25519"));
}

#[test]
fn the_key_log_opens_captures_of_cbc_with_hmac_too() {
    on_sites("ike-debug-cbc", |mesh| watched(mesh, "aes256-sha256-modp2048", "aes128-sha256-modp2048"));
}

#[test]
fn after_a_failure_it_can_be_seen_what_was_said() {
    on_sites("ike-debug-failure", |mesh| {
        let _charon = Charon::start(mesh, SOUTH.host, &[connection(mesh, SOUTH, NORTH)?])?;
        let ours = Ours::start(mesh, NORTH)?;
        let mut mine = connection(mesh, NORTH, SOUTH)?;
        mine.authentication = Authentication::Psk("pQ9vLkXwR3tYzN7mB5cD2sFg".to_owned());
        ours.add(&mine, Start::Initiate)?;
        ours.fails_with(&["AUTHENTICATION_FAILED"])?;
        let text = mesh.run(NORTH.host, &["twinmesh", "debug", "ike", "--site", SOUTH.host])?;
        ensure!(text.contains("N(AUTHENTICATION_FAILED)") && text.contains("failed, "), "{text}");
        let unknown = mesh.fails(NORTH.host, &["twinmesh", "debug", "ike", "--site", "nowhere"])?;
        ensure!(unknown.contains("no site `nowhere`"), "{unknown}");
        Ok(())
    });
}
