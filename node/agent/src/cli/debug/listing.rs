//! IKE messages for people.

use zeroize::Zeroizing;

use super::super::table;
use crate::api::{IkeMessage, IkeTrace, IkeTraceKind};

/// A line for what happened, and one for each payload.
pub(super) fn text(told: &IkeTrace) -> Zeroizing<String> {
    let mut words = vec![time(told.time_ms), told.site.clone().unwrap_or_else(|| "-".to_owned())];
    let arrow = match told.kind {
        IkeTraceKind::Sent | IkeTraceKind::Retransmitted | IkeTraceKind::AnsweredAgain => Some("→"),
        IkeTraceKind::Received | IkeTraceKind::Fragment | IkeTraceKind::Dropped => Some("←"),
        IkeTraceKind::Established
        | IkeTraceKind::Rekeyed
        | IkeTraceKind::Deleted
        | IkeTraceKind::Failed
        | IkeTraceKind::Keys
        | IkeTraceKind::Lost => None,
    };
    if let (Some(arrow), Some(remote)) = (arrow, &told.remote) {
        words.push(format!("{arrow} {remote}"));
    }
    words.extend(told.message.as_ref().map(heading));
    words.extend(told.text.clone());
    let mut text = Zeroizing::new(words.join("  "));
    text.push('\n');
    if let Some(message) = &told.message {
        text.push_str(&payloads(message));
    }
    for key in &told.keys {
        for part in ["    ", &key.table, "  ", key.line.expose(), "\n"] {
            text.push_str(part);
        }
    }
    text
}

/// Of the day, in UTC.
fn time(milliseconds: u64) -> String {
    let (seconds, milliseconds) = (milliseconds / 1000 % 86_400, milliseconds % 1000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{milliseconds:03}", seconds % 60)
}

fn heading(message: &IkeMessage) -> String {
    let kind = if message.response { "response" } else { "request" };
    let bytes = message.bytes.map(|bytes| format!(", {bytes} bytes")).unwrap_or_default();
    let fragments =
        if message.datagrams > 1 { format!(" in {} fragments", message.datagrams) } else { String::new() };
    format!(
        "{} {kind} {}{bytes}{fragments}, SPIs {} {}",
        message.exchange, message.message_id, message.initiator_spi, message.responder_spi
    )
}

fn payloads(message: &IkeMessage) -> String {
    let mut rows = Vec::new();
    for payload in &message.payloads {
        rows.push(vec![format!("    {}", payload.name), payload.text.clone()]);
        rows.extend(payload.details.iter().map(|detail| vec![String::new(), format!("  {detail}")]));
    }
    if rows.is_empty() && message.encrypted == Some(true) {
        rows.push(vec!["    nothing in it: a sign of life, or an answer that says yes".to_owned()]);
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> IkeTrace {
        serde_json::from_value(serde_json::json!({
            "time_ms": 1_795_571_391_042_u64, "site": "branch-7", "ike_sa": 3, "local": "192.0.2.1:500",
            "remote": "198.51.100.2:500", "kind": "sent", "text": null,
            "message": {
                "exchange": "IKE_SA_INIT", "response": false, "message_id": 0, "initiator_spi": "0011223344556677",
                "responder_spi": "0000000000000000", "encrypted": false, "bytes": 240, "datagrams": 1,
                "payloads": [
                    { "name": "SA", "text": "2 proposals", "details": ["1 IKE aes128-sha256-x25519", "2 IKE 3des"] },
                    { "name": "N(COOKIE)", "text": "33 bytes", "details": [] }
                ]
            }
        }))
        .unwrap()
    }

    #[test]
    fn a_message_is_a_line_and_its_payloads_below() {
        assert_eq!(
            text(&told()).as_str(),
            "\
01:49:51.042  branch-7  → 198.51.100.2:500  IKE_SA_INIT request 0, 240 bytes, SPIs 0011223344556677 0000000000000000
    SA         2 proposals
                 1 IKE aes128-sha256-x25519
                 2 IKE 3des
    N(COOKIE)  33 bytes
"
        );
    }

    #[test]
    fn what_happened_is_a_line() {
        let mut told = told();
        told.kind = IkeTraceKind::Dropped;
        told.site = None;
        told.text = Some("dropped: forged".to_owned());
        let message = told.message.as_mut().unwrap();
        message.payloads.clear();
        (message.bytes, message.encrypted, message.response) = (None, None, true);
        assert_eq!(
            text(&told).as_str(),
            "01:49:51.042  -  ← 198.51.100.2:500  IKE_SA_INIT response 0, SPIs 0011223344556677 0000000000000000  \
             dropped: forged\n"
        );
        (told.kind, told.message) = (IkeTraceKind::Failed, None);
        assert_eq!(text(&told).as_str(), "01:49:51.042  -  dropped: forged\n");
    }

    #[test]
    fn an_empty_message_says_so() {
        let mut told = told();
        let message = told.message.as_mut().unwrap();
        message.payloads.clear();
        (message.encrypted, message.datagrams) = (Some(true), 2);
        let text = text(&told);
        assert!(text.contains("240 bytes in 2 fragments") && text.contains("sign of life"), "{}", *text);
    }
}
