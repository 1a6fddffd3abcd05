//! Who reaches whom: a pair of every two kinds of NAT, from the first packet to the direct path, and a table of it.

mod cold;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use twinmesh_e2e::{Mesh, on_scenario, wait_for};

/// What stands before a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    None,
    /// Endpoint-independent mapping; filters by address.
    Restricted,
    /// Endpoint-independent mapping; filters by address and port.
    Cone,
    /// Address-dependent mapping.
    ByAddress,
    /// Address-and-port-dependent mapping.
    Symmetric,
    /// Two NATs in a row, the outer one address-and-port-dependent.
    Carrier,
    UdpBlocked,
    Ipv6Only,
}

use Kind::{ByAddress, Carrier, Cone, Ipv6Only, None as Open, Restricted, Symmetric, UdpBlocked};

/// Kind, its two nodes, and the coordinator's address as they reach it.
const NODES: [(Kind, &str, &str); 15] = [
    (Open, "open-1", "192.0.2.10"),
    (Open, "open-2", "192.0.2.10"),
    (Restricted, "restricted", "192.0.2.10"),
    (Cone, "cone-1", "192.0.2.10"),
    (Cone, "cone-2", "192.0.2.10"),
    (ByAddress, "by-address-1", "192.0.2.10"),
    (ByAddress, "by-address-2", "192.0.2.10"),
    (Symmetric, "symmetric-1", "192.0.2.10"),
    (Symmetric, "symmetric-2", "192.0.2.10"),
    (Carrier, "carrier-1", "192.0.2.10"),
    (Carrier, "carrier-2", "192.0.2.10"),
    (UdpBlocked, "blocked-1", "192.0.2.10"),
    (UdpBlocked, "blocked-2", "192.0.2.10"),
    (Ipv6Only, "ipv6-1", "[2001:db8::10]"),
    (Ipv6Only, "ipv6-2", "[2001:db8::10]"),
];

/// One of [`NODES`].
type Node = (Kind, &'static str);

/// Whether theory has a direct path.
fn is_direct(one: Kind, other: Kind) -> bool {
    let maps_by_destination = |kind| matches!(kind, ByAddress | Symmetric | Carrier);
    match (one, other) {
        (UdpBlocked, _) | (_, UdpBlocked) => false,
        // The others behind NATs have no IPv6.
        (Ipv6Only, kind) | (kind, Ipv6Only) => matches!(kind, Open | Ipv6Only),
        // Restricted lets in what comes from the other's address, whatever the port.
        (Open | Restricted, _) | (_, Open | Restricted) => true,
        // Nobody can tell the port that the other will have.
        (one, other) => !maps_by_destination(one) && !maps_by_destination(other),
    }
}

/// Each pair of kinds, by the nodes' names; of two of one kind the first and the second.
fn pairs() -> Vec<(Node, Node)> {
    let mut pairs = Vec::new();
    for (at, &(one, first, _)) in NODES.iter().enumerate() {
        for &(other, second, _) in &NODES[at + 1..] {
            let is_new = !pairs.iter().any(|&((a, _), (b, _))| (a, b) == (one, other));
            if is_new {
                pairs.push(((one, first), (other, second)));
            }
        }
    }
    pairs
}

/// Pings of a stream come so often.
const INTERVAL_MS: f64 = 20.0;
/// Of one ping's run: two seconds.
const PINGS: &str = "100";
/// For a pair to be as theory has it.
const PATIENCE: Duration = Duration::from_secs(10);

struct Stream(Child);

impl Stream {
    fn start(mesh: &Mesh, from: &str, to: &str) -> Result<Self> {
        let address = mesh.overlay_addresses(to)?[0].to_string();
        let ping = ["ping", "-n", "-i", "0.02", "-c", PINGS, "-W", "1", &address];
        let mut command = mesh.command(from, &ping)?;
        Ok(Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?))
    }

    fn is_over(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// Waits for its end; milliseconds from its start to the first answer, if one came.
    fn first_answer(self) -> Result<Option<f64>> {
        let text = String::from_utf8(self.0.wait_with_output()?.stdout)?;
        let number = |line: &str, key: &str| -> Option<f64> {
            line.split_once(key)?.1.split(' ').next()?.parse().ok()
        };
        let answers = text.lines().filter_map(|line| {
            Some((number(line, "icmp_seq=")? - 1.0) * INTERVAL_MS + number(line, "time=")?)
        });
        Ok(answers.min_by(f64::total_cmp))
    }
}

/// One pair's line of the table.
struct Row {
    names: String,
    expected_direct: bool,
    is_direct: bool,
    first_ms: Option<f64>,
    direct_ms: Option<f64>,
    peer: Value,
}

impl Row {
    fn problem(&self) -> Option<String> {
        let peer = &self.peer;
        let why = &peer["path"]["why_relayed"];
        let complaint = match (self.first_ms, self.expected_direct, self.is_direct) {
            (None, ..) => "is not reached".to_owned(),
            (Some(late), ..) if late > 2000.0 => format!("is reached after {late:.0} ms only"),
            (_, true, false) => format!("has no direct path, which theory has: {peer}"),
            (_, false, true) => format!("has a direct path, which theory has not: {peer}"),
            (_, false, false) if why.as_array().is_none_or(Vec::is_empty) => {
                format!("is relayed without a reason: {peer}")
            }
            _ if peer["protocol"] != "wireguard" || peer["reasons"][0]["code"] != "default" => {
                format!("is not in WireGuard by default: {peer}")
            }
            _ => return None,
        };
        Some(format!("{} {complaint}", self.names))
    }

    fn write(&self, table: &mut String) -> Result<()> {
        let ms = |time: Option<f64>| time.map_or("-".to_owned(), |ms| format!("{ms:.0} ms"));
        let path = &self.peer["path"];
        let kind = path["kind"].as_str().unwrap_or("?");
        let over = if self.is_direct { format!("direct, {kind}") } else { "relay".to_owned() };
        let why: Vec<&str> = path["why_relayed"].as_array().map_or(Vec::new(), |reasons| {
            reasons.iter().filter_map(|reason| reason["code"].as_str()).collect()
        });
        let protocol = self.peer["protocol"].as_str().unwrap_or("?");
        let reason = self.peer["reasons"][0]["code"].as_str().unwrap_or("?");
        writeln!(
            table,
            "{:<28} {:<22} {:>9} {:>9}  {:<22} {}",
            self.names,
            over,
            ms(self.first_ms),
            ms(self.direct_ms),
            format!("{protocol} ({reason})"),
            why.join(", ")
        )?;
        Ok(())
    }
}

/// Whether both ends send by a direct path; `None` while one of them has none at all.
fn both_direct(mesh: &Mesh, one: &str, other: &str) -> Result<Option<bool>> {
    let relayed = |here: &str, there: &str| -> Result<Option<bool>> {
        Ok(mesh.peer(here, there)?["path"]["relayed"].as_bool())
    };
    let Some(first) = relayed(one, other)? else { return Ok(None) };
    Ok(relayed(other, one)?.map(|second| !first && !second))
}

fn measure(mesh: &Mesh, (one, from): Node, (other, to): Node) -> Result<Row> {
    let expected_direct = is_direct(one, other);
    let begun = Instant::now();
    let (mut first_ms, mut direct_ms) = (None, None);
    while begun.elapsed() < PATIENCE {
        let before = begun.elapsed().as_secs_f64() * 1e3;
        let mut stream = Stream::start(mesh, from, to)?;
        while direct_ms.is_none() && !stream.is_over()? {
            if both_direct(mesh, from, to)? == Some(true) {
                direct_ms = Some(begun.elapsed().as_secs_f64() * 1e3);
            }
        }
        let answer = stream.first_answer()?;
        first_ms = first_ms.or(answer.map(|after| before + after));
        if first_ms.is_some() && direct_ms.is_some() == expected_direct {
            break;
        }
    }
    let is_direct = both_direct(mesh, from, to)? == Some(true);
    Ok(Row {
        names: format!("{from} — {to}"),
        expected_direct,
        is_direct,
        first_ms,
        direct_ms,
        peer: mesh.peer(from, to)?,
    })
}

/// All join at once; then each is to know where the others are relayed.
fn join(mesh: &Mesh) -> Result<()> {
    let token = mesh.token(&["--reusable"])?.text;
    let joins: Vec<Child> = NODES
        .iter()
        .map(|(_, node, coordinator)| {
            mesh.spawn(node, &["twinmesh", "up", "--coordinator", coordinator, "--token", &token])
        })
        .collect::<Result<_>>()?;
    for (join, (_, node, _)) in joins.into_iter().zip(NODES) {
        let output = join.wait_with_output()?;
        ensure!(output.status.success(), "{node} does not join: {}", output.status);
    }
    for ((_, one), (_, other)) in pairs() {
        for (here, there) in [(one, other), (other, one)] {
            wait_for(&format!("{here} to know where {there} is relayed"), Duration::from_secs(30), || {
                let page = mesh.json(here, &["twinmesh", "explain", there, "--json"]).ok()?;
                let candidates = page["candidates"].as_array()?;
                candidates.iter().any(|candidate| candidate["kind"] == "relayed").then_some(())
            })?;
        }
    }
    Ok(())
}

/// Median and 95th percentile.
fn spread(mut times: Vec<f64>) -> Option<(f64, f64)> {
    times.sort_by(f64::total_cmp);
    let last = times.len().checked_sub(1)?;
    Some((times[last / 2], times[(last * 95).div_ceil(100)]))
}

fn line(what: &str, times: Vec<f64>) -> Result<String> {
    let count = times.len();
    let (median, p95) = spread(times).with_context(|| format!("no time to the {what}"))?;
    Ok(format!("{what} ({count} pairs): median {median:.0} ms, 95 % within {p95:.0} ms\n"))
}

/// Where `make test` finds it.
fn keep(table: &str) -> Result<()> {
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("paths-matrix.txt"), table)
        .context("the table cannot be written")
}

#[test]
fn every_pair_of_kinds_is_reached_at_once_and_directly_where_theory_has_a_way() {
    on_scenario("paths-matrix.toml", "matrix", |mesh| {
        join(mesh)?;
        let mut table = format!(
            "{:<28} {:<22} {:>9} {:>9}  {:<22} why relayed\n",
            "pair", "path", "first", "direct", "protocol"
        );
        let mut rows = Vec::new();
        for (one, other) in pairs() {
            let row = measure(mesh, one, other)?;
            row.write(&mut table)?;
            // Whoever ends the test early sees how far it came.
            keep(&table)?;
            rows.push(row);
        }
        table += &line("first answer", rows.iter().filter_map(|row| row.first_ms).collect())?;
        table += &line("direct path", rows.iter().filter_map(|row| row.direct_ms).collect())?;
        println!("{table}");
        keep(&table)?;
        let problems: Vec<String> = rows.iter().filter_map(Row::problem).collect();
        ensure!(problems.is_empty(), "{table}\n{}", problems.join("\n"));
        Ok(())
    });
}
