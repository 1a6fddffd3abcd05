//! Ordinary programs between all pairs of the mesh: what a user sees, and what the wire sees.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use twinmesh_e2e::{NODES, Server, bracketed, on_mesh, pairs, wait_for};

const PATIENCE: Duration = Duration::from_secs(15);
/// Bytes of the file that is copied between nodes.
const FILE_SIZE: u64 = 100 * 1024 * 1024;

#[test]
fn every_node_pings_every_other_over_ipv4_and_ipv6() {
    on_mesh("pings", |mesh| {
        for (from, to) in pairs() {
            for address in mesh.overlay_addresses(to)? {
                mesh.run(from, &["ping", "-c", "3", "-i", "0.2", "-W", "3", &address.to_string()])
                    .with_context(|| format!("{from} → {to} ({address})"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn every_pair_is_reached_by_name_with_twinmesh_ping() {
    on_mesh("names", |mesh| {
        for (from, to) in pairs() {
            let answer = mesh.json(from, &["twinmesh", "ping", to, "-c", "2", "--json"])?;
            ensure!(answer["received"].as_u64() == Some(2), "{from} → {to}: {answer}");
        }
        let refused = mesh.fails("alpha", &["twinmesh", "ping", "nobody", "-c", "1"])?;
        ensure!(refused.contains("nobody"), "{refused}");
        Ok(())
    });
}

#[test]
fn a_file_of_100_mb_arrives_whole_between_all_pairs_over_both_families() {
    on_mesh("files", |mesh| {
        for to in NODES {
            mesh.run(
                to,
                &["sh", "-c", &format!("head -c {FILE_SIZE} /dev/urandom > $TWINMESH_LAB_HOST_DIR/file")],
            )?;
        }
        for (from, to) in pairs() {
            let hash = mesh.run(to, &["sh", "-c", "sha256sum < $TWINMESH_LAB_HOST_DIR/file"])?;
            for address in mesh.overlay_addresses(to)? {
                let _server = Server::http(mesh, to, address)?;
                let fetch = format!("curl -sSf --max-time 60 http://{}/file | sha256sum", bracketed(address));
                let got = mesh.run(from, &["sh", "-c", &fetch])?;
                ensure!(got == hash, "{from} ← {to} ({address}): {got} is not {hash}");
            }
        }
        Ok(())
    });
}

#[test]
fn udp_datagrams_of_every_size_up_to_the_mtu_and_beyond_come_back_whole() {
    on_mesh("udp", |mesh| {
        for (from, to) in [("alpha", "beta"), ("gamma", "alpha")] {
            for address in mesh.overlay_addresses(to)? {
                let _server = Server::udp_echo(mesh, to, address)?;
                mesh.run(from, &["python3", "-c", ECHO_CLIENT, &address.to_string()])
                    .with_context(|| format!("{from} → {to} ({address})"))?;
            }
        }
        Ok(())
    });
}

/// Every length that fits the TUN device, and some that leave the host in inner fragments. UDP may lose one, so
/// each is sent up to five times.
const ECHO_CLIENT: &str = "
import os, socket, sys
to = socket.getaddrinfo(sys.argv[1], 7000, type=socket.SOCK_DGRAM)[0]
client = socket.socket(to[0], socket.SOCK_DGRAM)
client.connect(to[4])
client.settimeout(1)
for length in [*range(1, 1400, 7), *range(1360, 1430), 2000, 4000, 9000, 60000]:
    sent = os.urandom(length)
    for attempt in range(5):
        client.send(sent)
        try:
            while client.recv(65535) != sent:
                pass
            break
        except TimeoutError:
            pass
    else:
        sys.exit(f'{length} bytes did not come back')
";

#[test]
fn tcp_streams_run_both_ways_at_once() {
    on_mesh("tcp", |mesh| {
        let address = mesh.overlay_addresses("beta")?[0];
        let target = address.to_string();
        for extra in [&[][..], &["-R"], &["-P", "4"], &["--bidir"]] {
            // Between two tests iperf3 closes its port for a moment, so each has a server of its own.
            let _server = Server::iperf(mesh, "beta", address)?;
            let client = [&["iperf3", "-c", &target, "-t", "2", "-J"], extra].concat();
            let report = mesh.json("gamma", &client)?;
            let received = report["end"]["sum_received"]["bytes"].as_u64().unwrap_or_default();
            ensure!(received > 1_000_000, "{extra:?}: only {received} bytes");
        }
        Ok(())
    });
}

#[test]
fn checksums_stay_partial_between_nodes_by_either_engine_and_all_are_right() {
    on_mesh("sums", |mesh| {
        let address = mesh.overlay_addresses("beta")?[0];
        for protocol in ["wireguard", "esp"] {
            let policy =
                ["twinmesh-coordinator", "policy", "set", "--pair", "alpha,beta", "--protocol", protocol];
            mesh.run("hub", &policy)?;
            for (here, there) in [("alpha", "beta"), ("beta", "alpha")] {
                wait_for(&format!("{here} to send by {protocol}"), PATIENCE, || {
                    (mesh.peer(here, there).ok()?["protocol"] == protocol).then_some(())
                })?;
            }
            let _server = Server::iperf(mesh, "beta", address)?;
            mesh.run("alpha", &["iperf3", "-c", &address.to_string(), "-t", "2", "--bidir"])?;
            for (here, there) in [("alpha", "beta"), ("beta", "alpha")] {
                let agreed = mesh.peer(here, there)?["partial_checksums"].clone();
                ensure!(agreed["sent"] == true && agreed["taken"] == true, "{protocol}, {here}: {agreed}");
                let counted = mesh.run(here, &["nstat", "-asz", "TcpInCsumErrors"])?;
                let wrong =
                    counted.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
                ensure!(wrong.sum::<u64>() == 0, "{protocol}, {here}: {counted}");
            }
        }
        Ok(())
    });
}

#[test]
fn no_plain_text_leaves_a_node() {
    on_mesh("wire", |mesh| {
        let address = mesh.overlay_addresses("beta")?[0];
        let capture = mesh.capture("alpha", "udp port 4500")?;
        // ping repeats the pattern through its payload: "secret-" in hexadecimal.
        let pattern = "7365637265742d";
        mesh.run("alpha", &["ping", "-c", "5", "-i", "0.2", "-p", pattern, &address.to_string()])?;
        let bytes = capture.finish()?;
        let needle = b"secret-secret-";
        ensure!(bytes.len() > 5 * 120, "the capture holds only {} bytes", bytes.len());
        ensure!(!bytes.windows(needle.len()).any(|window| window == needle), "plain text on the wire");
        Ok(())
    });
}
