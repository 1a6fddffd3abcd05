//! What a person sees of the mesh: `explain`, `ping`.

use std::time::Duration;

use anyhow::{Result, ensure};
use twinmesh_e2e::{Mesh, on_mesh, wait_for};

fn explains(mesh: &Mesh, node: &str, peer: &str) -> Result<String> {
    mesh.run(node, &["twinmesh", "explain", peer])
}

#[test]
fn explain_says_what_carries_the_traffic_which_way_and_why() {
    on_mesh("explain", |mesh| {
        let addresses = mesh.overlay_addresses("beta")?;
        let (beta4, beta6) = (addresses[0], addresses[1]);
        mesh.pings_within("alpha", beta4, Duration::from_secs(8))?;
        let page = explains(mesh, "alpha", "beta")?;
        for part in [
            "beta, a node with an agent",
            "WireGuard carries the traffic: ",
            "The tunnel stands.",
            "The path is direct, to ",
            "an address of its own",
            "in use",
            "WireGuard: a session stands, with ",
        ] {
            ensure!(page.contains(part), "no {part:?} in\n{page}");
        }
        for also in [beta4.to_string(), beta6.to_string(), "BETA".to_owned()] {
            ensure!(explains(mesh, "alpha", &also)?.starts_with("beta, "), "{also}");
        }
        let json = mesh.json("alpha", &["twinmesh", "explain", &beta6.to_string(), "--json"])?;
        ensure!(json["address"] == beta6.to_string() && json["peer"]["state"] == "active", "{json}");

        // Behind a NAT: where gamma is heard is where its NAT is.
        mesh.pings_within("gamma", beta4, Duration::from_secs(8))?;
        let page = explains(mesh, "beta", "gamma")?;
        ensure!(page.contains("the outer address of its NAT"), "{page}");

        let set = |arguments: &[&str]| {
            mesh.run("hub", &[&["twinmesh-coordinator", "policy", "set"], arguments].concat())
        };
        set(&["--pair", "alpha,beta", "--protocol", "esp"])?;
        let page = wait_for("ESP to carry the traffic", Duration::from_secs(15), || {
            mesh.pings_within("alpha", beta4, Duration::from_millis(500)).ok();
            let page = explains(mesh, "alpha", "beta").ok()?;
            (page.contains("ESP carries the traffic: the policy of this pair asks for ESP")
                && page.contains("The tunnel stands."))
            .then_some(page)
        })?;
        ensure!(page.contains("ESP: an IKE SA stands, with "), "{page}");

        for (asked, answer) in [
            ("delta", "no peer is called delta"),
            ("alpha", "alpha is this node itself"),
            ("100.127.9.9", "no peer has the address 100.127.9.9"),
        ] {
            let error = mesh.fails("alpha", &["twinmesh", "explain", asked])?;
            ensure!(error.contains(answer), "{error}");
        }
        mesh.run("alpha", &["twinmesh", "down"])?;
        let error = mesh.fails("alpha", &["twinmesh", "explain", "beta"])?;
        ensure!(error.contains("the tunnels are not up"), "{error}");
        Ok(())
    });
}

#[test]
fn explain_says_that_nothing_goes_in_the_clear_where_no_protocol_is_allowed() {
    on_mesh("explain-none", |mesh| {
        mesh.run("hub", &["twinmesh-coordinator", "peer", "add", "tablet", "--generate"])?;
        mesh.run("hub", &["twinmesh-coordinator", "node", "tag", "alpha", "pci"])?;
        mesh.run("hub", &["twinmesh-coordinator", "policy", "set", "--tag", "pci", "--compliance", "yes"])?;
        let page = wait_for("the choice to arrive", Duration::from_secs(5), || {
            explains(mesh, "alpha", "tablet").ok().filter(|page| page.contains("Nothing carries"))
        })?;
        for part in ["a plain WireGuard device", "tablet is a plain WireGuard device", "nothing in the clear"]
        {
            ensure!(page.contains(part), "no {part:?} in\n{page}");
        }
        ensure!(!page.contains("The tunnel"), "there is none:\n{page}");
        Ok(())
    });
}

#[test]
fn ping_tells_by_what_and_which_way_and_when_that_changes() {
    on_mesh("ping", |mesh| {
        mesh.pings_within("alpha", mesh.overlay_addresses("beta")?[0], Duration::from_secs(8))?;
        let told = mesh.write("alpha", "told", "")?;
        let script = format!("exec twinmesh ping beta -c 60 -i 0.1 > {told}");
        let mut pinging = mesh.spawn("alpha", &["sh", "-c", &script])?;
        wait_for("the first reply", Duration::from_secs(5), || {
            std::fs::read_to_string(&told).ok()?.contains("reply 1 ").then_some(())
        })?;
        let esp = ["policy", "set", "--pair", "alpha,beta", "--protocol", "esp"];
        mesh.run("hub", &[&["twinmesh-coordinator"], esp.as_slice()].concat())?;
        let status = pinging.wait()?;
        let text = std::fs::read_to_string(&told)?;
        ensure!(status.success(), "{text}");
        ensure!(text.contains("(wireguard, direct)") && text.contains("(esp, direct)"), "{text}");
        ensure!(text.contains("the protocol is esp now, not wireguard any more"), "{text}");
        let json = mesh.json("alpha", &["twinmesh", "ping", "beta", "-c", "1", "--json"])?;
        ensure!(json["protocol"] == "esp" && json["path"] == "direct" && json["received"] == 1, "{json}");
        ensure!(json["replies"][0]["endpoint"] == json["endpoint"], "{json}");

        mesh.kill_agent("beta")?;
        let output = mesh.output("alpha", &["twinmesh", "ping", "beta", "-c", "1"])?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.code() == Some(1), "{text}");
        ensure!(text.contains("no answer to 1") && text.contains("`twinmesh explain beta`"), "{text}");
        Ok(())
    });
}
