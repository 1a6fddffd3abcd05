//! `twinmesh trace`: one packet followed on both nodes, with its way open and with each thing in its way.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use twinmesh_e2e::{IpVersion, Mesh, Server, on_mesh, wait_for};

/// What `trace --json` prints, whatever its verdict.
fn traced(mesh: &Mesh, node: &str, arguments: &[&str]) -> Result<Value> {
    let command = [&["twinmesh", "trace"], arguments, &["--json"]].concat();
    let output = mesh.output(node, &command)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let trace: Value = serde_json::from_str(&text).with_context(|| {
        format!("trace {arguments:?} printed {text}{}", String::from_utf8_lossy(&output.stderr))
    })?;
    ensure!(output.status.success() == (trace["verdict"] == "allowed"), "{}: {trace:#}", output.status);
    Ok(trace)
}

/// The stages, each with what it finds: `beta socket passes`.
fn stages(trace: &Value) -> Vec<String> {
    let word = |stage: &Value, name: &str| stage[name].as_str().unwrap_or_default().to_owned();
    let stages = trace["stages"].as_array().into_iter().flatten();
    stages.map(|stage| ["node", "stage", "finding"].map(|name| word(stage, name)).join(" ")).collect()
}

fn allowed(mesh: &Mesh, node: &str, arguments: &[&str]) -> Result<Value> {
    let trace = traced(mesh, node, arguments)?;
    ensure!(trace["verdict"] == "allowed", "{trace:#}");
    Ok(trace)
}

/// A packet that is stopped first there, by that rule.
fn stopped(mesh: &Mesh, node: &str, arguments: &[&str], at: [&str; 3]) -> Result<Value> {
    let trace = traced(mesh, node, arguments)?;
    let first = trace["stages"].as_array().into_iter().flatten().find(|stage| stage["finding"] == "stops");
    let Some(first) = first else { bail!("nothing stops it: {trace:#}") };
    ensure!(
        ["node", "stage", "rule"].map(|name| first[name].as_str().unwrap_or_default()) == at,
        "{trace:#}"
    );
    let meaning = format!("The packet is stopped at {}, stage {}, rule {}", at[0], at[1], at[2]);
    ensure!(trace["verdict"] == "stopped" && trace["meaning"][0].to_string().contains(&meaning), "{trace:#}");
    Ok(trace)
}

#[test]
fn a_packet_whose_way_is_open_passes_each_stage_on_both_nodes() {
    on_mesh("trace-open", |mesh| {
        // Nothing was sent before: the trace itself makes the session.
        let trace = allowed(mesh, "alpha", &["beta"])?;
        let here = ["route", "choice", "tunnel", "path", "mtu"].map(|stage| format!("alpha {stage} passes"));
        let there = ["question", "return", "source-check", "address", "route"];
        let there = there.map(|stage| format!("beta {stage} passes"));
        ensure!(stages(&trace) == [here.as_slice(), there.as_slice()].concat(), "{trace:#}");
        let text = trace.to_string();
        for part in [
            "answered inside the tunnel after",
            "WireGuard carries what goes to beta",
            "datagrams go straight to",
        ] {
            ensure!(text.contains(part), "no {part:?} in {trace:#}");
        }
        // Behind a NAT, from either side, and by IPv6 inside.
        let gamma6 = mesh.overlay_addresses("gamma")?[1].to_string();
        allowed(mesh, "alpha", &[&gamma6])?;
        allowed(mesh, "gamma", &["beta"])?;

        let beta = mesh.overlay_addresses("beta")?[0];
        let _server = Server::http(mesh, "beta", beta)?;
        let page = wait_for("the server to listen", Duration::from_secs(5), || {
            mesh.run("alpha", &["twinmesh", "trace", "beta", "tcp", "8000"]).ok()
        })?;
        ensure!(page.contains("\nALLOWED. ") && page.contains("a program listens on tcp"), "{page}");
        for [protocol, port] in [["tcp", "8001"], ["udp", "8000"]] {
            stopped(mesh, "alpha", &["beta", protocol, port], ["beta", "socket", "no-socket"])?;
        }
        let bad = mesh.output("alpha", &["twinmesh", "trace", "beta", "tcp"])?;
        ensure!(bad.status.code() == Some(2), "{bad:?}");
        let error = mesh.fails("alpha", &["twinmesh", "trace", "delta"])?;
        ensure!(error.contains("no peer is called delta"), "{error}");

        mesh.run(
            "hub",
            &["twinmesh-coordinator", "policy", "set", "--pair", "alpha,beta", "--protocol", "esp"],
        )?;
        wait_for("ESP to carry the traffic", Duration::from_secs(15), || {
            let trace = allowed(mesh, "alpha", &["beta"]).ok()?.to_string();
            (trace.contains("ESP carries what goes to beta")
                && trace.contains("it sends to this node by ESP"))
            .then_some(())
        })
    });
}

/// As on a slow line: it is in the map, but nobody has heard it yet and its outer address is not known.
#[test]
fn a_node_that_comes_while_it_is_asked_after_is_found() {
    on_mesh("trace-new", |mesh| {
        mesh.run("gamma", &["twinmesh", "logout"])?;
        let silence = "add table inet cut; add chain inet cut out { type filter hook output priority 0; }; \
                       add rule inet cut out udp dport { 3478, 3479, 4500 } drop";
        mesh.run("gamma", &["nft", silence])?;
        let token = mesh.token(&[])?.text;
        mesh.run("gamma", &["twinmesh", "up", "--coordinator", "hub", "--token", &token])?;
        wait_for("alpha to know gamma", Duration::from_secs(5), || mesh.peer("alpha", "gamma").ok())?;
        let tracing = mesh.spawn("alpha", &["twinmesh", "trace", "gamma"])?;
        wait_for("the trace to ask for a tunnel", Duration::from_secs(2), || {
            (mesh.peer("alpha", "gamma").ok()?["state"] == "connecting").then_some(())
        })?;
        mesh.run("gamma", &["nft", "delete table inet cut"])?;
        let traced = tracing.wait_with_output()?;
        let page = String::from_utf8_lossy(&traced.stdout);
        ensure!(traced.status.success() && page.contains("\nALLOWED. "), "{}: {page}", traced.status);
        Ok(())
    });
}

#[test]
fn what_stops_a_packet_is_named_with_its_node_and_rule() {
    on_mesh("trace-stopped", |mesh| {
        allowed(mesh, "alpha", &["beta"])?;
        let [alpha, beta] = [mesh.overlay_addresses("alpha")?[0], mesh.overlay_addresses("beta")?[0]];
        // Somebody's more specific route takes the packet, or the answer to it, elsewhere.
        for (node, other, stage) in [("alpha", beta, "route"), ("beta", alpha, "route")] {
            let gateway = "$(ip -4 route show default | awk '{ print $3; exit }')";
            let route = format!("{other}/32 via {gateway}");
            mesh.run(node, &["sh", "-ec", &format!("ip route add {route}")])?;
            stopped(mesh, "alpha", &["beta"], [node, stage, "other-route"])?;
            mesh.run(node, &["sh", "-ec", &format!("ip route del {route}")])?;
        }
        allowed(mesh, "alpha", &["beta"])?;

        // A firewall that lets nothing but STUN pass: the far end answers although no tunnel does.
        let outer = mesh.outer_address("beta", IpVersion::V4)?;
        let outer6 = mesh.outer_address("beta", IpVersion::V6)?;
        let filter = "udp dport 4500 @th,96,32 != 0x2112a442 drop";
        let script = format!(
            "add table inet cut; add chain inet cut out {{ type filter hook output priority 0; }}; \
             add rule inet cut out ip daddr {outer} {filter}; add rule inet cut out ip6 daddr {outer6} {filter}"
        );
        mesh.run("alpha", &["nft", &script])?;
        let trace = stopped(mesh, "alpha", &["beta"], ["alpha", "tunnel", "no-answer"])?;
        ensure!(stages(&trace).contains(&"beta question passes".to_owned()), "{trace:#}");
        mesh.run("alpha", &["nft", "delete table inet cut"])?;
        wait_for("the way to be open again", Duration::from_secs(20), || {
            allowed(mesh, "alpha", &["beta"]).ok()
        })?;

        mesh.run("hub", &["twinmesh-coordinator", "peer", "add", "tablet", "--generate"])?;
        let trace =
            wait_for("the tablet", Duration::from_secs(5), || traced(mesh, "alpha", &["tablet"]).ok())?;
        ensure!(trace["verdict"] == "unknown" && trace.to_string().contains("no-agent"), "{trace:#}");

        mesh.kill_agent("beta")?;
        let trace = traced(mesh, "alpha", &["beta"])?;
        ensure!(trace["verdict"] == "stopped", "{trace:#}");
        let stages = stages(&trace);
        ensure!(stages.contains(&"alpha tunnel stops".to_owned()), "{trace:#}");
        ensure!(stages.last().is_some_and(|last| last == "beta question unknown"), "{trace:#}");
        mesh.run("alpha", &["twinmesh", "down"])?;
        let error = mesh.fails("alpha", &["twinmesh", "trace", "beta"])?;
        ensure!(error.contains("the tunnels are not up"), "{error}");
        Ok(())
    });
}

#[test]
fn a_flood_of_forged_questions_is_counted_and_honest_ones_are_answered_meanwhile() {
    on_mesh("trace-flood", |mesh| {
        allowed(mesh, "alpha", &["beta"])?;
        let beta = mesh.outer_address("beta", IpVersion::V4)?;
        // As alpha asks, number 1 of the network, but sealed by nobody; a thousandth of a second apart.
        let flood = format!(
            "import os, socket, struct, time\n\
             out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
             for _ in range(2000):\n\
             \x20   head = struct.pack('>HHI', 0x1e41, 1008, 0x2112a442) + os.urandom(12)\n\
             \x20   asker = struct.pack('>HHQ', 0xc7a1, 8, 1)\n\
             \x20   sealed = struct.pack('>HH', 0xc7a2, 992) + os.urandom(992)\n\
             \x20   out.sendto(head + asker + sealed, ('{beta}', 4500))\n\
             \x20   time.sleep(0.001)\n"
        );
        let mut flood = mesh.spawn("phone", &["python3", "-c", &flood])?;
        wait_for("the flood", Duration::from_secs(5), || {
            (mesh.drops("beta", "forged-question").ok()? > 0).then_some(())
        })?;
        allowed(mesh, "alpha", &["beta"])?;
        ensure!(flood.wait()?.success());
        wait_for("all to be counted", Duration::from_secs(5), || {
            (mesh.drops("beta", "forged-question").ok()? == 2000).then_some(())
        })
        .with_context(|| format!("{:?} were counted", mesh.drops("beta", "forged-question")))?;
        ensure!(mesh.drops("beta", "question-limit")? == 0);
        Ok(())
    });
}

#[test]
fn the_shell_completes_names_of_peers_and_sites() {
    on_mesh("completions", |mesh| {
        let complete = |line: &str| {
            let script = format!(
                "source <(twinmesh completions bash); COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
                 COMP_TYPE=9; _clap_complete_twinmesh twinmesh \"${{COMP_WORDS[COMP_CWORD]}}\"; \
                 printf '%s\\n' \"${{COMPREPLY[@]}}\""
            );
            mesh.run("alpha", &["bash", "-c", &script])
        };
        for (line, names) in [
            ("twinmesh trace be", "beta\n"),
            ("twinmesh ping g", "gamma\n"),
            ("twinmesh explain al", "\n"),
            ("twinmesh bugre", "bugreport\n"),
            ("twinmesh ping --socket /nowhere g", "\n"),
        ] {
            let completed = complete(line)?;
            ensure!(completed == names, "{line}: {completed:?}");
        }
        Ok(())
    });
}
