//! `twinmesh bugreport`: what is in the archive, and what never is.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use twinmesh_e2e::{Mesh, on_mesh};

const PSK: &str = "Tja8XnTHz2GSpMHxVhFNnZc8";

/// A secret as it is, and as people and programs write it.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let decimal: Vec<String> = secret.iter().map(ToString::to_string).collect();
    // Inside longer base64 it stands at one of three places; what its neighbours decide is left out.
    let base64 = (0..3).map(|before| {
        let text = STANDARD_NO_PAD.encode([vec![0; before], secret.to_vec()].concat());
        text.as_bytes()[4..text.len() - 4].to_vec()
    });
    [secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes(), decimal.join(",").into_bytes()]
        .into_iter()
        .chain(base64)
        .collect()
}

/// In which of its forms the secret stands there, white space or not.
fn found(bytes: &[u8], secret: &[u8]) -> Option<String> {
    let dense: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let has = |form: &Vec<u8>| {
        [bytes, dense.as_slice()].iter().any(|text| text.windows(form.len()).any(|window| window == form))
    };
    forms(secret).into_iter().find(has).map(|form| String::from_utf8_lossy(&form).into_owned())
}

/// What a state file holds.
fn stored(mesh: &Mesh, node: &str, name: &str) -> Result<Vec<u8>> {
    let file = fs::read(format!("{}/{name}", mesh.state_dir(node)?))?;
    let end = file.iter().position(|byte| *byte == b'\n').context("no first line")?;
    Ok(file[end + 1..].to_vec())
}

/// Writes a report of alpha; its bytes and where its files were unpacked.
fn report(mesh: &Mesh, name: &str) -> Result<(Vec<u8>, String)> {
    let folder = mesh.lab().find_host("alpha")?.folder().join(name).display().to_string();
    fs::create_dir(&folder)?;
    let (archive, state) = (format!("{folder}/report.tar"), mesh.state_dir("alpha")?);
    let told = mesh.run("alpha", &["twinmesh", "bugreport", "--output", &archive, "--state", &state])?;
    ensure!(told.contains("wrote ") && told.contains("look at it before you send it"), "{told}");
    mesh.run("alpha", &["tar", "-xf", &archive, "-C", &folder, "--strip-components=1"])?;
    Ok((fs::read(&archive)?, folder))
}

fn has(folder: &str, file: &str, part: &str) -> Result<()> {
    let text = fs::read_to_string(format!("{folder}/{file}")).with_context(|| file.to_owned())?;
    ensure!(text.contains(part), "no {part:?} in {file}:\n{text}");
    Ok(())
}

#[test]
fn a_report_has_what_daemon_and_machine_say_but_no_key_token_or_password() {
    on_mesh("bugreport", |mesh| {
        let beta = mesh.overlay_addresses("beta")?[0];
        mesh.pings_within("alpha", beta, std::time::Duration::from_secs(8))?;
        let site = format!(
            "name = \"branch-7\"\nremote = \"198.51.100.77\"\n[auth]\npsk = \"{PSK}\"\nlocal_id = \"@alpha.example\"\n\
             remote_id = \"@branch-7.example\"\n[[child]]\nname = \"net\"\nlocal_ts = [\"10.1.0.0/16\"]\n\
             remote_ts = [\"10.2.0.0/16\"]\n"
        );
        let site = mesh.write("alpha", "site.toml", &site)?;
        mesh.run("alpha", &["twinmesh", "site", "add", &site])?;

        let running = report(mesh, "running")?;
        for (file, part) in [
            ("about.txt", "twinmesh 0."),
            ("daemon/status.json", "\"state\": \"running\""),
            ("daemon/explain.json", "WireGuard carries the traffic"),
            ("daemon/routes.json", "gamma"),
            ("daemon/sites.json", "branch-7"),
            ("daemon/netcheck.json", "\"mapping\": \"none\""),
            ("daemon/log.txt", "the twinmesh agent runs"),
            ("state/map.json", "\"name\": \"alpha\""),
            ("state/sites.json", "branch-7"),
            ("state/files.json", "wireguard-key"),
            ("host/addresses.txt", "twinmesh0"),
            ("host/routes.txt", "100.64.0.0/10 dev twinmesh0"),
            ("host/sockets.txt", ":4500"),
        ] {
            has(&running.1, file, part)?;
        }
        mesh.kill_agent("alpha")?;
        let crashed = report(mesh, "crashed")?;
        has(&crashed.1, "about.txt", "daemon/: the twinmesh daemon is not running")?;
        has(&crashed.1, "state/map.json", "\"name\": \"alpha\"")?;

        let identity = stored(mesh, "alpha", "identity-key")?;
        let token: serde_json::Value = serde_json::from_slice(&fs::read(mesh.lab().folder().join("token"))?)?;
        let token = token["secret"].as_str().context("no token")?;
        let secrets = [
            // The seed inside the PKCS#8 form (RFC 8410 §7); the public key in it is no secret.
            ("identity key", identity.get(16..48).context("a short key")?.to_vec()),
            ("WireGuard key", stored(mesh, "alpha", "wireguard-key")?),
            ("pre-shared key", PSK.as_bytes().to_vec()),
            ("join token", token.as_bytes().to_vec()),
        ];
        for (what, secret) in secrets {
            ensure!(secret.len() >= 16, "the {what} is of {} bytes", secret.len());
            // The search itself finds what is there.
            let encoded = STANDARD_NO_PAD.encode([b"{", secret.as_slice(), b"}"].concat());
            ensure!(found(encoded.as_bytes(), &secret).is_some() && found(&secret, &secret).is_some());
            for (bytes, folder) in [&running, &crashed] {
                let found = found(bytes, &secret);
                ensure!(found.is_none(), "the {what} is in the report {folder}, as {found:?}");
            }
        }
        Ok(())
    });
}
