//! A child that the peer asked for, between our answer and its keys.

use std::sync::Arc;

use super::child_keys::{Agreed, install};
use super::context::Context;
use super::core::Core;
use super::draft::Draft;
use super::established::Established;
use super::task::NoncePair;
use crate::config::{ChildConfig, Choice, Mode, SelectorPair};
use crate::crypto::SharedSecret;
use crate::error::IkeError;
use crate::output::{ChildSaId, ChildSpis, OriginalAddresses, OutboundStart};
use crate::wire::{NotifyType, SaSpi};

/// A child that this side can make as the peer wants it.
pub(super) struct Match {
    pub(super) config: Arc<ChildConfig>,
    pub(super) choice: Choice,
    /// From this end's point of view.
    pub(super) selectors: SelectorPair,
    pub(super) original: Option<OriginalAddresses>,
    /// Whether it is all that the peer asks for.
    pub(super) whole: bool,
    pub(super) outbound_spi: u32,
}

/// What this side has said of a child that the peer wants: enough to make it, but for the secrets.
pub(super) struct ChildOffer {
    pub(super) found: Match,
    pub(super) inbound_spi: u32,
    pub(super) nonces: NoncePair,
    pub(super) rekeyed: Option<ChildSaId>,
}

/// Where an answer stands.
#[derive(Clone, Copy)]
pub(super) enum Said<'a> {
    /// The nonces are those of IKE_SA_INIT.
    InIkeAuth,
    /// With this public value.
    InCreateChildSa(Option<&'a (u16, Vec<u8>)>),
}

impl ChildOffer {
    pub(super) fn outbound_spi(&self) -> u32 {
        self.found.outbound_spi
    }

    pub(super) fn write(&self, said: Said<'_>, draft: &mut Draft) {
        let Match { config, choice, selectors, .. } = &self.found;
        // A peer that does not want it has been refused before.
        if config.mode == Mode::Transport {
            draft.notify(NotifyType::UseTransportMode, &[]);
        }
        draft.choice(choice, SaSpi::Child(self.inbound_spi));
        if let Said::InCreateChildSa(exchange) = said {
            draft.nonce(&self.nonces.responder);
            if let Some((group, public)) = exchange {
                draft.key_exchange(*group, public);
            }
        }
        draft.selectors(&selectors.remote, &selectors.local);
    }

    pub(super) fn agreed<'a>(&'a self, shared: &'a [SharedSecret]) -> Agreed<'a> {
        let Match { config, choice, selectors, original, outbound_spi, .. } = &self.found;
        Agreed {
            config: config.clone(),
            choice: choice.clone(),
            spis: ChildSpis { inbound: self.inbound_spi, outbound: *outbound_spi },
            local_ts: selectors.local.clone(),
            remote_ts: selectors.remote.clone(),
            original: *original,
            initiator: false,
            nonce_initiator: &self.nonces.initiator,
            nonce_responder: &self.nonces.responder,
            shared,
            rekeyed: self.rekeyed,
            outbound: if self.rekeyed.is_some() { OutboundStart::AfterPeer } else { OutboundStart::Now },
        }
    }
}

/// Installs the child before the answer is sent: this side can receive before the peer reads it (trap 5).
pub(super) fn install_or_release(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    offer: &ChildOffer,
    secrets: &[SharedSecret],
) -> Result<(), IkeError> {
    match install(established, core, ctx, offer.agreed(secrets)) {
        Ok(_) => Ok(()),
        Err(error) => {
            ctx.release_spi(offer.inbound_spi);
            Err(error)
        }
    }
}
