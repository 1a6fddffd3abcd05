//! Links have the properties that the scenario gives them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::probe::Probe;
use crate::support::{TestLab, both, until};

/// Two hosts; the link of `a` has these properties.
fn linked(properties: &str) -> TestLab {
    TestLab::up(&format!(
        r#"
        name = "linked"
        [network.lan]
        subnets = ["192.0.2.0/24", "2001:db8:1::/64"]
        [host.a]
        network = "lan"
        [host.a.interface.eth0]
        {properties}
        [host.b]
        network = "lan"
        "#
    ))
}

/// Numbers of the datagrams that arrive of `count` that `a` sends, in order of arrival.
fn arrivals(lab: &TestLab, count: u32) -> Vec<u32> {
    let (a, b) = (Probe::new(lab, "a", 5000), Probe::new(lab, "b", 1000));
    a.reach(&b, "start");
    a.burst(b.address, count, 100);
    // Some of them will be lost, none will be so late that all of these come before it.
    let mut numbers = Vec::new();
    loop {
        a.send(b.address, "end");
        while let Some((_, text)) = b.receive_within(Duration::from_millis(200)) {
            match text.parse() {
                Ok(number) => numbers.push(number),
                Err(_) if text == "end" => return numbers,
                Err(_) => {}
            }
        }
    }
}

fn different(numbers: &[u32]) -> usize {
    numbers.iter().collect::<BTreeSet<_>>().len()
}

/// The shortest round trip of five pings.
fn round_trip(lab: &TestLab) -> Duration {
    let output = lab.must("a", "ping -c 5 -i 0.2 -W 5 b");
    let times = output.split("time=").skip(1).filter_map(|it| it.split_whitespace().next()?.parse().ok());
    Duration::from_secs_f64(times.fold(f64::INFINITY, f64::min) / 1000.0)
}

#[test]
fn packets_larger_than_the_mtu_do_not_fit_and_smaller_ones_do() {
    for properties in ["mtu = 1280", "mtu = 1280\ndelay = \"1ms\""] {
        let lab = linked(properties);
        lab.must("a", "ping -4 -c 1 -W 5 -M do -s 1252 b");
        let large = lab.run("a", "ping -4 -c 1 -W 1 -M do -s 1253 b");
        assert!(!large.status.success());
        assert!(both(&large).contains("1280"), "{}", both(&large));
        assert!(lab.must("a", "ip link show eth0").contains("mtu 1280 "));
    }
}

#[test]
fn packets_up_to_a_large_mtu_fit() {
    let lab = TestLab::up(
        r#"
        name = "jumbo"
        [network.lan]
        subnets = ["192.0.2.0/24"]
        mtu = 9000
        [host.a]
        network = "lan"
        [host.b]
        network = "lan"
        [host.b.interface.eth0]
        delay = "1ms"
        "#,
    );
    lab.must("a", "ping -c 1 -W 5 -M do -s 8972 b");
}

#[test]
fn a_rate_limits_a_transfer_with_and_without_the_link_process() {
    for properties in ["rate = \"8mbit\"", "rate = \"8mbit\"\nloss = \"0%\""] {
        let lab = linked(properties);
        let (a, b) = (Probe::new(&lab, "a", 5000), Probe::new(&lab, "b", 1000));
        // Half a second at the rate, less what one end's bucket and queue take at once.
        let time = a.transfer(b.address, 500_000);
        assert!(time > Duration::from_millis(350), "{properties}: {time:?}");
        assert!(time < Duration::from_secs(5), "{properties}: {time:?}");
    }
}

#[test]
fn a_link_without_rate_is_not_limited() {
    let lab = linked("mtu = 1500");
    let (a, b) = (Probe::new(&lab, "a", 5000), Probe::new(&lab, "b", 1000));
    // Not each, on a busy machine.
    until("a transfer is fast", || a.transfer(b.address, 500_000) < Duration::from_millis(350));
}

#[test]
fn a_delay_counts_in_both_directions() {
    let round_trip = round_trip(&linked("delay = \"30ms\""));
    assert!(round_trip >= Duration::from_millis(60), "{round_trip:?}");
    assert!(round_trip < Duration::from_millis(250), "{round_trip:?}");
}

#[test]
fn jitter_spreads_arrivals_and_keeps_their_order() {
    let numbers = arrivals(&linked("delay = \"10ms\"\njitter = \"5ms\""), 500);
    assert_eq!(numbers, (0..500).collect::<Vec<_>>());
}

#[test]
fn a_lossy_link_loses_its_share() {
    let numbers = arrivals(&linked("loss = \"30%\""), 1000);
    assert!((600..800).contains(&numbers.len()), "{}", numbers.len());
    assert!(numbers.is_sorted());
}

#[test]
fn a_duplicating_link_doubles_its_share_and_loses_none() {
    let numbers = arrivals(&linked("duplicate = \"20%\""), 1000);
    assert_eq!(different(&numbers), 1000);
    assert!((1120..1280).contains(&numbers.len()), "{}", numbers.len());
}

#[test]
fn a_reordering_link_lets_later_packets_overtake_and_loses_none() {
    let lab = linked("reorder = \"10%\"");
    let numbers = arrivals(&lab, 1000);
    let overtaken = numbers.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(overtaken > 20, "{overtaken}");
    // The end mark may overtake the last ones.
    assert!(different(&numbers) >= 950, "{}", different(&numbers));
}

#[test]
fn one_line_captures_what_a_host_sends_and_receives() {
    let lab = TestLab::up(
        r#"
        name = "captured"
        [network.lan]
        subnets = ["192.0.2.0/24"]
        [host.a]
        network = "lan"
        capture = true
        [host.b]
        network = "lan"
        "#,
    );
    let (a, b) = (Probe::new(&lab, "a", 5000), Probe::new(&lab, "b", 1000));
    a.reach(&b, "a-question-on-the-wire");
    b.reach(&a, "an-answer-on-the-wire");
    let pcap = lab.lab.capture("a", "eth0");
    let contains = |text: &str| {
        let bytes = std::fs::read(&pcap).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    until("both packets are in the capture", || {
        contains("a-question-on-the-wire") && contains("an-answer-on-the-wire")
    });
    // Microseconds, little-endian; link type 1 is Ethernet.
    let bytes = std::fs::read(&pcap).unwrap();
    assert_eq!((&bytes[..4], &bytes[20..24]), (&[0xd4, 0xc3, 0xb2, 0xa1][..], &[1, 0, 0, 0][..]));
    assert!(!lab.lab.capture("b", "eth0").exists());
}
