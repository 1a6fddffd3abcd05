//! Why the data plane refuses to start or to take a peer, in words for the operator.

use std::io;

use twinmesh_wireguard::PublicKey;

/// The data plane did not start; nothing of it is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    #[error(
        "/dev/net/tun is missing: load the driver (`modprobe tun`), or give the container the device \
         (`--device /dev/net/tun`)"
    )]
    TunMissing,
    #[error(
        "/dev/net/tun is not the TUN driver's device: make it anew (`mknod /dev/net/tun c 10 200`), or give the \
         container the host's (`--device /dev/net/tun`)"
    )]
    TunForeign,
    #[error(
        "no permission to make a TUN device: run as root, or grant the capability \
         (`setcap cap_net_admin+ep <program>`; in a container `--cap-add NET_ADMIN`)"
    )]
    TunPermission,
    /// Without a pid, nobody has it open: it is a persistent device (`ip tuntap add`).
    #[error("TUN device {name} {}", pid.map_or("exists already".to_owned(), |pid| format!("is in use by process {pid}")))]
    TunBusy { name: String, pid: Option<u32> },
    #[error("TUN device name {0:?} is not 1 to 15 bytes without '/' or blanks")]
    TunName(String),
    #[error("an MTU of {0} is outside 1280 to 65455")]
    Mtu(u16),
    #[error("cannot set up TUN device {name}")]
    Tun { name: String, source: io::Error },
    #[error("UDP port {port} is in use{}", holder(*.pid))]
    PortBusy { port: u16, pid: Option<u32> },
    #[error("cannot open the UDP port {port}")]
    Udp { port: u16, source: io::Error },
    #[error("cannot start a worker thread")]
    Thread(#[source] io::Error),
    #[error("no random numbers from the operating system")]
    Random,
}

fn holder(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" by process {pid}")).unwrap_or_default()
}

/// A peer that the data plane cannot take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    #[error("{0} is this node's own key")]
    OwnKey(PublicKey),
    #[error("all 16,777,216 receiver indices are taken")]
    IndicesExhausted,
    #[error("no random numbers from the operating system")]
    Random,
}
