//! `twinmesh netcheck` behind every kind of NAT that the lab has, and what the coordinator learns of it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use twinmesh_e2e::{Mesh, on_scenario, wait_for};

const OPEN: &str = "endpoint-independent";
const BY_ADDRESS: &str = "address-dependent";
const STRICT: &str = "address-and-port-dependent";

/// Host, mapping, filtering, hairpin.
const KINDS: [(&str, &str, &str, Option<bool>); 7] = [
    ("open", "none", OPEN, None),
    ("full-cone", OPEN, OPEN, Some(true)),
    ("restricted", OPEN, BY_ADDRESS, Some(false)),
    ("cone", OPEN, STRICT, Some(false)),
    ("by-address", BY_ADDRESS, STRICT, Some(false)),
    ("symmetric", STRICT, STRICT, Some(false)),
    ("subscriber", STRICT, STRICT, Some(false)),
];

fn netcheck(mesh: &Mesh, host: &str, arguments: &[&str]) -> Result<Value> {
    mesh.json(host, &[&["twinmesh", "netcheck", "--json"], arguments].concat())
}

/// What the coordinator knows of a node.
fn known(mesh: &Mesh, host: &str) -> Result<Value> {
    mesh.json("hub", &["twinmesh-coordinator", "node", "show", host, "--json"])
}

#[test]
fn every_kind_of_nat_is_measured_told_and_reported() {
    on_scenario("nat-kinds.toml", "nat-kinds", |mesh| {
        for (host, mapping, filtering, hairpin) in KINDS {
            let found = netcheck(mesh, host, &[])?;
            ensure!(found["udp"] == true, "{host}: {found}");
            let ipv4 = &found["ipv4"];
            ensure!(ipv4["mapping"] == mapping, "{host}: {found}");
            ensure!(ipv4["filtering"] == filtering, "{host}: {found}");
            ensure!(ipv4["hairpin"] == json!(hairpin), "{host}: {found}");
            let time = found["servers"][0]["round_trip_ms"].as_f64().context("no latency")?;
            ensure!(time > 0.0 && time < 1000.0, "{host}: {found}");
            wait_for("the coordinator to know", Duration::from_secs(10), || {
                let ipv4 = known(mesh, host).ok()?["nat_ipv4"].clone();
                (ipv4["class"] == mapping && ipv4["filtering"] == filtering).then_some(())
            })?;
        }

        let office = netcheck(mesh, "office", &[])?;
        ensure!(office["ipv4"].is_null(), "{office}");
        ensure!(office["ipv6"]["mapping"] == "none", "{office}");
        // The coordinator has one IPv6 address: its second port is not let in, and that is all there is to know.
        ensure!(office["ipv6"]["filtering"] == STRICT, "{office}");

        let blocked = netcheck(mesh, "blocked", &["--server", "192.0.2.10:3478"])?;
        ensure!(blocked["udp"] == false && blocked["ipv4"]["mapping"] == "udp-blocked", "{blocked}");
        let page = mesh.run("symmetric", &["twinmesh", "netcheck"])?;
        ensure!(page.contains("an outer port for each remote port"), "{page}");
        ensure!(page.contains("IPv4: a NAT that maps by destination"), "{page}");
        let refusal = mesh.fails("blocked", &["twinmesh", "netcheck"])?;
        ensure!(refusal.contains("--server"), "{refusal}");
        Ok(())
    });
}

#[test]
fn a_coordinator_with_one_address_tells_what_its_two_ports_can() {
    twinmesh_e2e::on_mesh("netcheck", |mesh| {
        let found = netcheck(mesh, "gamma", &[])?;
        ensure!(found["ipv4"]["mapping"] == "port-independent", "{found}");
        ensure!(found["ipv4"]["filtering"] == STRICT, "{found}");
        let found = netcheck(mesh, "alpha", &[])?;
        for version in ["ipv4", "ipv6"] {
            ensure!(found[version]["mapping"] == "none", "{found}");
            ensure!(found[version]["filtering"] == "port-independent", "{found}");
        }
        Ok(())
    });
}

#[test]
fn a_nat_with_a_short_memory_is_found_out_and_kept_awake() {
    on_scenario("short-mappings.toml", "short-mappings", |mesh| {
        // The silent ports need 20 s, and begin after the NAT's kind is known.
        let lifetime = wait_for("the lifetime of a mapping", Duration::from_secs(45), || {
            let lifetime = netcheck(mesh, "forgotten", &[]).ok()?["ipv4"]["lifetime"].clone();
            (!lifetime.is_null()).then_some(lifetime)
        })?;
        ensure!(lifetime == json!({ "at_least_s": 10, "below_s": 20 }), "{lifetime}");
        let page = mesh.run("forgotten", &["twinmesh", "netcheck"])?;
        ensure!(page.contains("10 to 20 s for an unused mapping"), "{page}");
        // Between the two pings the tunnel is silent for longer than the NAT remembers.
        let node = mesh.overlay_addresses("forgotten")?[0].to_string();
        mesh.pings_within("open", node.parse()?, Duration::from_secs(10))?;
        let pings = mesh.run("open", &["ping", "-c", "2", "-i", "18", "-W", "2", &node])?;
        ensure!(pings.contains(" 0% packet loss"), "{pings}");
        Ok(())
    });
}
