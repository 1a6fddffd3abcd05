//! How long the first packet takes between nodes of which nothing stands yet.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use twinmesh_e2e::{Mesh, on_scenario, wait_for};

use super::{NODES, join, line};

/// One of each kind starts, the others have settled.
const STARTING: [&str; 8] =
    ["open-1", "restricted", "cone-1", "by-address-1", "symmetric-1", "carrier-1", "blocked-1", "ipv6-1"];

/// All routers whose mappings could outlive the agents.
const NATS: [&str; 11] = [
    "restricted-door",
    "cone-1-door",
    "cone-2-door",
    "by-address-1-door",
    "by-address-2-door",
    "symmetric-1-door",
    "symmetric-2-door",
    "carrier-1-gate",
    "carrier-1-door",
    "carrier-2-gate",
    "carrier-2-door",
];

/// Arguments: own address in the mesh, then those of the peers. Waits until the kernel sends what is for the first peer
/// from the own address, so into the mesh, and then asks all of them each 10 ms; prints the milliseconds from there to
/// the first answer of each, or `-`.
const ASK: &str = "
import select, socket, struct, sys, time
own, peers = sys.argv[1], sys.argv[2:]
def is_in_mesh():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peers[0], 9))
            return probe.getsockname()[0] == own
        except OSError:
            return False
limit = time.monotonic() + 10
while not is_in_mesh():
    if time.monotonic() > limit:
        sys.exit('no route into the mesh')
    time.sleep(0.001)
def checksum(data):
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff
head = struct.pack('!BBHHH', 8, 0, 0, 0x7a1, 1)
echo = head[:2] + struct.pack('!H', checksum(head)) + head[4:]
wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
begun = due = time.monotonic()
answered = {}
while len(answered) < len(peers) and (now := time.monotonic()) < begun + 10:
    if now >= due:
        due = now + 0.01
        for peer in peers:
            if peer not in answered:
                try:
                    wire.sendto(echo, (peer, 0))
                except OSError:
                    pass
    if select.select([wire], [], [], max(0, due - now))[0]:
        packet, (peer, _) = wire.recvfrom(100)
        if packet[20] == 0 and packet[24:26] == b'\\x07\\xa1':
            answered.setdefault(peer, (time.monotonic() - begun) * 1e3)
print(*(answered.get(peer, '-') for peer in peers))
";

/// Its address at a relay is in the map again: it is all that the others need.
fn has_settled(mesh: &Mesh, node: &str) -> Result<()> {
    wait_for(&format!("{node} to have a relay"), Duration::from_secs(20), || {
        let status = mesh.status(node).ok()?;
        let told = status["endpoints"].as_array()?.iter().any(|endpoint| endpoint["kind"] == "relayed");
        (status["coordinator"]["connected"] == true && told).then_some(())
    })
}

/// The first packet of a cold pair: both agents and all mappings of the NATs were gone, so that no session, path or relay
/// is left. The far end has started again and settled, the near end starts now. Counted from when the kernel sends what is
/// for the peer into the mesh to the first answer; each node asks seven peers at once, each for the first time.
#[test]
fn a_node_that_has_just_started_reaches_peers_that_it_has_nothing_with() {
    on_scenario("paths-matrix.toml", "cold", |mesh| {
        join(mesh)?;
        let addresses: Vec<(&str, String)> = NODES
            .iter()
            .map(|(_, node, _)| Ok((*node, mesh.overlay_addresses(node)?[0].to_string())))
            .collect::<Result<_>>()?;
        for (_, node, _) in NODES {
            mesh.kill_agent(node)?;
        }
        for router in NATS {
            mesh.forget_nat(router)?;
        }
        let (near, far): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(|(node, _)| STARTING.contains(node));
        for (node, _) in &far {
            mesh.start_agent(node)?;
        }
        for (node, _) in &far {
            has_settled(mesh, node)?;
        }
        let mut times = Vec::new();
        for (node, own) in &near {
            let arguments = ["python3", "-c", ASK, own].into_iter();
            let arguments: Vec<&str> =
                arguments.chain(far.iter().map(|(_, address)| address.as_str())).collect();
            let asking = mesh.spawn(node, &arguments)?;
            mesh.start_agent(node)?;
            let answers = String::from_utf8(asking.wait_with_output()?.stdout)?;
            println!("{node}: {}", answers.trim());
            for (answer, (peer, _)) in answers.split_whitespace().zip(&far) {
                let time: f64 = answer.parse().with_context(|| format!("{node} does not reach {peer}"))?;
                times.push(time);
            }
        }
        ensure!(times.len() == near.len() * far.len(), "{} answers", times.len());
        println!("{}", line("first answer from cold", times)?);
        Ok(())
    });
}
