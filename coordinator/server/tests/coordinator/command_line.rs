//! The program itself: first start, restart, and the commands beside `serve`.

use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::{fs, str};

use serde_json::Value;
use twinmesh_control::WireguardKey;

use crate::support::{Program, run};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_first_start_makes_keys_for_its_owner_alone_and_prints_a_password_once() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serve(folder.path());
    let log = program.log();
    let password =
        log.lines().find_map(|line| line.trim().strip_prefix("password")).unwrap().trim().to_owned();
    assert!(password.len() > 30 && log.matches(&password).count() == 1, "{log}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&program.data), 0o700);
    for file in fs::read_dir(&program.data).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
    }
    let made = json(&program.must(&["token", "create", "--reusable", "--tag", "web", "--json"]));
    let key = fs::read(program.data.join("identity.key")).unwrap();
    assert!(program.stop().success());

    let program = Program::serve(folder.path());
    assert!(!program.log().contains("password"), "{}", program.log());
    assert_eq!(fs::read(program.data.join("identity.key")).unwrap(), key);
    let listed = json(&program.must(&["token", "list", "--json"]));
    assert_eq!(listed["tokens"][0], made["token"]);
}

#[test]
fn a_second_server_on_one_folder_is_refused_with_the_pid_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serve(folder.path());
    let data = program.data.to_str().unwrap();
    let second = run(&[
        "serve",
        "--data",
        data,
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--stun",
        "127.0.0.1:0",
    ]);
    assert_eq!(second.status.code(), Some(1));
    let error = str::from_utf8(&second.stderr).unwrap();
    assert!(error.contains(&format!("(pid {})", program.pid())) && error.contains(data), "{error}");
    program.must(&["node", "list"]);
}

#[test]
fn a_token_is_made_listed_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serve(folder.path());
    let line = program.must(&["token", "create", "--expires", "7d", "--description", "rack 4"]);
    assert!(
        line.starts_with("twinmesh up --coordinator hub.test:") && line.contains(" --token tmjoin-"),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1);
    program.must(&["token", "revoke", "1"]);
    let table = program.must(&["token", "list"]);
    let row = table.lines().nth(1).unwrap();
    assert!(row.starts_with('1') && row.contains("revoked") && row.contains("rack 4"), "{table}");
    assert!(program.refused(&["token", "revoke", "9"]).contains("no token `9`"));
    assert!(program.refused(&["token", "create", "--tag", "no tag"]).contains("tags[0]"));
}

#[test]
fn a_peer_that_is_generated_gets_a_file_whose_private_key_is_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serve(folder.path());
    // Nothing is made for a peer whose file cannot be shown.
    assert!(program.refused(&["peer", "add", "phone", "--generate", "--with", "alpha"]).contains("alpha"));
    assert_eq!(json(&program.must(&["node", "list", "--json"])), serde_json::json!({ "nodes": [] }));

    let file = program.must(&["peer", "add", "phone", "--generate", "--endpoint", "192.0.2.7:51820"]);
    let private = file.lines().find_map(|line| line.strip_prefix("PrivateKey = ")).unwrap();
    private.parse::<WireguardKey>().unwrap();
    assert!(file.contains("Address = 100.64.0.1, fd") && file.contains("ListenPort = 51820"), "{file}");
    let node = json(&program.must(&["node", "show", "phone", "--json"]));
    assert_eq!((&node["kind"], &node["connected"]), (&"unmanaged".into(), &Value::Null));
    assert!(program.must(&["node", "list"]).contains("phone"));
    for name in ["coordinator.db", "coordinator.db-wal"] {
        let stored = fs::read(program.data.join(name)).unwrap();
        assert!(!stored.windows(private.len()).any(|window| window == private.as_bytes()));
    }
    let again = program.must(&["peer", "configuration", "phone"]);
    assert!(again.contains("PUT-THE-PRIVATE-KEY-HERE"), "{again}");
    program.must(&["peer", "remove", "phone"]);
    assert!(program.refused(&["node", "show", "phone"]).contains("no node `phone`"));
}

#[test]
fn commands_say_what_they_lack() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let refused = |arguments: &[&str]| {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let never_ran = refused(&["node", "list", "--data", nowhere.to_str().unwrap()]);
    assert!(never_ran.contains("twinmesh-coordinator serve"), "{never_ran}");
    let open = refused(&["serve", "--data", nowhere.to_str().unwrap(), "--http", "0.0.0.0:0"]);
    assert!(open.contains("--http-insecure"), "{open}");
    assert!(!nowhere.exists());

    let program = Program::serve(folder.path());
    let data = program.data.clone();
    program.stop();
    let away = refused(&["node", "list", "--data", data.to_str().unwrap()]);
    assert!(away.contains("is `twinmesh-coordinator serve` running?"), "{away}");
    for wrong in [&["token", "create", "--expires", "soon"][..], &["fly"], &["peer", "add", "x"], &[]] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn the_openapi_document_and_completions_need_no_server() {
    let openapi = json(str::from_utf8(&run(&["openapi"]).stdout).unwrap());
    assert!(openapi["paths"]["/api/v1/nodes"]["get"].is_object());
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            str::from_utf8(&run(&["completions", shell]).stdout).unwrap().contains("twinmesh-coordinator")
        );
    }
    assert!(str::from_utf8(&run(&["version"]).stdout).unwrap().starts_with("twinmesh-coordinator "));
}

#[test]
fn a_request_that_is_half_sent_does_not_keep_the_coordinator_from_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serve(folder.path());
    let mut stream = TcpStream::connect(program.api().address).unwrap();
    stream
        .write_all(b"POST /api/v1/sessions HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
        .unwrap();
    assert!(program.stop().success());
}
