//! Sites between our own agents: what carries their ESP, and what it carries.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use twinmesh_e2e::{IpVersion, Mesh, fetch_100_mb, iperf, on_scenario, wait_for};

const PATIENCE: Duration = Duration::from_secs(15);
/// Behind the sites.
const INNER: [IpAddr; 2] =
    [IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 0, 1)), IpAddr::V4(std::net::Ipv4Addr::new(10, 2, 0, 1))];
/// Children between the networks of north and south, one end each.
const NETWORKS: [&str; 2] = [
    "local_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.2.0.0/16\"]",
    "local_ts = [\"10.2.0.0/16\"]\nremote_ts = [\"10.1.0.0/16\"]",
];

fn on_sites(name: &str, test: impl FnOnce(&mut Mesh) -> Result<()>) {
    on_scenario("two-sites.toml", name, test);
}

/// One end of a site.
struct End<'a> {
    host: &'a str,
    /// Where it finds the other.
    remote: String,
    /// Further lines of the site, and the lines of its child.
    site: &'a str,
    child: &'a str,
}

/// Starts an agent at each end and connects them: the first begins.
fn connect(mesh: &Mesh, ends: [&End<'_>; 2]) -> Result<()> {
    for [me, peer] in [[ends[1], ends[0]], ends] {
        let host = mesh.lab().find_host(me.host)?;
        let state = host.folder().join("state").display().to_string();
        host.spawn(
            "agent",
            &["twinmesh", "agent", "--state", &state],
            &[("RUST_LOG", "info,twinmesh_agent=debug")],
        )?;
        wait_for("the agent to answer", PATIENCE, || mesh.status(me.host).ok())?;
        let text = format!(
            "name = \"{peer}\"\nremote = \"{}\"\n{}\n[auth]\npsk = \"Tja8XnTHz2GSpMHxVhFNnZc8\"\n\
             local_id = \"@{}.example\"\nremote_id = \"@{peer}.example\"\n[[child]]\nname = \"net\"\n{}\n",
            me.remote,
            me.site,
            me.host,
            me.child,
            peer = peer.host,
        );
        let file = mesh.write(me.host, "site.toml", &text)?;
        mesh.run(me.host, &["twinmesh", "site", "add", &file])?;
    }
    for end in ends {
        wait_for("a child SA", PATIENCE, || {
            let list = mesh.json(end.host, &["twinmesh", "site", "list", "--json"]).ok()?;
            (list[0]["children"][0]["state"] == "installed").then_some(())
        })
        .with_context(|| mesh.run(end.host, &["twinmesh", "site", "list"]).unwrap_or_default())?;
    }
    Ok(())
}

/// North and south, each at its address of that version; north begins.
fn north_and_south(mesh: &Mesh, version: IpVersion, site: &str, children: [&str; 2]) -> Result<()> {
    let [north, south] = [mesh.outer_address("north", version)?, mesh.outer_address("south", version)?];
    let waits = format!("start = \"none\"\n{site}");
    connect(
        mesh,
        [
            &End { host: "north", remote: south.to_string(), site, child: children[0] },
            &End { host: "south", remote: north.to_string(), site: &waits, child: children[1] },
        ],
    )
}

/// What `sa --json` says of the only tunnel.
fn sa(mesh: &Mesh, host: &str) -> Result<Value> {
    let list = mesh.json(host, &["twinmesh", "sa", "--json"])?;
    list.get(0).cloned().with_context(|| format!("{host} has no SA: {list}"))
}

/// Packets in a capture file (pcap), by its records.
fn packets(capture: &[u8]) -> Vec<&[u8]> {
    let mut rest = capture.get(24..).unwrap_or_default();
    let mut packets = Vec::new();
    while let Some((header, data)) = rest.split_at_checked(16) {
        let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        let Some((packet, after)) = data.split_at_checked(usize::try_from(length).unwrap_or(usize::MAX))
        else {
            break;
        };
        packets.push(packet);
        rest = after;
    }
    packets
}

#[test]
fn esp_goes_without_udp_where_no_nat_is_and_carries_ordinary_programs() {
    for (name, version) in [("site-raw-4", IpVersion::V4), ("site-raw-6", IpVersion::V6)] {
        on_sites(name, |mesh| {
            north_and_south(mesh, version, "encapsulation = \"auto\"", NETWORKS)?;
            // IKE's own messages are shorter, and so is a plain ping's answer.
            let udp = mesh.capture("north", "udp port 4500 and greater 250")?;
            let esp = mesh.capture("south", "ip proto 50 or ip6 proto 50")?;
            mesh.run(
                "north",
                &["ping", "-c", "5", "-i", "0.2", "-W", "2", "-p", "7365637265742d", "10.2.0.1"],
            )?;
            iperf(mesh, "north", "south", INNER[1])?;
            let (udp, esp) = (udp.finish()?, esp.finish()?);
            ensure!(packets(&udp).is_empty(), "ESP in UDP: {} packets", packets(&udp).len());
            ensure!(packets(&esp).len() > 1000, "{} packets of ESP", packets(&esp).len());
            ensure!(!esp.windows(14).any(|window| window == b"secret-secret-"), "plain text on the wire");
            fetch_100_mb(mesh, "north", "south", INNER[1])?;
            fetch_100_mb(mesh, "south", "north", INNER[0])?;
            for host in ["north", "south"] {
                let sa = sa(mesh, host)?;
                ensure!(
                    sa["encapsulation"] == "raw" && sa["inbound"]["drops"] == serde_json::json!({}),
                    "{sa}"
                );
            }
            Ok(())
        });
    }
}

#[test]
fn ipv6_carries_a_site_in_udp_too() {
    on_sites("site-udp-6", |mesh| {
        north_and_south(mesh, IpVersion::V6, "", NETWORKS)?;
        iperf(mesh, "north", "south", INNER[1])?;
        fetch_100_mb(mesh, "south", "north", INNER[0])?;
        let sa = sa(mesh, "north")?;
        ensure!(
            sa["encapsulation"] == "udp" && sa["remote"].as_str().is_some_and(|it| it.starts_with('[')),
            "{sa}"
        );
        Ok(())
    });
}

#[test]
fn a_narrower_link_is_learnt_with_and_without_udp() {
    // 8 bytes of header, 8 of IV, 16 of ICV and 2 of trailer within 1,300; over IPv6 without UDP in multiples of 8.
    for (name, version, encapsulation, expected) in [
        ("site-mtu-raw-4", IpVersion::V4, "auto", 1246),
        ("site-mtu-raw-6", IpVersion::V6, "auto", 1222),
        ("site-mtu-udp-6", IpVersion::V6, "udp", 1218),
    ] {
        on_sites(name, |mesh| {
            north_and_south(mesh, version, &format!("encapsulation = \"{encapsulation}\""), NETWORKS)?;
            // core's second interface leads to the south.
            mesh.run("core", &["ip", "link", "set", "lan1", "mtu", "1300"])?;
            let long = ["ping", "-c", "1", "-W", "0.3", "-M", "do", "-s", "1250", "10.2.0.1"];
            wait_for("the tunnel to become narrower", PATIENCE, || {
                mesh.output("north", &long).ok()?;
                (sa(mesh, "north").ok()?["mtu"] == expected).then_some(())
            })
            .with_context(|| sa(mesh, "north").map(|sa| sa.to_string()).unwrap_or_default())?;
            fetch_100_mb(mesh, "south", "north", INNER[0])
        });
    }
}

/// Host to host, and nothing of it in the clear.
fn carries_hosts(mesh: &Mesh, from: &str, to: &str, address: IpAddr) -> Result<()> {
    let plain = mesh.capture(to, "icmp or icmp6 or tcp")?;
    let text = address.to_string();
    mesh.run(from, &["ping", "-c", "5", "-i", "0.2", "-W", "2", "-p", "7365637265742d", &text])?;
    let bytes = plain.finish()?;
    ensure!(!bytes.windows(14).any(|window| window == b"secret-secret-"), "plain text on the wire");
    Ok(())
}

#[test]
fn transport_mode_protects_what_two_hosts_say_to_each_other() {
    for (name, version, site, encapsulation) in [
        ("site-hosts-4", IpVersion::V4, "", "udp"),
        ("site-hosts-6", IpVersion::V6, "encapsulation = \"auto\"", "raw"),
    ] {
        on_sites(name, |mesh| {
            north_and_south(mesh, version, site, ["mode = \"transport\""; 2])?;
            let south = mesh.outer_address("south", version)?;
            carries_hosts(mesh, "north", "south", south)?;
            iperf(mesh, "north", "south", south)?;
            fetch_100_mb(mesh, "north", "south", south)?;
            fetch_100_mb(mesh, "south", "north", mesh.outer_address("north", version)?)?;
            let sa = sa(mesh, "south")?;
            ensure!(sa["mode"] == "transport" && sa["encapsulation"] == encapsulation, "{sa}");
            ensure!(sa["outbound"]["bytes"].as_u64() > Some(100_000_000), "{sa}");
            Ok(())
        });
    }
}

#[test]
fn trap_21_transport_mode_goes_through_a_nat_in_both_directions() {
    for (host, gateway) in [("barn", "gate"), ("cabin", "door")] {
        on_sites(&format!("site-hosts-nat-{host}"), |mesh| {
            let [south, outside] =
                [mesh.outer_address("south", IpVersion::V4)?, mesh.outer_address(gateway, IpVersion::V4)?];
            let transport = "mode = \"transport\"";
            connect(
                mesh,
                [
                    &End { host, remote: south.to_string(), site: "", child: transport },
                    &End {
                        host: "south",
                        remote: "any".to_owned(),
                        site: "start = \"none\"",
                        child: transport,
                    },
                ],
            )?;
            carries_hosts(mesh, host, "south", south)?;
            // TCP, whose checksum covers addresses that the NAT has changed, and UDP.
            iperf(mesh, host, "south", south)?;
            fetch_100_mb(mesh, host, "south", south)?;
            let ends = sa(mesh, "south")?;
            ensure!(ends["remote_ts"] == serde_json::json!([format!("{outside}/32")]), "{ends}");
            ensure!(ends["inbound"]["drops"] == serde_json::json!({}), "{ends}");
            // The other way round, to the address that the NAT has: through the SA it is the host behind it.
            mesh.run("south", &["ping", "-c", "3", "-i", "0.2", "-W", "2", &outside.to_string()])?;
            let page = mesh.outer_address(host, IpVersion::V4)?;
            let _server = twinmesh_e2e::Server::http(mesh, host, page)?;
            let url = format!("http://{}/", twinmesh_e2e::bracketed(outside));
            mesh.run("south", &["curl", "-sSf", "--max-time", "10", &url])?;
            Ok(())
        });
    }
}
