//! `twinmesh trace`: one packet's way to a peer, stage by stage.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap_complete::ArgValueCandidates;

use super::arguments::Socket;
use super::completions::peers;
use super::{CommandError, print, print_json, table};
use crate::api::{self, Request, Trace, TraceFinding, TracePacket, TraceProtocol, TraceVerdict};

/// The far end has three seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// Follow one packet to a peer, stage by stage on both nodes, and say what stops it
///
/// On this node it looks at route, policies, choice of protocol, tunnel, path and MTU. The peer's agent is asked for the
/// rest: whether it lets packets from here pass, whether a program listens, and which way answers go. It is asked
/// outside the tunnel, at all places where it may be, so it also answers where no tunnel stands. PEER is a host name
/// of the mesh or an inner address; without a port the packet is a ping. It takes three seconds at most.
///
/// Exits with status 1 unless the packet is allowed. Packet filters of the hosts are not looked at.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  twinmesh trace beta
  twinmesh trace beta tcp 443
  twinmesh trace 100.64.0.2 udp 53 --json | jq -r '.meaning[]'

JSON (--json); fields may be added, none is ever renamed:
  from, to   { node, address }
  packet     { protocol: icmp | tcp | udp, port (or null) }
  stages     [{ node, stage, finding: passes | stops | unknown, rule (or null), text }], in the packet's order
               stage: route | policy | choice | tunnel | path | mtu,
                      at the far end question | return | source-check | address | route | socket
               rule: what stops the packet, or why it is not known
  verdict    allowed | stopped | unknown
  meaning    sentences for people")]
pub(super) struct TraceArguments {
    /// Host name of the mesh, or inner address
    #[arg(add = ArgValueCandidates::new(peers))]
    peer: String,
    /// Of a packet with a port
    #[arg(requires = "port", value_parser = PossibleValuesParser::new(["tcp", "udp"]))]
    protocol: Option<String>,
    /// Where the packet is to arrive
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

pub(super) fn run(arguments: &TraceArguments) -> Result<ExitCode, CommandError> {
    let protocol = match arguments.protocol.as_deref() {
        Some("tcp") => TraceProtocol::Tcp,
        Some(_) => TraceProtocol::Udp,
        None => TraceProtocol::Icmp,
    };
    let packet = TracePacket { protocol, port: arguments.port };
    let request = Request::Trace { peer: arguments.peer.clone(), packet };
    let trace: Trace = api::request(&arguments.socket.socket, &request, PATIENCE)?;
    if arguments.json {
        print_json(&trace)?;
    } else {
        print(&page(&trace))?;
    }
    Ok(if trace.verdict == TraceVerdict::Allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn page(trace: &Trace) -> String {
    let packet = match (trace.packet.protocol, trace.packet.port) {
        (TraceProtocol::Tcp, Some(port)) => format!("tcp port {port}"),
        (TraceProtocol::Udp, Some(port)) => format!("udp port {port}"),
        _ => "a ping".to_owned(),
    };
    let end = |end: &api::TraceEnd| format!("{} {}", end.node, end.address);
    let rows: Vec<Vec<String>> = trace
        .stages
        .iter()
        .map(|stage| {
            let finding = match stage.finding {
                TraceFinding::Passes => "passes",
                TraceFinding::Stops => "STOPS",
                TraceFinding::Unknown => "unknown",
            };
            [&stage.node, &stage.stage, finding, &stage.text].map(str::to_owned).to_vec()
        })
        .collect();
    let verdict = match trace.verdict {
        TraceVerdict::Allowed => "ALLOWED",
        TraceVerdict::Stopped => "STOPPED",
        TraceVerdict::Unknown => "UNKNOWN",
    };
    format!(
        "From {} to {}, {packet}\n\n{}\n{verdict}. {}\n",
        end(&trace.from),
        end(&trace.to),
        table(&rows),
        trace.meaning.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented shape; fields that are missing here would break somebody's script.
    fn trace() -> Trace {
        serde_json::from_value(serde_json::json!({
            "from": { "node": "alpha", "address": "100.64.0.1" },
            "to": { "node": "beta", "address": "100.64.0.2" },
            "packet": { "protocol": "tcp", "port": 443 },
            "stages": [
                { "node": "alpha", "stage": "route", "finding": "passes", "rule": null, "text": "into twinmesh0" },
                { "node": "beta", "stage": "socket", "finding": "stops", "rule": "no-socket", "text": "no program" }
            ],
            "verdict": "stopped",
            "meaning": ["The packet is stopped at beta, stage socket, rule no-socket: no program."]
        }))
        .unwrap()
    }

    #[test]
    fn the_page_goes_stage_by_stage_to_the_verdict() {
        assert_eq!(
            page(&trace()),
            "\
From alpha 100.64.0.1 to beta 100.64.0.2, tcp port 443

alpha  route   passes  into twinmesh0
beta   socket  STOPS   no program

STOPPED. The packet is stopped at beta, stage socket, rule no-socket: no program.
"
        );
    }

    #[test]
    fn the_json_form_keeps_its_names() {
        let json = serde_json::to_value(trace()).unwrap();
        assert_eq!(json["stages"][1]["finding"], "stops");
        assert_eq!((&json["verdict"], &json["packet"]["port"]), (&"stopped".into(), &443.into()));
    }
}
