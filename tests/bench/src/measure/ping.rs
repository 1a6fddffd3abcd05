//! Round trips, by ping.

use anyhow::{Context as _, Result, ensure};

use super::Bench;
use crate::pair::LEFT;

/// How to ping.
#[derive(Clone, Copy)]
pub(super) struct Series {
    /// Seconds between two requests.
    interval: &'static str,
    /// The first ones, which do not count.
    ahead: usize,
    counted: usize,
}

pub(super) const IDLE: Series = Series { interval: "0.01", ahead: 20, counted: 100 };
/// Half a second passes until the load that begins with it is at its height.
pub(super) const UNDER_LOAD: Series = Series { interval: "0.005", ahead: 100, counted: 200 };

/// Round trips in ms. One that was lost counts as the second that it was waited for.
pub(super) fn run(bench: &Bench<'_>, series: Series) -> Result<Vec<f64>> {
    const LOST_MS: f64 = 1000.0;
    let (from, to) = (bench.tunnel.from.to_string(), bench.tunnel.to.to_string());
    let count = (series.ahead + series.counted).to_string();
    // With a deadline of its own (-w) ping would send more, in place of those that are lost.
    let limited = ["timeout", "--signal=INT", "15"];
    let ping = ["ping", "-n", "-i", series.interval, "-c", &count, "-W", "1", "-I", &from, &to];
    let output = bench.mesh.output(LEFT, &[&limited[..], &ping].concat())?;
    let times = parse(&String::from_utf8_lossy(&output.stdout), series.ahead);
    ensure!(!times.is_empty(), "no answer: {}", String::from_utf8_lossy(&output.stderr).trim());
    let lost = series.counted.checked_sub(times.len()).context("more answers than requests")?;
    Ok(times.into_iter().chain(std::iter::repeat_n(LOST_MS, lost)).collect())
}

/// Of all but the first `ahead` requests that were answered.
fn parse(text: &str, ahead: usize) -> Vec<f64> {
    let answer = |line: &str| {
        let number = |name: &str| {
            let (_, rest) = line.split_once(name)?;
            rest.split(' ').next()
        };
        let sequence: usize = number("icmp_seq=")?.parse().ok()?;
        let time: f64 = number("time=")?.parse().ok()?;
        // A duplicate is no second answer.
        (sequence > ahead && !line.contains("DUP!")).then_some(time)
    };
    text.lines().filter_map(answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
PING 198.51.100.2 (198.51.100.2) from 198.51.100.1 : 56(84) bytes of data.
64 bytes from 198.51.100.2: icmp_seq=1 ttl=64 time=5.25 ms
64 bytes from 198.51.100.2: icmp_seq=2 ttl=64 time=0.250 ms
64 bytes from 198.51.100.2: icmp_seq=2 ttl=64 time=0.900 ms (DUP!)
64 bytes from 198.51.100.2: icmp_seq=4 ttl=64 time=12 ms

--- 198.51.100.2 ping statistics ---
4 packets transmitted, 3 received, +1 duplicates, 25% packet loss, time 13ms
rtt min/avg/max/mdev = 0.250/5.833/12.000/1.000 ms
";

    #[test]
    fn each_answer_gives_a_time_and_the_first_ones_do_not_count() {
        assert_eq!(parse(OUTPUT, 0), [5.25, 0.25, 12.0]);
        assert_eq!(parse(OUTPUT, 1), [0.25, 12.0]);
    }

    #[test]
    fn without_answers_there_are_no_times() {
        assert!(parse("From 192.0.2.1 icmp_seq=1 Destination Host Unreachable\n", 0).is_empty());
    }
}
