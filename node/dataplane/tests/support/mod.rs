//! Two network namespaces joined by a veth pair, with a data plane in each.

pub mod sums;
pub mod transfer;
pub mod twins;

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use twinmesh_dataplane::{
    Config, Dataplane, EndpointPolicy, Event, Offload, PeerConfig, PeerStatus, PrivateKey, PublicKey,
    StartError,
};

/// Long enough for a loaded machine, never waited out in a good run.
pub const DEADLINE: Duration = Duration::from_secs(20);
pub const TUN: &str = "mesh0";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A network namespace that goes with this value.
pub struct Namespace {
    name: String,
}

impl Namespace {
    pub fn new(side: &str) -> Self {
        let name = format!("dp{}-{}{side}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        sh(&format!("ip netns add {name} && ip -n {name} link set lo up"));
        Self { name }
    }

    /// A link to another one, with these addresses there and here: `veth1` there and here.
    pub fn join(&self, other: &Self, there: &str, here: &str) {
        sh(&format!("ip link add veth1 netns {} type veth peer name veth1 netns {}", self.name, other.name));
        other.must(&format!("ip addr add {there} dev veth1 && ip link set veth1 up"));
        self.must(&format!("ip addr add {here} dev veth1 && ip link set veth1 up"));
    }

    /// Runs something on a thread inside.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.name)).unwrap();
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
                inside()
            });
            thread.join().unwrap()
        })
    }

    /// Runs a shell command inside; its success is the caller's to judge.
    pub fn sh(&self, command: &str) -> Output {
        self.command(command).output().unwrap()
    }

    /// A shell command that will run inside.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "sh", "-c", line]);
        command
    }

    pub fn must(&self, command: &str) -> String {
        let output = self.sh(command);
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        sh(&format!("ip netns del {}", self.name));
    }
}

/// One end: its data plane is dropped before its namespace.
pub struct Node {
    pub dataplane: Dataplane,
    pub namespace: Namespace,
    pub key: PublicKey,
    pub events: Arc<Mutex<Vec<Event>>>,
    pub number: u8,
}

impl Node {
    pub fn status_of(&self, peer: PublicKey) -> PeerStatus {
        *self.dataplane.status().peers.iter().find(|status| status.public_key == peer).unwrap()
    }

    pub fn drops(&self, reason: &str) -> u64 {
        self.dataplane.status().drops.iter().find(|(name, _)| *name == reason).unwrap().1
    }

    pub fn adjusted(&self, how: &str) -> u64 {
        self.dataplane.status().adjusted.iter().find(|(name, _)| *name == how).unwrap().1
    }

    pub fn calls(&self, call: &str) -> u64 {
        self.dataplane.status().calls.iter().find(|(name, _)| *name == call).unwrap().1
    }

    /// How others know this node: its inner addresses, reached at these endpoints.
    pub fn as_peer(&self, endpoints: &[&str]) -> PeerConfig {
        let number = self.number;
        PeerConfig {
            public_key: self.key,
            preshared_key: None,
            endpoints: endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect(),
            allowed_ips: vec![
                format!("100.64.0.{number}/32").parse().unwrap(),
                format!("fd00:64::{number}/128").parse().unwrap(),
            ],
            endpoint: EndpointPolicy::Follow,
            keepalive: None,
            wireguard: true,
            probe: None,
            partial_checksums: false,
        }
    }

    pub fn pings(&self, address: &str) -> bool {
        self.sh_ok(&format!("ping -c 1 -W 1 {address}"))
    }

    pub fn sh_ok(&self, command: &str) -> bool {
        self.namespace.sh(command).status.success()
    }
}

pub fn start(
    namespace: &Namespace,
    port: u16,
    key: PrivateKey,
    events: &Arc<Mutex<Vec<Event>>>,
    offload: Offload,
) -> Result<Dataplane, StartError> {
    let events = Arc::clone(events);
    let config = Config {
        tun_name: TUN.to_owned(),
        mtu: 1420,
        port,
        workers: 2,
        mark: None,
        private_key: key,
        offload,
    };
    namespace.run(move || Dataplane::start(config, Arc::new(move |event| events.lock().unwrap().push(event))))
}

/// Two nodes, 1 and 2: outside 192.0.2.N and 2001:db8::N, inside 100.64.0.N and fd00:64::N. They do not know
/// each other yet.
pub fn pair() -> (Node, Node) {
    pair_with([Offload::ALL; 2])
}

/// As [`pair`], with what the kernel may do for each.
pub fn pair_with([offload_a, offload_b]: [Offload; 2]) -> (Node, Node) {
    let (a, b) = (Namespace::new("a"), Namespace::new("b"));
    sh(&format!("ip link add veth0 netns {} type veth peer name veth0 netns {}", a.name, b.name));
    (node(a, 1, offload_a), node(b, 2, offload_b))
}

/// Node 3, which reaches node 1 by a link of its own.
pub fn third(first: &Namespace) -> Node {
    let namespace = Namespace::new("c");
    sh(&format!("ip link add veth2 netns {} type veth peer name veth0 netns {}", first.name, namespace.name));
    first.must("ip link set veth2 up && ip route add 192.0.2.3/32 dev veth2 src 192.0.2.1");
    node(namespace, 3, Offload::ALL)
}

fn node(namespace: Namespace, number: u8, offload: Offload) -> Node {
    namespace.must(&format!(
        "ip addr add 192.0.2.{number}/24 dev veth0 && ip addr add 2001:db8::{number}/64 dev veth0 nodad \
         && ip link set veth0 up"
    ));
    let key = PrivateKey::generate().unwrap();
    let public = key.public_key();
    let events = Arc::default();
    let dataplane = start(&namespace, 4500, key, &events, offload).unwrap();
    namespace.must(&format!(
        "ip addr add 100.64.0.{number}/10 dev {TUN} && ip addr add fd00:64::{number}/64 dev {TUN} nodad"
    ));
    Node { dataplane, namespace, key: public, events, number }
}

/// Two nodes that know each other over IPv4.
pub fn meshed() -> (Node, Node) {
    meshed_with([Offload::ALL; 2])
}

/// As [`meshed`], with what the kernel may do for each.
pub fn meshed_with(offload: [Offload; 2]) -> (Node, Node) {
    let (a, b) = pair_with(offload);
    a.dataplane.set_peer(b.as_peer(&["192.0.2.2:4500"])).unwrap();
    b.dataplane.set_peer(a.as_peer(&["192.0.2.1:4500"])).unwrap();
    (a, b)
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {DEADLINE:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

pub fn endpoint(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn sh(command: &str) {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
}
