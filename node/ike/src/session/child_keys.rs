//! From an agreement to a child SA with keys (RFC 7296 §2.17).

use std::sync::Arc;

use zeroize::Zeroizing;

use super::child::{Child, Stage};
use super::context::Context;
use super::core::Core;
use super::established::Established;
use super::translate;
use crate::config::{ChildConfig, Choice, Mode, SelectorPair, SelectorsRefused, TrafficSelector};
use crate::crypto::SharedSecret;
use crate::error::IkeError;
use crate::output::{
    ChildKeys, ChildSaEstablished, ChildSaId, ChildSpis, Event, OriginalAddresses, OutboundStart,
};

/// All that both ends have agreed upon for one child SA.
pub(super) struct Agreed<'a> {
    pub(super) config: Arc<ChildConfig>,
    pub(super) choice: Choice,
    pub(super) spis: ChildSpis,
    pub(super) local_ts: Vec<TrafficSelector>,
    pub(super) remote_ts: Vec<TrafficSelector>,
    pub(super) original: Option<OriginalAddresses>,
    /// Whether this side began the exchange that makes the child.
    pub(super) initiator: bool,
    pub(super) nonce_initiator: &'a [u8],
    pub(super) nonce_responder: &'a [u8],
    /// Of every key exchange that is the child's own, in their order.
    pub(super) shared: &'a [SharedSecret],
    pub(super) rekeyed: Option<ChildSaId>,
    pub(super) outbound: OutboundStart,
}

impl Agreed<'_> {
    /// Why this side, which asked for it, will not have it as the peer made it.
    pub(super) fn refusal(&self, narrowed: bool, transport: bool) -> Option<IkeError> {
        if !narrowed {
            let answered = SelectorPair { local: self.local_ts.clone(), remote: self.remote_ts.clone() };
            let allowed = self.config.selectors.clone();
            return Some(IkeError::WidenedSelectors(Box::new(SelectorsRefused {
                offered: answered,
                allowed,
            })));
        }
        // RFC 7296 §1.3.1: a responder may decline transport mode; whether to go on is for the initiator to say.
        match (self.config.mode, transport) {
            (Mode::Transport, false) => Some(IkeError::ModeRefused { wanted: "tunnel" }),
            (Mode::Tunnel, true) => Some(IkeError::ModeRefused { wanted: "transport" }),
            (Mode::Tunnel, false) | (Mode::Transport, true) => None,
        }
    }
}

/// Derives the keys, notes the child and tells the caller.
pub(super) fn install(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    agreed: Agreed<'_>,
) -> Result<ChildSaId, IkeError> {
    let length =
        translate::keymat_len(&agreed.choice).ok_or_else(|| IkeError::Unusable(agreed.choice.name()))?;
    let secure = &established.secure;
    let shared: Vec<&SharedSecret> = agreed.shared.iter().collect();
    let keymat = secure.keys.child_keymat(
        secure.prf,
        &shared,
        agreed.nonce_initiator,
        agreed.nonce_responder,
        length.saturating_mul(2),
    );
    let (first, second) = keymat.split_at(length.min(keymat.len()));
    let (first, second) = (Zeroizing::new(first.to_vec()), Zeroizing::new(second.to_vec()));
    // The keys of what the exchange's initiator sends come first.
    let keys = if agreed.initiator {
        ChildKeys { inbound: second, outbound: first }
    } else {
        ChildKeys { inbound: first, outbound: second }
    };
    let id = ctx.child_sa_id();
    let lifetime = agreed.config.lifetime;
    let moment = u64::from_be_bytes(ctx.random_array());
    established.children.add(Child {
        id,
        config: agreed.config.clone(),
        spis: agreed.spis,
        local_ts: agreed.local_ts.clone(),
        remote_ts: agreed.remote_ts.clone(),
        stage: Stage::Installed,
        rekey_at: lifetime.soft(moment).map(|wait| ctx.now + wait),
        expires_at: lifetime.hard.map(|wait| ctx.now + wait),
    });
    let path = core.data_path();
    ctx.event(Event::ChildSaEstablished(Box::new(ChildSaEstablished {
        connection: established.connection.name.clone(),
        child: agreed.config.name.clone(),
        ike_sa: core.id,
        child_sa: id,
        spis: agreed.spis,
        keys,
        suite: agreed.choice.suite(),
        esn: agreed.choice.esn(),
        mode: agreed.config.mode,
        local_ts: agreed.local_ts,
        remote_ts: agreed.remote_ts,
        encapsulation: core.between.encapsulation(),
        local: path.local,
        remote: path.remote,
        original: agreed.original,
        rekeyed: agreed.rekeyed,
        outbound: agreed.outbound,
    })));
    Ok(id)
}
