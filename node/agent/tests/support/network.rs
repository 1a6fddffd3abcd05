use std::fs::File;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sched::{CloneFlags, setns};

use super::sh;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A network namespace that goes with this value.
pub struct Namespace {
    name: String,
}

impl Namespace {
    fn new() -> Self {
        let name = format!("ag{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        sh(&format!("ip netns add {name} && ip -n {name} link set lo up"));
        Self { name }
    }

    /// Runs something on a thread inside; sockets made there stay there.
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

    /// A command that will run inside; the process is the program itself.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    pub fn sh(&self, line: &str) -> Output {
        self.command("sh").args(["-c", line]).output().unwrap()
    }

    pub fn must(&self, line: &str) -> String {
        let output = self.sh(line);
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        sh(&format!("ip netns del {}", self.name));
    }
}

/// 192.0.2.0/24 and 2001:db8::/64: a bridge in the coordinator's namespace, .254 there, .N in that of node N.
pub struct Lan {
    pub hub: Namespace,
}

impl Lan {
    pub fn new() -> Self {
        let hub = Namespace::new();
        hub.must("ip link add br0 type bridge && ip addr add 192.0.2.254/24 dev br0 && ip link set br0 up");
        Self { hub }
    }

    pub fn attach(&self, number: u8) -> Namespace {
        let node = Namespace::new();
        let Namespace { name } = &node;
        self.hub.must(&format!(
            "ip link add port{number} type veth peer name eth0 netns {name} && ip link set port{number} master br0 up"
        ));
        node.must(&format!(
            "ip addr add 192.0.2.{number}/24 dev eth0 && ip addr add 2001:db8::{number}/64 dev eth0 nodad \
             && ip link set eth0 up"
        ));
        node
    }
}
