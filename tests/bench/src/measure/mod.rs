//! Everything that is measured of one candidate in one round.

mod iperf;
mod ping;
pub(crate) mod process;
mod syscalls;

use anyhow::{Context as _, Result, ensure};
use twinmesh_e2e::Mesh;

pub(crate) use self::syscalls::find as find_syscall_counter;
use crate::candidate::Tunnel;
use crate::figure::{Figure, Sample};
use crate::statistics::{median, percentile};

/// What one round gave.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) sample: Sample,
    /// Measurements that failed.
    pub(crate) problems: Vec<String>,
}

/// A tunnel under test.
pub(crate) struct Bench<'a> {
    pub(crate) mesh: &'a Mesh,
    pub(crate) tunnel: &'a Tunnel,
    /// Of each throughput test.
    pub(crate) seconds: u16,
}

pub(crate) type Figures = Vec<(Figure, f64)>;

impl Bench<'_> {
    /// What fails is missing in the sample; the rest is measured all the same.
    pub(crate) fn measure(&self, count_syscalls: bool) -> Round {
        let mut round = Round::default();
        round.take("ping", self.ping_idle());
        round.take("TCP, one stream", self.tcp_with_cost());
        round.take("TCP, four streams", self.tcp(Figure::Tcp4, &["-P", "4"]));
        round.take("TCP, reverse", self.tcp(Figure::Tcp1Reverse, &["-R"]));
        round.take("UDP, 1,200 bytes", self.udp("1200", Figure::Udp, Figure::UdpLost));
        round.take("UDP, 200 bytes", self.udp("200", Figure::UdpSmall, Figure::UdpSmallLost));
        round.take("ping under load", self.ping_under_load());
        if !self.tunnel.processes.is_empty() {
            round.take("memory", self.memory());
            if count_syscalls {
                round.take("system calls", self.syscalls());
            }
        }
        round
    }

    pub(crate) fn ping_idle(&self) -> Result<Figures> {
        let times = ping::run(self, ping::IDLE)?;
        Ok(vec![(Figure::Ping, median(&times).context("no answer")?)])
    }

    /// The load is there before the pings that count.
    fn ping_under_load(&self) -> Result<Figures> {
        let load = iperf::Background::start(self)?;
        let times = ping::run(self, ping::UNDER_LOAD);
        load.end()?;
        let times = times?;
        let figure = |percent| percentile(&times, percent).context("no answer");
        Ok(vec![(Figure::PingLoadMedian, figure(50)?), (Figure::PingLoadTail, figure(99)?)])
    }

    pub(crate) fn tcp_with_cost(&self) -> Result<Figures> {
        let before = process::cpu_seconds(&self.tunnel.processes)?;
        let flow = iperf::run(self, &[])?;
        let used = process::cpu_seconds(&self.tunnel.processes)? - before;
        ensure!(flow.bytes > 0.0, "nothing came through");
        let mut figures = vec![(Figure::Tcp1, flow.gigabits)];
        if !self.tunnel.processes.is_empty() {
            figures.push((Figure::Cpu, used * 1e9 / flow.bytes));
        }
        Ok(figures)
    }

    fn tcp(&self, figure: Figure, flags: &[&str]) -> Result<Figures> {
        Ok(vec![(figure, iperf::run(self, flags)?.gigabits)])
    }

    fn udp(&self, length: &str, rate: Figure, lost: Figure) -> Result<Figures> {
        let flow = iperf::run(self, &["-u", "-b", "0", "-l", length])?;
        Ok(vec![(rate, flow.gigabits), (lost, flow.lost_percent.context("iperf3 says nothing of loss")?)])
    }

    fn memory(&self) -> Result<Figures> {
        Ok(vec![(Figure::Memory, process::peak_memory_kb(&self.tunnel.processes)?)])
    }

    fn syscalls(&self) -> Result<Figures> {
        let (calls, flow) = syscalls::count(self)?;
        ensure!(flow.bytes > 0.0, "nothing came through");
        Ok(vec![(Figure::Syscalls, calls * 1e9 / flow.bytes)])
    }
}

impl Round {
    fn take(&mut self, what: &str, measured: Result<Figures>) {
        match measured {
            Ok(figures) => self.sample.extend(figures),
            Err(error) => self.problems.push(format!("{what}: {error:#}")),
        }
    }
}
