//! IKE_SA_INIT once more, as the responder asks: with a cookie, or with another group (RFC 7296 §1.3, §2.6).

use super::Phase;
use super::context::Context;
use super::core::Core;
use super::init_request::{InitSent, names};
use crate::crypto::{Group, KeyExchange};
use crate::error::IkeError;

/// How often a peer may ask for a cookie or another group.
const MOST_RETRIES: u8 = 8;

impl InitSent {
    /// Goes on waiting, for a short time.
    pub(super) fn doubt(mut self: Box<Self>, core: &mut Core, reason: IkeError) -> Phase {
        self.refused.get_or_insert(reason);
        core.requests.hurry();
        Phase::InitSent(self)
    }

    pub(super) fn retry(mut self: Box<Self>, core: &mut Core, ctx: &mut Context<'_>) -> Phase {
        self.retries = self.retries.saturating_add(1);
        if self.retries > MOST_RETRIES {
            return self.doubt(core, IkeError::Loop);
        }
        let connection = self.connection.clone();
        self.send(core, ctx).unwrap_or_else(|error| {
            ctx.failed(Some(connection.name.clone()), None, None, core.path.remote, error);
            Phase::Gone
        })
    }

    /// Goes on waiting as before; `reason` is told if nothing comes of it.
    fn wait(mut self: Box<Self>, reason: IkeError) -> Phase {
        self.refused.get_or_insert(reason);
        Phase::InitSent(self)
    }

    /// RFC 7296 §2.6: answered by the same request with the cookie in front.
    pub(super) fn handle_cookie(
        mut self: Box<Self>,
        core: &mut Core,
        ctx: &mut Context<'_>,
        cookie: &[u8],
    ) -> Phase {
        if !(1..=64).contains(&cookie.len()) {
            return self.doubt(core, IkeError::Loop);
        }
        if self.cookie.as_deref() == Some(cookie) {
            // One more copy of what has been heeded already.
            return self.wait(IkeError::Loop);
        }
        self.cookie = Some(cookie.to_vec());
        self.retry(core, ctx)
    }

    /// RFC 7296 §1.3: the responder has chosen another group of those offered. Any other would be a downgrade.
    pub(super) fn handle_invalid_ke(
        mut self: Box<Self>,
        core: &mut Core,
        ctx: &mut Context<'_>,
        wanted: u16,
    ) -> Phase {
        let offered = self.connection.proposals.iter().any(|proposal| {
            proposal.of_kind(crate::config::TransformKind::KeyExchange).any(|exchange| exchange.id == wanted)
        });
        let group = Group::try_from(wanted).ok().filter(|group| offered && !group.is_additional_only());
        match group {
            Some(group) if group != self.exchange.group() => {
                self.exchange = KeyExchange::generate(group, ctx.random);
                self.retry(core, ctx)
            }
            // One more copy of what has been heeded already.
            Some(_) => self.wait(IkeError::Loop),
            None => {
                let offered = names(&self.connection);
                self.doubt(core, IkeError::GroupRefused { group: wanted, offered })
            }
        }
    }
}
