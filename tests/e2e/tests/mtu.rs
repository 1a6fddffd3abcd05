//! Links of 1,280, 1,400 and 9,000 bytes, and a router that swallows the reports of what is too long: whatever is sent
//! arrives, or its sender is told.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use twinmesh_e2e::{IpVersion, Mesh, Server, fetch_100_mb, on_scenario, wait_for};

/// The longest packet that a node sends to a peer whole.
fn mtu(mesh: &Mesh, node: &str, peer: &str) -> Result<u64> {
    mesh.peer(node, peer)?["mtu"].as_u64().context("no MTU")
}

/// Files of 100 MB in both families, and UDP of all lengths.
fn everything_passes(mesh: &Mesh, from: &str, to: &str) -> Result<()> {
    datagrams_pass(mesh, from, to)?;
    for address in mesh.overlay_addresses(to)? {
        fetch_100_mb(mesh, from, to, address)?;
    }
    Ok(())
}

fn datagrams_pass(mesh: &Mesh, from: &str, to: &str) -> Result<()> {
    for address in mesh.overlay_addresses(to)? {
        mesh.pings_within(from, address, Duration::from_secs(10))?;
        let _server = Server::udp_echo(mesh, to, address)?;
        mesh.run(from, &["python3", "-c", ECHO_CLIENT, &address.to_string()])
            .with_context(|| format!("{from} → {to} ({address})"))?;
    }
    Ok(())
}

/// UDP may lose one, so each datagram is sent up to eight times. A kernel that knows the MTU cuts it, or refuses it with
/// `EMSGSIZE` where fragments are forbidden.
const ECHO_CLIENT: &str = "
import errno, os, socket, sys
to = socket.getaddrinfo(sys.argv[1], 7000, type=socket.SOCK_DGRAM)[0]
level, option = (socket.IPPROTO_IP, 10) if to[0] == socket.AF_INET else (socket.IPPROTO_IPV6, 23)
for whole in [False, True]:
    client = socket.socket(to[0], socket.SOCK_DGRAM)
    if whole:
        client.setsockopt(level, option, 2)
    client.connect(to[4])
    client.settimeout(0.5)
    for length in [1, 1100, 1150, *range(1180, 1400, 20), 1392, 2000, 9000]:
        sent = os.urandom(length)
        for attempt in range(8):
            try:
                client.send(sent)
                while client.recv(65535) != sent:
                    pass
                break
            except TimeoutError:
                pass
            except OSError as error:
                if error.errno != errno.EMSGSIZE:
                    raise
                if whole:
                    break
        else:
            sys.exit(f'{length} bytes did not come back, whole: {whole}')
";

#[test]
fn files_and_datagrams_of_every_length_pass_links_of_every_mtu() {
    on_scenario("mtu.toml", "mtu-links", |mesh| {
        // With what IPv4, UDP and WireGuard take; by IPv6 it is 20 less.
        for (from, to, most) in [("narrow", "alpha", 1220), ("alpha", "dsl", 1340), ("big", "bigger", 1420)] {
            everything_passes(mesh, from, to)?;
            let found = mtu(mesh, from, to)?;
            ensure!((most - 20..=most).contains(&found), "{from} → {to}: {found}");
        }
        // Bytes of which every IPv6 link must carry a packet, over one that cannot once they are sealed.
        let address = mesh.overlay_addresses("alpha")?[1].to_string();
        let fragmented = |node| -> Result<u64> {
            mesh.status(node)?["adjusted"]["outer-fragmented"].as_u64().context("no counter")
        };
        let before = fragmented("narrow")?;
        mesh.run("narrow", &["ping", "-c", "3", "-i", "0.2", "-W", "2", "-s", "1232", &address])?;
        ensure!(fragmented("narrow")? >= before + 3, "sent whole");
        let clamped = mesh.status("narrow")?["adjusted"]["mss-clamped"].as_u64();
        ensure!(clamped > Some(0), "{clamped:?}");
        Ok(())
    });
}

/// What hidden sends and is longer than `pit` carries vanishes.
#[test]
fn a_router_that_swallows_reports_is_found_out_and_survived() {
    on_scenario("mtu.toml", "mtu-hole", |mesh| {
        let hidden = mesh.overlay_addresses("hidden")?[0];
        let alpha = mesh.overlay_addresses("alpha")?[0].to_string();
        mesh.pings_within("alpha", hidden, Duration::from_secs(10))?;
        // It begins while nobody knows of the hole.
        fetch_100_mb(mesh, "alpha", "hidden", hidden)?;
        wait_for("the size of the path", Duration::from_secs(15), || {
            mesh.output("hidden", &["ping", "-c", "1", "-W", "0.5", "-s", "1340", &alpha]).ok()?;
            // 1,300 bytes less what IPv4 or IPv6, UDP and WireGuard take, and found to within 8 bytes.
            mtu(mesh, "hidden", "alpha").ok().filter(|mtu| (1200..=1240).contains(mtu))
        })?;
        datagrams_pass(mesh, "hidden", "alpha")?;
        everything_passes(mesh, "alpha", "hidden")?;
        // Nobody but the engine could have told.
        for version in [IpVersion::V4, IpVersion::V6] {
            let alpha = mesh.outer_address("alpha", version)?.to_string();
            let route = mesh.run("hidden", &["ip", "route", "get", &alpha])?;
            ensure!(!route.contains("mtu"), "a report has come through: {route}");
        }
        Ok(())
    });
}
