//! ESP as the second engine, its SAs keyed by hand: ordinary programs through it, and what the wire sees.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use twinmesh_e2e::{IpVersion, Mesh, fetch_100_mb, iperf, on_mesh, over_capture, wait_for};

/// One ESP tunnel as both ends are told of it.
struct Tunnel<'a> {
    nodes: [&'a str; 2],
    mode: &'a str,
    suite: &'a str,
    /// Bytes of one direction's key.
    key_len: usize,
    /// Addresses outside.
    outer: [IpAddr; 2],
    /// Selectors of each side.
    selectors: [String; 2],
    /// Further lines of each end's table.
    extra: [&'a str; 2],
}

impl Tunnel<'_> {
    /// The file of one end: 0 or 1.
    fn file(&self, me: usize) -> String {
        let peer = 1 - me;
        let (spis, port) = ([0x8000_0a01_u32, 0x8000_0b02], 4500);
        // A key of its own for each direction: the first byte differs.
        let key = |direction: usize| {
            (0..self.key_len).fold(String::new(), |mut key, at| {
                write!(key, "{:02x}", (at * 7 + direction * 101 + 3) % 256).expect("a string takes all");
                key
            })
        };
        let remote = std::net::SocketAddr::new(self.outer[peer], port);
        format!(
            "[[sa]]\nname = \"to-{}\"\nmode = \"{}\"\nsuite = \"{}\"\nremote = \"{remote}\"\n{}{}\
             local_ts = [{}]\nremote_ts = [{}]\n\
             inbound = {{ spi = \"{:08x}\", key = \"{}\" }}\noutbound = {{ spi = \"{:08x}\", key = \"{}\" }}\n",
            self.nodes[peer],
            self.mode,
            self.suite,
            if self.mode == "transport" {
                format!("local = \"{}\"\n", self.outer[me])
            } else {
                String::new()
            },
            self.extra[me],
            self.selectors[me],
            self.selectors[peer],
            spis[me],
            key(peer),
            spis[peer],
            key(me),
        )
    }

    /// Adds the SAs at both ends.
    fn add(&self, mesh: &Mesh) -> Result<()> {
        for me in 0..2 {
            let file = mesh.write(self.nodes[me], "sa.toml", &self.file(me))?;
            mesh.run(self.nodes[me], &["twinmesh", "sa", "add", &file])?;
        }
        Ok(())
    }
}

/// `"a", "b"`: a list's content in TOML.
fn quoted(addresses: &[IpAddr]) -> String {
    addresses.iter().map(|address| format!("\"{address}\"")).collect::<Vec<_>>().join(", ")
}

/// Both nodes with agents that take SAs by hand.
fn allow(mesh: &mut Mesh, nodes: [&str; 2]) -> Result<()> {
    nodes.iter().try_for_each(|node| mesh.restart_agent_with(node, &["--allow-manual-sa"]))
}

/// A tunnel between two nodes' overlay addresses of both families.
fn overlay_tunnel<'a>(
    mesh: &Mesh,
    nodes: [&'a str; 2],
    suite: &'a str,
    key_len: usize,
) -> Result<Tunnel<'a>> {
    let address = |node| mesh.outer_address(node, IpVersion::V4);
    Ok(Tunnel {
        nodes,
        mode: "tunnel",
        suite,
        key_len,
        outer: [address(nodes[0])?, address(nodes[1])?],
        selectors: [quoted(&mesh.overlay_addresses(nodes[0])?), quoted(&mesh.overlay_addresses(nodes[1])?)],
        extra: ["", ""],
    })
}

/// What `sa --json` says of the only tunnel.
fn sa(mesh: &Mesh, node: &str) -> Result<serde_json::Value> {
    let list = mesh.json(node, &["twinmesh", "sa", "--json"])?;
    list.get(0).cloned().with_context(|| format!("{node} has no SA: {list}"))
}

#[test]
fn tunnel_mode_carries_ordinary_programs_and_the_wire_sees_esp_only() {
    on_mesh("esp-tunnel", |mesh| {
        allow(mesh, ["alpha", "beta"])?;
        overlay_tunnel(mesh, ["alpha", "beta"], "aes128gcm16", 20)?.add(mesh)?;
        let capture = mesh.capture("alpha", "udp port 4500")?;
        // "secret-" in hexadecimal, through ping's payload.
        for address in mesh.overlay_addresses("beta")? {
            let to = address.to_string();
            mesh.run("alpha", &["ping", "-c", "5", "-i", "0.2", "-W", "2", "-p", "7365637265742d", &to])?;
        }
        let bytes = capture.finish()?;
        ensure!(!bytes.windows(14).any(|window| window == b"secret-secret-"), "plain text on the wire");
        for (spi, direction) in [(0x8000_0b02_u32, "to beta"), (0x8000_0a01, "from beta")] {
            let spi = spi.to_be_bytes();
            let count = bytes.windows(4).filter(|window| *window == spi).count();
            ensure!(count >= 10, "{count} ESP packets {direction}");
        }
        for address in mesh.overlay_addresses("beta")? {
            iperf(mesh, "alpha", "beta", address)?;
        }
        fetch_100_mb(mesh, "alpha", "beta", mesh.overlay_addresses("beta")?[0])?;
        fetch_100_mb(mesh, "beta", "alpha", mesh.overlay_addresses("alpha")?[1])?;
        let sa = sa(mesh, "alpha")?;
        ensure!(sa["inbound"]["spi"] == "80000a01" && sa["suite"] == "aes128gcm16", "{sa}");
        ensure!(sa["inbound"]["bytes"].as_u64() > Some(100_000_000), "{sa}");
        ensure!(sa["inbound"]["drops"] == serde_json::json!({}), "{sa}");
        Ok(())
    });
}

#[test]
fn transport_mode_protects_what_the_hosts_themselves_say_to_each_other() {
    for (name, version) in [("esp-transport-4", IpVersion::V4), ("esp-transport-6", IpVersion::V6)] {
        on_mesh(name, |mesh| {
            allow(mesh, ["alpha", "beta"])?;
            let outer = [mesh.outer_address("alpha", version)?, mesh.outer_address("beta", version)?];
            Tunnel {
                nodes: ["alpha", "beta"],
                mode: "transport",
                suite: "chacha20poly1305",
                key_len: 36,
                outer,
                selectors: [quoted(&outer[..1]), quoted(&outer[1..])],
                extra: ["", ""],
            }
            .add(mesh)?;
            let capture = mesh.capture("alpha", "icmp or icmp6 or tcp or udp port 4500")?;
            let to = outer[1].to_string();
            mesh.run("alpha", &["ping", "-c", "5", "-i", "0.2", "-W", "2", "-p", "7365637265742d", &to])?;
            iperf(mesh, "alpha", "beta", outer[1])?;
            let bytes = capture.finish()?;
            ensure!(!bytes.windows(14).any(|window| window == b"secret-secret-"), "plain text on the wire");
            fetch_100_mb(mesh, "alpha", "beta", outer[1])?;
            let sa = sa(mesh, "beta")?;
            ensure!(
                sa["mode"] == "transport" && sa["outbound"]["bytes"].as_u64() > Some(100_000_000),
                "{sa}"
            );
            // Without the SAs the hosts talk as before.
            mesh.run("alpha", &["twinmesh", "sa", "remove", "to-beta"])?;
            mesh.run("beta", &["twinmesh", "sa", "remove", "to-alpha"])?;
            let plain = mesh.capture("alpha", "icmp or icmp6")?;
            mesh.run("alpha", &["ping", "-c", "2", "-i", "0.2", "-W", "2", "-p", "7365637265742d", &to])?;
            let bytes = plain.finish()?;
            ensure!(bytes.windows(14).any(|window| window == b"secret-secret-"), "it still goes elsewhere");
            Ok(())
        });
    }
}

#[test]
fn a_node_behind_a_nat_is_followed_to_where_its_newest_packet_came_from() {
    on_mesh("esp-nat", |mesh| {
        allow(mesh, ["gamma", "alpha"])?;
        let mut tunnel = overlay_tunnel(mesh, ["gamma", "alpha"], "aes256-sha256", 64)?;
        tunnel.extra = ["esn = true\n", "esn = true\nfollow_remote = true\n"];
        tunnel.add(mesh)?;
        mesh.pings_within("gamma", mesh.overlay_addresses("alpha")?[0], Duration::from_secs(3))?;
        mesh.pings_within("alpha", mesh.overlay_addresses("gamma")?[1], Duration::from_secs(3))?;
        let remote = sa(mesh, "alpha")?["remote"].clone();
        let door = mesh.outer_address("door", IpVersion::V4)?.to_string();
        ensure!(remote.as_str().is_some_and(|remote| remote.starts_with(&door)), "{remote}");
        mesh.forget_nat("door")?;
        mesh.pings_within("gamma", mesh.overlay_addresses("alpha")?[0], Duration::from_secs(3))?;
        mesh.pings_within("alpha", mesh.overlay_addresses("gamma")?[0], Duration::from_secs(3))
    });
}

#[test]
fn packets_too_long_for_the_tunnel_are_cut_or_their_sender_is_told() {
    on_mesh("esp-mtu", |mesh| {
        allow(mesh, ["alpha", "beta"])?;
        let mut tunnel = overlay_tunnel(mesh, ["alpha", "beta"], "aes256gcm16", 36)?;
        tunnel.extra = ["path_mtu = 1400\n", "path_mtu = 1400\n"];
        tunnel.add(mesh)?;
        let beta = mesh.overlay_addresses("beta")?;
        mesh.pings_within("alpha", beta[0], Duration::from_secs(3))?;
        let mtu = sa(mesh, "alpha")?["mtu"].as_u64().context("no mtu")?;
        ensure!((1300..1360).contains(&mtu), "{mtu}");
        // As long as the tunnel carries, with the IPv4 and ICMP headers; then one byte more with DF.
        let fits = (mtu - 28).to_string();
        mesh.run(
            "alpha",
            &["ping", "-c", "2", "-i", "0.2", "-W", "2", "-M", "do", "-s", &fits, &beta[0].to_string()],
        )?;
        let longer = (mtu - 27).to_string();
        let refused = ["ping", "-c", "1", "-W", "2", "-M", "do", "-s", &longer, &beta[0].to_string()];
        let output = mesh.output("alpha", &refused)?;
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(
            !output.status.success() && said.contains("mtu") && said.contains(&mtu.to_string()),
            "{said}"
        );
        // Without DF it arrives in fragments, of both sizes of the TUN device and beyond.
        for size in ["1380", "4000"] {
            mesh.run(
                "alpha",
                &["ping", "-c", "2", "-i", "0.2", "-W", "2", "-M", "dont", "-s", size, &beta[0].to_string()],
            )?;
            mesh.run(
                "alpha",
                &["ping", "-c", "4", "-i", "0.2", "-W", "2", "-s", size, &beta[1].to_string()],
            )?;
        }
        fetch_100_mb(mesh, "alpha", "beta", beta[0])
    });
}

#[test]
fn a_narrower_link_on_the_path_is_learnt_from_its_routers_icmp_and_lost_on_nobody() {
    on_mesh("esp-path-mtu", |mesh| {
        allow(mesh, ["alpha", "beta"])?;
        overlay_tunnel(mesh, ["alpha", "beta"], "aes128gcm16", 20)?.add(mesh)?;
        let beta = mesh.overlay_addresses("beta")?[0];
        mesh.pings_within("alpha", beta, Duration::from_secs(3))?;
        let before = sa(mesh, "alpha")?["mtu"].as_u64();
        // core's second interface leads to beta's network.
        mesh.run("core", &["ip", "link", "set", "lan1", "mtu", "1300"])?;
        let long = ["ping", "-c", "1", "-W", "0.3", "-M", "do", "-s", "1250", &beta.to_string()];
        wait_for("the tunnel to become narrower", Duration::from_secs(5), || {
            mesh.output("alpha", &long).ok()?;
            (sa(mesh, "alpha").ok()?["mtu"].as_u64() < before).then_some(())
        })?;
        let mtu = sa(mesh, "alpha")?["mtu"].as_u64();
        ensure!(mtu > Some(1200) && mtu < Some(1260), "{mtu:?} after {before:?}");
        fetch_100_mb(mesh, "beta", "alpha", mesh.overlay_addresses("alpha")?[0])
    });
}

#[test]
fn forged_replayed_and_misdirected_packets_are_dropped_and_counted() {
    on_mesh("esp-hostile", |mesh| {
        allow(mesh, ["alpha", "beta"])?;
        let tunnel = overlay_tunnel(mesh, ["alpha", "beta"], "aes128gcm16", 20)?;
        let (alpha, beta) = (mesh.overlay_addresses("alpha")?, mesh.overlay_addresses("beta")?);
        let gamma = mesh.overlay_addresses("gamma")?[0];
        // At alpha's end more may go in than beta lets out.
        let wide = format!("local_ts = [{}, \"{gamma}\"]", quoted(&alpha));
        let wide = tunnel.file(0).replace(&format!("local_ts = [{}]", quoted(&alpha)), &wide);
        let wide = mesh.write("alpha", "wide.toml", &wide)?;
        mesh.run("alpha", &["twinmesh", "sa", "add", &wide])?;
        let file = mesh.write("beta", "sa.toml", &tunnel.file(1))?;
        mesh.run("beta", &["twinmesh", "sa", "add", &file])?;
        let capture = mesh.capture("alpha", "udp src port 4500 and udp dst port 4500")?;
        let file = capture.file().display().to_string();
        mesh.run("alpha", &["ping", "-c", "5", "-i", "0.2", "-W", "2", &beta[0].to_string()])?;
        ensure!(capture.finish()?.len() > 5 * 120, "nothing was captured");
        mesh.run("hub", &["python3", "-c", &over_capture(TAMPER), &file, "beta"])?;
        wait_for("the copies to be counted", Duration::from_secs(5), || {
            let drops = sa(mesh, "beta").ok()?["inbound"]["drops"].clone();
            let at_least = |reason: &str, count| drops[reason].as_u64() >= Some(count);
            let unknown = mesh.drops("beta", "esp-unknown-spi").ok()? >= 5;
            (at_least("esp-replayed", 5)
                && at_least("esp-forged", 5)
                && at_least("esp-truncated", 1)
                && unknown)
                .then_some(())
        })?;
        // The SA lives on, and its peer is where it was.
        mesh.run("beta", &["ping", "-c", "2", "-i", "0.2", "-W", "2", &alpha[0].to_string()])?;

        // alpha sends by the SA what beta's selectors do not have: another node's address inside.
        mesh.run("alpha", &["ip", "address", "add", &format!("{gamma}/32"), "dev", "twinmesh0"])?;
        let from = gamma.to_string();
        mesh.fails("alpha", &["ping", "-c", "3", "-i", "0.2", "-W", "1", "-I", &from, &beta[0].to_string()])?;
        let drops = sa(mesh, "beta")?["inbound"]["drops"].clone();
        ensure!(drops["esp-outside-selectors"] == 3, "{drops}");

        // A key is used once: its sequence numbers, and with them the IVs, would start again.
        mesh.run("alpha", &["twinmesh", "sa", "remove", "to-beta"])?;
        let again = mesh.fails("alpha", &["twinmesh", "sa", "add", &wide])?;
        ensure!(again.contains("key"), "a key was taken twice: {again}");
        Ok(())
    });
}

#[test]
fn sas_by_hand_are_refused_unless_the_daemon_allows_them() {
    on_mesh("esp-refused", |mesh| {
        let tunnel = overlay_tunnel(mesh, ["alpha", "beta"], "aes128gcm16", 20)?;
        let file = mesh.write("alpha", "sa.toml", &tunnel.file(0))?;
        let error = mesh.fails("alpha", &["twinmesh", "sa", "add", &file])?;
        ensure!(error.contains("--allow-manual-sa"), "{error}");
        allow(mesh, ["alpha", "beta"])?;
        let short = mesh.write("alpha", "short.toml", &tunnel.file(0).replace("key = \"03", "key = \""))?;
        let error = mesh.fails("alpha", &["twinmesh", "sa", "add", &short])?;
        ensure!(error.contains("key") && error.contains("20"), "{error}");
        ensure!(mesh.json("alpha", &["twinmesh", "sa", "--json"])?.as_array().is_some_and(Vec::is_empty));
        Ok(())
    });
}

/// Sends the ESP datagrams of a capture again: as they were, with a number that the ICV does not fit, with another
/// SPI, cut short.
const TAMPER: &str = "
sender = socket.socket(to[0], socket.SOCK_DGRAM)
for esp in payloads:
    if esp[:4] != bytes.fromhex('80000b02'):
        continue
    ahead = esp[:4] + struct.pack('>I', struct.unpack('>I', esp[4:8])[0] + 1000) + esp[8:]
    for copy in (esp, ahead, bytes([esp[0], esp[1] ^ 1]) + esp[2:], esp[:12]):
        sender.sendto(copy, to[4])
";
