//! Labs come up, stand beside each other, and vanish as a whole, whoever is killed.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use twinmesh_lab::{Lab, LabError, Options, Signal, folder};

use crate::support::{PAIR, TestLab, helper, processes_of, state, until};

fn options(root: &Path, name: &str) -> Options {
    Options { root: Some(root.to_owned()), name: Some(name.to_owned()), ..Options::default() }
}

#[test]
fn labs_with_the_same_addresses_stand_side_by_side() {
    let labs: Vec<TestLab> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| TestLab::up(PAIR))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (number, lab) in labs.iter().enumerate() {
        lab.must("a", &format!("echo {number} >/run/number; ping -c 1 -W 5 b"));
    }
    for (number, lab) in labs.iter().enumerate() {
        assert_eq!(lab.must("a", "cat /run/number").trim(), number.to_string());
        assert!(!lab.run("b", "cat /run/number").status.success(), "each host has a /run of its own");
    }
}

#[test]
fn a_dropped_lab_leaves_no_process_and_no_folder() {
    let root = TempDir::new().unwrap();
    let lab = Lab::up(PAIR, options(root.path(), "dropped")).unwrap();
    lab.host("a").spawn("sleeper", &["sleep", "1000"], &[]).unwrap();
    let folder = lab.folder();
    assert!(folder.exists() && !processes_of(root.path()).is_empty());
    drop(lab);
    assert!(!folder.exists());
    until("no process is left", || processes_of(root.path()).is_empty());
}

#[test]
fn a_lab_is_up_once_under_one_name() {
    let root = TempDir::new().unwrap();
    let lab = Lab::up(PAIR, options(root.path(), "twice")).unwrap();
    assert!(matches!(Lab::up(PAIR, options(root.path(), "twice")), Err(LabError::AlreadyUp(_))));
    assert!(lab.host("a").command("true").status().unwrap().success(), "the first one stays");
    lab.down().unwrap();
    Lab::up(PAIR, options(root.path(), "twice")).unwrap().down().unwrap();
}

#[test]
fn a_lab_ends_with_its_owner_and_the_next_one_cleans_its_folder() {
    let root = TempDir::new().unwrap();
    let other = Lab::up(PAIR, options(root.path(), "other")).unwrap();
    let mut owner =
        Command::new(helper("owner")).arg(root.path()).arg(PAIR).stdin(Stdio::piped()).spawn().unwrap();
    let up = |name: &str| state(root.path(), name).filter(|state| state.phase == folder::Phase::Up);
    until("the other program's lab is up", || up("orphan").is_some());
    let init = up("orphan").unwrap().init;
    owner.kill().unwrap();
    owner.wait().unwrap();
    until("the lab ends with its owner", || !init.is_alive());
    until("no process of it is left", || processes_of(&root.path().join("orphan")).is_empty());
    Lab::up(PAIR, options(root.path(), "next")).unwrap().down().unwrap();
    assert!(!root.path().join("orphan").exists());
    assert!(
        other.host("a").command("ping").args(["-c", "1", "-W", "5", "b"]).output().unwrap().status.success()
    );
}

#[test]
fn a_lab_whose_first_process_is_killed_is_down_and_can_be_cleaned() {
    let root = TempDir::new().unwrap();
    let lab = Lab::up(PAIR, options(root.path(), "headless")).unwrap();
    lab.state().init.signal(Signal::SIGKILL).unwrap();
    until("no process is left", || processes_of(root.path()).is_empty());
    assert!(matches!(Lab::open(root.path(), "headless"), Err(LabError::NotUp(_))));
    assert_eq!(twinmesh_lab::list(root.path())[0].status, "down");
    assert!(twinmesh_lab::down(root.path(), "headless").unwrap());
    assert!(!twinmesh_lab::down(root.path(), "headless").unwrap(), "nothing is left to clean");
    assert!(!lab.folder().exists());
}

#[test]
fn a_program_that_never_gets_ready_is_named_with_its_log_and_nothing_stays() {
    let root = TempDir::new().unwrap();
    let scenario = |rest: &str| format!("{PAIR}\n[[host.b.run]]\nname = \"service\"\n{rest}");
    let late = scenario("command = \"echo so far; sleep 1000\"\nready = { tcp = 80, deadline = \"300ms\" }");
    let error = Lab::up(late.as_str(), options(root.path(), "late")).unwrap_err().to_string();
    for part in ["`service` on `b`", "nothing listens on TCP port 80", "so far"] {
        assert!(error.contains(part), "{error}");
    }
    let ended = scenario("command = \"echo cannot; exit 4\"\nready.tcp = 80");
    let error = Lab::up(ended.as_str(), options(root.path(), "ended")).unwrap_err().to_string();
    assert!(error.contains("status 4") && error.contains("cannot"), "{error}");
    until("no process is left", || processes_of(root.path()).is_empty());
    assert!(twinmesh_lab::list(root.path()).is_empty());
}
