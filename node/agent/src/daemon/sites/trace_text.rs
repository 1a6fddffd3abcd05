//! A record of the engine's messages, decoded.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use twinmesh_ike::trace::{PayloadText, Trace, Traced, TracedMessage, WiresharkTable};
use twinmesh_ike::wire::Header;
use twinmesh_ike::{ChildSaEstablished, IkeSaId};
use zeroize::Zeroizing;

use super::traces::{Record, What};
use crate::api::{IkeKeyLine, IkeMessage, IkePayload, IkeTrace, IkeTraceKind, SecretText};

pub(super) fn entry(record: &Record) -> IkeTrace {
    let mut told = blank(record.at);
    told.site = record.site.as_deref().map(str::to_owned);
    told.ike_sa = record.ike_sa.map(IkeSaId::number);
    match &record.what {
        What::Traced(trace) => fill(&mut told, trace),
        What::Note(kind, text) => {
            told.kind = *kind;
            told.text = Some(text.clone());
        }
    }
    told
}

/// The keys of a child, for those who ask for keys.
pub(super) fn child_keys(child: &ChildSaEstablished) -> IkeTrace {
    let mut told = blank(SystemTime::now());
    told.site = Some(child.connection.to_string());
    told.ike_sa = Some(child.ike_sa.number());
    told.local = Some(child.local.to_string());
    told.remote = Some(child.remote.to_string());
    told.text = Some(format!("keys of the child {}: {}", child.child, child.suite));
    told.keys = child.wireshark().map(|line| key_line(WiresharkTable::Esp, line)).into();
    told
}

/// Those of an IKE SA.
pub(super) fn ike_keys(trace: &Trace) -> IkeTrace {
    let mut told = blank(SystemTime::now());
    told.site = trace.connection.as_deref().map(str::to_owned);
    told.ike_sa = trace.ike_sa.map(IkeSaId::number);
    fill(&mut told, trace);
    told
}

fn blank(at: SystemTime) -> IkeTrace {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    IkeTrace {
        time_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        site: None,
        ike_sa: None,
        local: None,
        remote: None,
        kind: IkeTraceKind::Keys,
        text: None,
        message: None,
        keys: Vec::new(),
    }
}

fn key_line(table: WiresharkTable, line: Zeroizing<String>) -> IkeKeyLine {
    IkeKeyLine { table: table.file_name().to_owned(), line: SecretText::new(line) }
}

fn fill(told: &mut IkeTrace, trace: &Trace) {
    let Trace { local, remote, what, .. } = trace;
    told.local = Some(local.to_string());
    told.remote = Some(remote.to_string());
    let (kind, message, text) = match what {
        Traced::Sent(sent) => (IkeTraceKind::Sent, Some(message(sent, *local, *remote)), None),
        Traced::Received(received) => {
            (IkeTraceKind::Received, Some(message(received, *remote, *local)), None)
        }
        Traced::Retransmitted(header) => {
            (IkeTraceKind::Retransmitted, Some(bare(header)), Some("again, as there is no answer".to_owned()))
        }
        Traced::AnsweredAgain(header) => {
            let text = "it was asked again: the same answer again".to_owned();
            (IkeTraceKind::AnsweredAgain, Some(bare(header)), Some(text))
        }
        Traced::Fragment { header, number, total } => {
            (IkeTraceKind::Fragment, Some(bare(header)), Some(format!("fragment {number} of {total}")))
        }
        Traced::Dropped { header, reason } => {
            (IkeTraceKind::Dropped, header.as_ref().map(bare), Some(format!("dropped: {reason}")))
        }
        Traced::Keys(keys) => {
            told.keys = vec![key_line(WiresharkTable::Ike, keys.wireshark())];
            (IkeTraceKind::Keys, None, Some("keys of the IKE SA".to_owned()))
        }
    };
    (told.kind, told.message, told.text) = (kind, message, text);
}

fn bare(header: &Header) -> IkeMessage {
    IkeMessage {
        exchange: header.exchange.to_string(),
        response: header.flags.response,
        message_id: header.message_id.0,
        initiator_spi: header.initiator_spi.to_string(),
        responder_spi: header.responder_spi.to_string(),
        encrypted: None,
        bytes: None,
        datagrams: 1,
        payloads: Vec::new(),
    }
}

fn message(message: &TracedMessage, source: SocketAddr, destination: SocketAddr) -> IkeMessage {
    let payload = |PayloadText { name, text, details }| IkePayload { name, text, details };
    IkeMessage {
        encrypted: Some(message.sealed),
        bytes: message.length.and_then(|length| u64::try_from(length).ok()),
        datagrams: u64::try_from(message.datagrams).unwrap_or(u64::MAX),
        payloads: message.describe(source, destination).into_iter().map(payload).collect(),
        ..bare(&message.header)
    }
}
