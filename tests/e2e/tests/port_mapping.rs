//! Routers that map ports on demand: Debian's miniupnpd, asked with each protocol that it speaks.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use twinmesh_e2e::{Mesh, on_scenario, wait_for};

/// Node, what else its router's miniupnpd is told, and a rule before it.
const ROUTERS: [(&str, &str, &str); 3] = [
    ("pcp", "enable_natpmp=yes", ""),
    // It speaks both through one port; the first byte of PCP is its version, 2.
    ("nat-pmp", "enable_natpmp=yes", "udp dport 5351 @th,64,8 2 drop"),
    ("upnp", "enable_natpmp=no", ""),
];

/// miniupnpd maps no port of a router without a public address, and takes the lab's for none; but it believes STUN.
/// `$1`: the rule. Its own questions pass the firewall, and leave from the port that they have.
const START: &str = "
nft insert rule ip nat post fib saddr type local accept
nft insert rule ip nat input udp sport 3478-3479 accept
cd $TWINMESH_LAB_HOST_DIR
nft -f - <<END
table inet miniupnpd {
  chain input { type filter hook input priority 0; $1; }
  chain forward { type filter hook forward priority -1; jump miniupnpd; }
  chain prerouting { type nat hook prerouting priority -101; jump prerouting_miniupnpd; }
  chain postrouting { type nat hook postrouting priority 99; jump postrouting_miniupnpd; }
  chain miniupnpd { }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
}
END
exec miniupnpd -d -f miniupnpd.conf -P miniupnpd.pid > miniupnpd.log 2>&1
";

const CONFIGURATION: &str = "
ext_ifname=wan
listening_ip=lan0
http_port=5555
ext_perform_stun=yes
ext_stun_host=192.0.2.10
ext_stun_port=3478
enable_upnp=yes
secure_mode=yes
uuid=00000000-0000-4000-8000-000000000001
upnp_table_name=miniupnpd
upnp_nat_table_name=miniupnpd
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
allow 1024-65535 0.0.0.0/0 1024-65535
";

/// The test's own; it ends with the lab.
fn start_miniupnpd(mesh: &Mesh, door: &str, option: &str, rule: &str) -> Result<()> {
    mesh.write(door, "miniupnpd.conf", &format!("{option}{CONFIGURATION}"))?;
    mesh.spawn(door, &["sh", "-ec", START, "sh", rule])?;
    wait_for("miniupnpd to listen", Duration::from_secs(15), || {
        (!mesh.run(door, &["ss", "-Hltn", "sport = :5555"]).ok()?.is_empty()).then_some(())
    })
}

/// What the node's router said.
fn port_mapping(mesh: &Mesh, node: &str) -> Result<Value> {
    Ok(mesh.json(node, &["twinmesh", "netcheck", "--json"])?["port_mapping"].clone())
}

/// The ports that a router maps now.
fn mapped(mesh: &Mesh, door: &str) -> Result<usize> {
    let rules = mesh.run(door, &["nft", "list", "chain", "inet", "miniupnpd", "prerouting_miniupnpd"])?;
    Ok(rules.matches("dnat").count())
}

#[test]
fn a_router_that_maps_ports_makes_a_direct_path_that_its_nat_would_not() {
    on_scenario("port-mapping.toml", "port-mapping", |mesh| {
        for (node, option, rule) in ROUTERS {
            start_miniupnpd(mesh, &format!("{node}-door"), option, rule)?;
        }
        let token = mesh.token(&["--reusable"])?.text;
        for node in ["pcp", "nat-pmp", "upnp", "far"] {
            mesh.run(node, &["twinmesh", "up", "--coordinator", "192.0.2.10", "--token", &token])?;
        }
        for (node, ..) in ROUTERS {
            let outer = wait_for(&format!("the router of {node}"), Duration::from_secs(15), || {
                let said = port_mapping(mesh, node).ok()?;
                (said["protocol"] == node).then(|| said["outer"].clone())
            })?;
            let address = mesh.outer_address(&format!("{node}-door"), twinmesh_e2e::IpVersion::V4)?;
            let text = outer.as_str().context("no outer address")?;
            ensure!(text.starts_with(&format!("{address}:")), "{node}: {outer}");
            wait_for(&format!("a direct path to {node}"), Duration::from_secs(15), || {
                let inner = mesh.overlay_addresses(node).ok()?[0].to_string();
                mesh.run("far", &["ping", "-c", "1", "-W", "0.5", &inner]).ok()?;
                (mesh.peer("far", node).ok()?["endpoint"] == outer).then_some(())
            })?;
        }

        let far = wait_for("the other router's silence", Duration::from_secs(15), || {
            port_mapping(mesh, "far").ok().filter(|said| !said.is_null())
        })?;
        let refusal = far["refusal"].as_str().context("no refusal")?;
        ensure!(far["protocol"].is_null() && refusal.contains("maps no port"), "{far}");
        let page = mesh.run("upnp", &["twinmesh", "netcheck"])?;
        ensure!(page.contains("leads here (upnp)"), "{page}");

        for (node, ..) in ROUTERS {
            let door = format!("{node}-door");
            ensure!(mapped(mesh, &door)? == 1, "{door}: {} ports", mapped(mesh, &door)?);
            mesh.run(node, &["twinmesh", "down"])?;
            wait_for("the router to have its port back", Duration::from_secs(5), || {
                (mapped(mesh, &door).ok()? == 0).then_some(())
            })?;
        }
        Ok(())
    });
}
