//! Links and programs change while the lab is up.

use std::time::Duration;

use twinmesh_lab::{LabError, LinkChange, Signal, Status};

use crate::probe::Probe;
use crate::support::{DEADLINE, PAIR, TestLab, both, until};

const IMPAIRED: &str = r#"
name = "impaired"
[network.lan]
subnets = ["192.0.2.0/24"]
[host.a]
network = "lan"
[host.a.interface.eth0]
loss = "0%"
[host.b]
network = "lan"
[[host.b.run]]
name = "service"
command = "echo ready; trap 'echo bye; exit 3' TERM; while :; do sleep 0.01; done"
ready.log = "ready"
"#;

fn change(lab: &mut TestLab, changes: &[&str]) -> Result<(), LabError> {
    let changes: Vec<LinkChange> = changes.iter().map(|change| change.parse().unwrap()).collect();
    lab.lab.link("a", "eth0", &changes)
}

#[test]
fn an_impaired_link_takes_on_loss_and_delay_and_loses_them_again() {
    let mut lab = TestLab::up(IMPAIRED);
    let (a, b) = (Probe::new(&lab, "a", 5000), Probe::new(&lab, "b", 1000));
    a.reach(&b, "before");
    change(&mut lab, &["loss=100%"]).unwrap();
    a.send(b.address, "lost");
    change(&mut lab, &["loss=0%", "delay=40ms"]).unwrap();
    a.reach(&b, "after");
    assert_eq!(b.receive_within(Duration::ZERO), None);
    let slow = both(&lab.run("a", "ping -c 1 -W 5 b"));
    let time: f64 = slow.split("time=").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!(time >= 80.0, "{slow}");
}

#[test]
fn a_pulled_link_passes_nothing_until_it_is_plugged_in_again() {
    for scenario in [PAIR, IMPAIRED] {
        let mut lab = TestLab::up(scenario);
        let addresses = lab.must("a", "ip -o address show dev eth0 scope global");
        lab.must("a", "ping -c 1 -W 5 b");
        change(&mut lab, &["down"]).unwrap();
        until("the host sees no carrier", || lab.must("a", "ip link show eth0").contains("NO-CARRIER"));
        assert!(!lab.run("a", "ping -c 1 -W 1 b").status.success());
        change(&mut lab, &["up"]).unwrap();
        until("packets pass again", || lab.run("a", "ping -c 1 -W 1 b").status.success());
        assert_eq!(lab.must("a", "ip -o address show dev eth0 scope global"), addresses);
    }
}

#[test]
fn a_plain_link_changes_its_mtu_and_rate_but_cannot_become_lossy() {
    let mut lab = TestLab::up(PAIR);
    change(&mut lab, &["mtu=1300", "rate=8mbit"]).unwrap();
    assert!(lab.must("a", "ip link show eth0").contains("mtu 1300 "));
    let (a, b) = (Probe::new(&lab, "a", 5000), Probe::new(&lab, "b", 1000));
    let limited = a.transfer(b.address, 500_000);
    assert!(limited > Duration::from_millis(350), "{limited:?}");
    change(&mut lab, &["rate=none"]).unwrap();
    until("a transfer is fast", || a.transfer(b.address, 500_000) < Duration::from_millis(350));
    assert!(matches!(change(&mut lab, &["loss=1%"]), Err(LabError::PlainLink(_))));
}

#[test]
fn a_program_of_the_scenario_is_stopped_and_started_again() {
    let lab = TestLab::up(IMPAIRED);
    let b = lab.host("b");
    let service = b.program("service").unwrap();
    assert!(matches!(b.restart("service"), Err(LabError::ProgramRuns { .. })));
    assert_eq!(service.stop(DEADLINE).unwrap(), 3);
    assert_eq!(service.status(), Some(Status::Ended(3)));
    b.restart("service").unwrap();
    assert!(service.is_running());
    service.signal(Signal::SIGKILL).unwrap();
    assert_eq!(service.wait(DEADLINE), Some(128 + 9));
    assert!(matches!(b.program("nothing"), Err(LabError::UnknownProgram { .. })));
}

#[test]
fn a_program_started_by_a_test_has_a_log_and_an_environment() {
    let lab = TestLab::up(PAIR);
    let argv =
        ["sh", "-c", "echo $GREETING from $TWINMESH_LAB_HOST; echo state >$TWINMESH_LAB_HOST_DIR/file"];
    let program = lab.host("a").spawn("greeter", &argv, &[("GREETING", "hello")]).unwrap();
    assert_eq!(program.wait(DEADLINE), Some(0));
    assert_eq!(program.log(), "hello from a\n");
    assert_eq!(std::fs::read_to_string(lab.host("a").folder().join("file")).unwrap(), "state\n");
}
