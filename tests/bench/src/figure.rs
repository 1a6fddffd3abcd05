//! What is measured of each candidate.

use std::collections::BTreeMap;

/// A figure of the report, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    Tcp1,
    Tcp4,
    Tcp1Reverse,
    Udp,
    UdpLost,
    UdpSmall,
    UdpSmallLost,
    Ping,
    PingLoadMedian,
    PingLoadTail,
    Cpu,
    Memory,
    Syscalls,
}

/// One round of one candidate.
pub(crate) type Sample = BTreeMap<Figure, f64>;

impl Figure {
    pub(crate) const ALL: [Self; 13] = [
        Self::Tcp1,
        Self::Tcp4,
        Self::Tcp1Reverse,
        Self::Udp,
        Self::UdpLost,
        Self::UdpSmall,
        Self::UdpSmallLost,
        Self::Ping,
        Self::PingLoadMedian,
        Self::PingLoadTail,
        Self::Cpu,
        Self::Memory,
        Self::Syscalls,
    ];

    /// Its name in the JSON report.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Tcp1 => "tcp1",
            Self::Tcp4 => "tcp4",
            Self::Tcp1Reverse => "tcp1_reverse",
            Self::Udp => "udp_gbps",
            Self::UdpLost => "udp_lost_percent",
            Self::UdpSmall => "udp_small_gbps",
            Self::UdpSmallLost => "udp_small_lost_percent",
            Self::Ping => "ping_ms",
            Self::PingLoadMedian => "ping_load_p50_ms",
            Self::PingLoadTail => "ping_load_p99_ms",
            Self::Cpu => "cpu_s_per_GB",
            Self::Memory => "rss_kb",
            Self::Syscalls => "syscalls_per_GB",
        }
    }

    /// A column's head, with the unit.
    pub(crate) const fn heading(self) -> &'static str {
        match self {
            Self::Tcp1 => "TCP, 1 stream, Gb/s",
            Self::Tcp4 => "4 streams",
            Self::Tcp1Reverse => "reverse",
            Self::Udp => "UDP 1,200 B, Gb/s",
            Self::UdpLost => "lost %",
            Self::UdpSmall => "UDP 200 B, Gb/s",
            Self::UdpSmallLost => "lost % of 200 B",
            Self::Ping => "ping, ms",
            Self::PingLoadMedian => "under load p50, ms",
            Self::PingLoadTail => "under load p99, ms",
            Self::Cpu => "CPU s per GB",
            Self::Memory => "memory, MiB",
            Self::Syscalls => "system calls per GB",
        }
    }

    /// As a table's cell shows it.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Tcp1
            | Self::Tcp4
            | Self::Tcp1Reverse
            | Self::Ping
            | Self::PingLoadMedian
            | Self::PingLoadTail
            | Self::Cpu => format!("{value:.2}"),
            Self::Udp | Self::UdpSmall => format!("{value:.3}"),
            Self::UdpLost | Self::UdpSmallLost => format!("{value:.1}"),
            Self::Memory => format!("{:.1}", value / 1024.0),
            Self::Syscalls => format!("{value:.0}"),
        }
    }
}
