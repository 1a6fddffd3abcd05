//! What to look at, and what to change: for the one who reads of a failure.

use std::net::SocketAddr;

use crate::config::{Transform, TransformKind};
use crate::wire::{ExchangeType, NotifyType};

/// Why a peer may not answer.
#[expect(clippy::wildcard_enum_match_arm, reason = "an IKE SA that stood answers no longer")]
pub(super) fn silence(exchange: ExchangeType, remote: SocketAddr) -> String {
    match exchange {
        ExchangeType::IkeSaInit if remote.port() == 500 => {
            "it is down, a firewall drops UDP port 500, or it speaks IKEv1 only and has to be set to IKEv2"
                .to_owned()
        }
        ExchangeType::IkeSaInit => {
            let address = match remote {
                SocketAddr::V4(remote) => remote.ip().to_string(),
                SocketAddr::V6(remote) => format!("[{}]", remote.ip()),
            };
            format!(
                "it is down, a firewall drops UDP port {}, or it takes first messages at UDP port 500 only: try remote \
                 = \"{address}:500\". One that speaks IKEv1 only is silent too",
                remote.port()
            )
        }
        ExchangeType::IkeAuth | ExchangeType::IkeIntermediate => format!(
            "it answered IKE_SA_INIT, so it is there. A firewall may pass UDP port 500 and drop {}, large packets may get \
             lost on the way (lower `fragment_size`), or the peer cannot open the message: its log tells",
            remote.port()
        ),
        _ => "it is down, or the path to it is".to_owned(),
    }
}

/// What a refusal most often means.
#[expect(clippy::wildcard_enum_match_arm, reason = "what the others mean, the peer's log tells")]
pub(super) fn refusal(exchange: ExchangeType, notify: NotifyType) -> &'static str {
    match notify {
        NotifyType::NoProposalChosen if exchange == ExchangeType::IkeSaInit => {
            ": none of it is allowed there, or the peer knows nobody at our address. Its log names what it allows; set \
             `proposals` to that"
        }
        NotifyType::NoProposalChosen => {
            ": none of it is allowed there. The peer's log names what it allows; set `proposals` of the child to that; \
             with PFS at one end only, end them with -modpnone"
        }
        NotifyType::InvalidKePayload => {
            ": the peer wants another key exchange than those; add the one that it is set to, to `proposals`"
        }
        NotifyType::AuthenticationFailed => {
            ". It does not say why: compare the secret or the certificates of both ends, our `local_id` with whom the \
             peer expects, and our `remote_id` with who it is; its log tells more"
        }
        NotifyType::AuthorizationFailed => ": the peer knows us, and is not set to let us in",
        NotifyType::TsUnacceptable => {
            ": the peer has not these subnets. Both ends need the same, exchanged: our local_ts is its remote_ts, or at \
             least a part of it"
        }
        NotifyType::SinglePairRequired => {
            ": the peer takes one pair of subnets in a child; make a [[child]] of each pair, or set `vendor`"
        }
        NotifyType::NoAdditionalSas => {
            ": the peer takes no further child in one IKE SA; put all subnets into one [[child]]"
        }
        NotifyType::FailedCpRequired | NotifyType::InternalAddressFailure => {
            ": the peer is set up for remote users, whom it gives an address. It has to be set up for a site"
        }
        NotifyType::InvalidMajorVersion => ": the peer speaks another version of IKE; let it speak IKEv2",
        NotifyType::InvalidSyntax | NotifyType::UnsupportedCriticalPayload => {
            ": it does not understand our message; `twinmesh debug ike` shows it, and the peer's log may tell what is \
             wrong with it"
        }
        NotifyType::TemporaryFailure => ": it is busy with this SA; it is tried again",
        _ => ": the peer's log may tell why",
    }
}

pub(super) fn group(number: u16) -> String {
    let transform = Transform::new(TransformKind::KeyExchange, number);
    let weak = if transform.is_legacy() { ", which takes allow_legacy = true" } else { "" };
    format!("{transform} (number {number}{weak})")
}

pub(super) fn wanted(identity: Option<&str>) -> String {
    identity.map(|identity| format!(" and wants {identity}")).unwrap_or_default()
}
