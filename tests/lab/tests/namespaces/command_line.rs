//! The binary, as a user meets it.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{CommandLine, PAIR, both, processes_of, until};

fn pair() -> CommandLine {
    let line = CommandLine::new();
    let file = line.file("pair.toml", PAIR);
    line.must(&["up", &file]);
    line
}

#[test]
fn up_exec_status_list_and_down_work_without_naming_the_only_lab() {
    let line = pair();
    line.must(&["exec", "a", "--", "ping", "-c", "1", "-W", "5", "b"]);
    let status: serde_json::Value = serde_json::from_str(&line.must(&["status", "--json"])).unwrap();
    assert_eq!(status["name"], "pair");
    assert_eq!(status["nodes"][1]["name"], "b");
    assert_eq!(status["nodes"][1]["interfaces"][0]["addresses"][0], "192.0.2.2/24");
    assert!(line.must(&["status"]).contains("192.0.2.2/24"));
    let list: serde_json::Value = serde_json::from_str(&line.must(&["list", "--json"])).unwrap();
    assert_eq!((&list[0]["name"], &list[0]["status"]), (&"pair".into(), &"up".into()));
    line.must(&["down"]);
    assert_eq!(line.folders(), <[&str; 0]>::default());
    assert!(processes_of(&line.labs()).is_empty());
    line.must(&["down", "pair"]);
}

#[test]
fn exec_passes_input_output_and_exit_status_through() {
    let line = pair();
    for status in [0, 1, 2, 42, 255] {
        line.fails(status, &["exec", "a", "--", "sh", "-c", &format!("exit {status}")]);
    }
    line.fails(128 + 9, &["exec", "a", "--", "sh", "-c", "kill -KILL $$"]);
    let missing =
        line.command(&["exec", "a", "no-such-program"]).env("PATH", "/usr/bin:/bin").output().unwrap();
    assert_eq!(missing.status.code(), Some(127), "{}", both(&missing));
    let mut child = line
        .command(&["exec", "a", "--", "sh", "-c", "cat; echo to-err >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"from stdin\0\xff").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"from stdin\0\xff"[..], &b"to-err\n"[..]));
}

#[test]
fn exec_passes_signals_on_and_its_own_death_ends_the_program() {
    let line = pair();
    let dir = line.labs().join("pair/hosts.d/a");
    let run = |script: &str, mark: &str| {
        let child = line.command(&["exec", "a", "--", "sh", "-c", script]).spawn().unwrap();
        until(mark, || dir.join(mark).exists());
        (Pid::from_raw(i32::try_from(child.id()).unwrap()), child)
    };
    let script = "trap 'exit 5' TERM; touch $TWINMESH_LAB_HOST_DIR/first; while :; do sleep 0.01; done";
    let (pid, mut child) = run(script, "first");
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    let (pid, mut child) = run("touch $TWINMESH_LAB_HOST_DIR/second; exec sleep 1003", "second");
    kill(pid, Signal::SIGKILL).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let is_sleep = |pid: &i32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command == b"sleep\x001003\0"
    };
    let sleeps = || processes_of(&line.labs()).iter().any(is_sleep);
    until("the program has ended too", || !sleeps());
}

#[test]
fn several_labs_have_to_be_named_and_are_taken_down_one_by_one_or_all() {
    let line = pair();
    let file = line.file("pair.toml", PAIR);
    for name in ["second", "third"] {
        line.must(&["up", &file, "--name", name]);
    }
    assert!(line.fails(1, &["exec", "a", "true"]).contains("pair, second, third"));
    line.must(&["exec", "--lab", "second", "a", "true"]);
    assert!(line.fails(2, &["down"]).contains("--all"));
    line.must(&["down", "second"]);
    assert_eq!(line.folders(), ["pair", "third"]);
    line.must(&["exec", "--lab", "third", "a", "--", "ping", "-c", "1", "-W", "5", "b"]);
    line.must(&["down", "--all"]);
    assert_eq!(line.folders(), <[&str; 0]>::default());
}

#[test]
fn an_interrupted_up_leaves_nothing_running_and_down_cleans_it_and_only_it() {
    let line = pair();
    let program = "[[host.b.run]]\nname = \"never\"\ncommand = \"sleep 1000\"\nready = { file = \"/no\", deadline = \"60s\" }";
    let file = line.file("never.toml", &format!("{PAIR}\n{program}").replace("\"pair\"", "\"never\""));
    let mut up = line.command(&["up", &file]).stderr(Stdio::null()).spawn().unwrap();
    until("the program runs", || line.labs().join("never/programs/b/never/pid").exists());
    up.kill().unwrap();
    up.wait().unwrap();
    until("its processes end", || processes_of(&line.labs().join("never")).is_empty());
    assert!(line.fails(1, &["status", "--lab", "never"]).contains("not up"));
    assert!(line.must(&["list"]).contains("down"));
    line.must(&["down", "never"]);
    assert_eq!(line.folders(), ["pair"]);
    line.must(&["exec", "--lab", "pair", "a", "--", "ping", "-c", "1", "-W", "5", "b"]);
}

#[test]
fn down_cleans_a_lab_that_is_up_and_whose_up_has_long_ended() {
    let line = pair();
    let init = line.state("pair").unwrap().init;
    assert!(init.is_alive());
    line.must(&["down", "pair"]);
    assert!(!init.is_alive() && processes_of(&line.labs()).is_empty());
}

#[test]
fn a_wrong_scenario_is_bad_usage_and_the_message_names_file_and_line() {
    let line = CommandLine::new();
    let wrong = [
        ("name = \"x\"\n[network.lan]\nsubnets = [\"10.0.0.0/8\"]", "wrong.toml:3: ", "documentation range"),
        ("name = \"x\"\n\n[host.a]\nnetwork = \"lam\"", "wrong.toml:4: ", "no network `lam`"),
        ("name = \"x\"\n[router.a]\nnat = \"cone\"", "wrong.toml:3: ", "cone"),
        ("name = \"x\"\nnetwerk = 1", "wrong.toml:2: ", "netwerk"),
        ("name = ", "wrong.toml:1: ", ""),
    ];
    for (scenario, place, words) in wrong {
        let file = line.file("wrong.toml", scenario);
        for command in ["up", "check"] {
            let message = line.fails(2, &[command, &file]);
            assert!(message.contains(place) && message.contains(words), "{message}");
        }
    }
    let file = line
        .file("variable.toml", &format!("{PAIR}\n[[host.b.run]]\nname = \"x\"\ncommand = \"${{nothing}}\""));
    let message = line.fails(2, &["up", &file]);
    assert!(message.contains("line 11") && message.contains("--set"), "{message}");
    assert_eq!(line.folders(), <[&str; 0]>::default());
}

#[test]
fn names_that_do_not_exist_are_answered_with_those_that_do() {
    let line = pair();
    assert!(line.fails(1, &["exec", "c", "true"]).contains("it has: a, b"));
    assert!(line.fails(1, &["status", "--lab", "other"]).contains("not up"));
    assert!(line.fails(1, &["link", "a:eth7", "down"]).contains("eth0"));
    assert!(line.fails(1, &["nat-forget", "a"]).contains("translates nothing"));
    assert!(line.fails(1, &["stop", "a", "nothing"]).contains("no program"));
    assert!(line.fails(1, &["up", &line.file("again.toml", PAIR)]).contains("up already"));
    line.fails(2, &["link", "a", "speed=1"]);
    line.fails(2, &["up", "no-such-file.toml"]);
    line.fails(2, &["exec"]);
}

#[test]
fn programs_take_variables_and_are_stopped_and_started_by_hand() {
    let line = CommandLine::new();
    let program = "[[host.b.run]]\nname = \"service\"\ncommand = \"echo ${greeting} ${host} ${scenario_dir}; exec sleep 1000\"\nready.log = \"b\"";
    let file = line.file("service.toml", &format!("{PAIR}\n{program}"));
    line.must(&["up", &file, "--set", "greeting=hello"]);
    let greeting = format!("hello b {}\n", line.root.path().canonicalize().unwrap().display());
    assert_eq!(line.must(&["logs", "b", "service"]), greeting);
    line.must(&["stop", "b", "service"]);
    assert!(line.must(&["status"]).contains("ended, status 143"));
    line.must(&["start", "b", "service"]);
    assert!(line.must(&["status"]).contains("runs, pid"));
    assert_eq!(line.must(&["logs", "b", "service"]), greeting.repeat(2));
    assert!(line.must(&["logs"]).contains("b service: hello"));
}

#[test]
fn completions_and_help_are_there() {
    let line = CommandLine::new();
    assert!(line.must(&["completions", "bash"]).contains("nat-forget"));
    let help = line.must(&["--help"]);
    assert!(help.contains("EXAMPLES") && help.contains("EXIT STATUS") && !help.contains("link-process"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let line = CommandLine::new();
    let mut child =
        line.command(&["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", both(&output));
}
