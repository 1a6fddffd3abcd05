//! Making a child SA at the peer's request: in IKE_AUTH, and in CREATE_CHILD_SA (RFC 7296 §1.3.1, §1.3.3, §2.9).

use std::sync::Arc;

use super::body::Body;
use super::child::Stage;
use super::child_keys::install;
use super::child_offer::{ChildOffer, Match, Said, install_or_release};
use super::context::Context;
use super::core::Core;
use super::draft::Draft;
use super::established::{Established, PATIENCE, Standing};
use super::followup_answer::Offered;
use super::task::{NoncePair, Pending};
use super::translate;
use super::transport::{Translated, between_ends, translate as translate_selectors};
use crate::config::{ChildConfig, KeyExchanges, Mode, SelectorPair, SelectorsRefused, select};
use crate::crypto::{Group, KeyExchange, SharedSecret};
use crate::error::IkeError;
use crate::output::ChildSaId;
use crate::wire::{ExchangeType, NotifyType, SaSpi};

/// In IKE_AUTH: the answer holds a child, or the reason why there is none; the IKE SA stands in any case.
pub(super) fn answer_first_child(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    body: &Body<'_>,
    nonces: (&[u8], &[u8]),
    draft: &mut Draft,
) {
    let exchange = ExchangeType::IkeAuth;
    let found = matching(&established.connection, core, None, body, KeyExchanges::Ignored, exchange);
    let made = found.and_then(|found| {
        let nonces = NoncePair { initiator: nonces.0.to_vec(), responder: nonces.1.to_vec() };
        let offer = ChildOffer { found, inbound_spi: ctx.child_spi(), nonces, rekeyed: None };
        install_or_release(established, core, ctx, &offer, &[])?;
        Ok(offer)
    });
    match made {
        Ok(offer) => offer.write(Said::InIkeAuth, draft),
        Err(error) => refuse(established, core, ctx, draft, error),
    }
}

/// In CREATE_CHILD_SA.
pub(super) fn answer(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    body: &Body<'_>,
    draft: &mut Draft,
) {
    // RFC 7296 §2.25.2: not while the IKE SA itself is about to change or to go.
    let busy = matches!(established.pending, Some(Pending::Ike(_) | Pending::DeleteIke(_)));
    if busy || established.standing == Standing::Superseded {
        draft.notify(NotifyType::TemporaryFailure, &[]);
        return;
    }
    let old = match body.notify(NotifyType::RekeySa).map(|notify| &notify.spi) {
        None => None,
        Some(SaSpi::Child(spi)) => match established.children.by_peer_spi(*spi) {
            // It may be the one whose making we wait to hear of: then there is a second answer later.
            None if matches!(established.pending, Some(Pending::Child(_))) => {
                draft.notify(NotifyType::TemporaryFailure, &[]);
                return;
            }
            None => {
                draft.notify_child(NotifyType::ChildSaNotFound, *spi);
                return;
            }
            // RFC 7296 §2.25.1: it is about to go.
            Some(child) if child.stage != Stage::Installed => {
                draft.notify(NotifyType::TemporaryFailure, &[]);
                return;
            }
            // It is settled that ours goes on (RFC 9370 §2.2.4).
            Some(child) if is_followed_up(established, child.id) => {
                draft.notify(NotifyType::TemporaryFailure, &[]);
                return;
            }
            Some(child) => Some((child.id, child.config.clone())),
        },
        Some(SaSpi::Empty | SaSpi::Ike(_) | SaSpi::Other(_)) => {
            draft.notify(NotifyType::InvalidSyntax, &[]);
            return;
        }
    };
    let made = create(established, core, ctx, body, old, draft);
    if let Err(error) = made {
        refuse(established, core, ctx, draft, error);
    }
}

fn create(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    body: &Body<'_>,
    old: Option<(ChildSaId, Arc<ChildConfig>)>,
    draft: &mut Draft,
) -> Result<(), IkeError> {
    let exchange = ExchangeType::CreateChildSa;
    let peer_nonce = body.nonce.ok_or(IkeError::Missing { exchange, payload: "Ni" })?;
    let config = old.as_ref().map(|(_, config)| config);
    let found = matching(&established.connection, core, config, body, KeyExchanges::Negotiated, exchange)?;
    if old.is_none() && asks_for_it_too(established, &found) {
        // That of the IKE SA's initiator comes to be, and does for both.
        if core.is_original_initiator() {
            draft.notify(NotifyType::TemporaryFailure, &[]);
            return Ok(());
        }
        if let Some(Pending::Child(pending)) = &mut established.pending {
            pending.twin = true;
        }
    }
    let rounds = translate::rounds(&found.choice)?;
    if !rounds.is_empty() && established.unfinished.is_full() {
        draft.notify(NotifyType::TemporaryFailure, &[]);
        return Ok(());
    }
    let mut secrets = Vec::new();
    let mut public = None;
    if let Some(number) = found.choice.key_exchange() {
        let group = Group::try_from(number).map_err(|_| IkeError::Unusable(found.choice.name()))?;
        let Some(offered) = body.key_exchange.filter(|offered| offered.group == number) else {
            // RFC 7296 §1.3: the peer comes again with a public value of this group.
            draft.notify(NotifyType::InvalidKePayload, &number.to_be_bytes());
            return Ok(());
        };
        let answer = KeyExchange::respond(group, offered.public, ctx.random)?;
        secrets.push(answer.secret);
        public = Some((number, answer.public));
    }
    let rekeyed = old.map(|(id, _)| id);
    let nonces = NoncePair { initiator: peer_nonce.to_vec(), responder: ctx.nonce() };
    let offer = ChildOffer { found, inbound_spi: ctx.child_spi(), nonces, rekeyed };
    if rounds.is_empty() {
        install_or_release(established, core, ctx, &offer, &secrets)?;
        offer.write(Said::InCreateChildSa(public.as_ref()), draft);
        supersede(established, ctx, &offer);
    } else {
        if let Some(old) = rekeyed {
            // The peer has begun anew.
            established.unfinished.forget_rekey_of(ctx, old);
        }
        collide(established, &offer);
        offer.write(Said::InCreateChildSa(public.as_ref()), draft);
        established.unfinished.open(ctx, rounds, secrets, Offered::Child(Box::new(offer)), draft);
    }
    Ok(())
}

/// The last of its key exchanges is made (RFC 9370 §2.2.4).
pub(super) fn finish(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    offer: &ChildOffer,
    secrets: &[SharedSecret],
) -> Result<(), IkeError> {
    install(established, core, ctx, offer.agreed(secrets))?;
    supersede(established, ctx, offer);
    Ok(())
}

/// Whether this side rekeys the child, and has come as far as IKE_FOLLOWUP_KE.
fn is_followed_up(established: &Established, child: ChildSaId) -> bool {
    let Some(Pending::Child(pending)) = &established.pending else { return false };
    pending.rekeys == Some(child) && pending.followup.is_some()
}

/// If this side is rekeying the child too, the nonces decide later (RFC 7296 §2.8.1).
fn collide(established: &mut Established, offer: &ChildOffer) {
    if let Some(Pending::Child(pending)) = &mut established.pending
        && offer.rekeyed.is_some()
        && pending.rekeys == offer.rekeyed
    {
        pending.collision = Some(offer.nonces.clone());
    }
}

/// The old child, if there is one, waits for its DELETE.
fn supersede(established: &mut Established, ctx: &Context<'_>, offer: &ChildOffer) {
    if let Some(child) = offer.rekeyed.and_then(|old| established.children.by_id_mut(old)) {
        child.stage = Stage::Superseded;
        child.rekey_at = None;
        child.expires_at = Some(ctx.now + PATIENCE);
    }
    collide(established, offer);
}

/// Whether this end asks for the same child at the same time.
fn asks_for_it_too(established: &Established, found: &Match) -> bool {
    let Some(Pending::Child(pending)) = &established.pending else { return false };
    let wanted = &pending.wanted;
    pending.rekeys.is_none() && wanted.config.name == found.config.name && wanted.selectors == found.selectors
}

/// Among the children of the configuration, or of the one that is rekeyed, the first that fits.
fn matching(
    connection: &crate::config::ConnectionConfig,
    core: &Core,
    rekeyed: Option<&Arc<ChildConfig>>,
    body: &Body<'_>,
    exchanges: KeyExchanges,
    exchange: ExchangeType,
) -> Result<Match, IkeError> {
    let missing = |payload| IkeError::Missing { exchange, payload };
    let remote = body.selectors_initiator.clone().ok_or_else(|| missing("TSi"))?;
    let local = body.selectors_responder.clone().ok_or_else(|| missing("TSr"))?;
    let wanted = SelectorPair { local, remote };
    let offers = body.offers();
    let configs: Vec<Arc<ChildConfig>> = match rekeyed {
        Some(config) => vec![config.clone()],
        None => connection.children.iter().cloned().map(Arc::new).collect(),
    };
    let mut refused = None;
    let mut best: Option<Match> = None;
    for config in configs {
        let fitting = fit(connection, core, &config, &wanted, &offers, body, exchanges);
        match fitting {
            Ok(found) => {
                // Exactly what the peer asks for is better than a part of it.
                if found.whole {
                    return Ok(found);
                }
                best.get_or_insert(found);
            }
            Err(error) => {
                refused.get_or_insert(error);
            }
        }
    }
    best.ok_or_else(|| refused.unwrap_or(IkeError::UnknownChild))
}

fn fit(
    connection: &crate::config::ConnectionConfig,
    core: &Core,
    config: &Arc<ChildConfig>,
    wanted: &SelectorPair,
    offers: &[crate::config::Offer],
    body: &Body<'_>,
    exchanges: KeyExchanges,
) -> Result<Match, IkeError> {
    let transport = body.has(NotifyType::UseTransportMode);
    let (asked, allowed) = match (config.mode, transport) {
        // RFC 7296 §1.3.1: a responder may decline transport mode, but one that needs it cannot do without.
        (Mode::Transport, false) => return Err(IkeError::ModeRefused { wanted: "tunnel" }),
        (Mode::Transport, true) => {
            let allowed = between_ends(&config.selectors, core.path);
            let unlike = || SelectorsRefused { offered: wanted.clone(), allowed: allowed.clone() };
            (translate_selectors(wanted, core).ok_or_else(unlike)?, allowed)
        }
        (Mode::Tunnel, _) => {
            (Translated { selectors: wanted.clone(), original: None }, config.selectors.clone())
        }
    };
    let selectors = allowed.narrowed(&asked.selectors, connection.quirks.narrowing)?;
    let choice = select(offers, &config.proposals, exchanges)?;
    let outbound_spi = match body.spi_of(choice.number) {
        Some(SaSpi::Child(spi)) => *spi,
        Some(SaSpi::Empty | SaSpi::Ike(_) | SaSpi::Other(_)) | None => {
            return Err(IkeError::Missing { exchange: ExchangeType::CreateChildSa, payload: "SPI" });
        }
    };
    let whole = selectors == asked.selectors;
    Ok(Match { config: config.clone(), choice, selectors, original: asked.original, whole, outbound_spi })
}

fn refuse(established: &Established, core: &Core, ctx: &mut Context<'_>, draft: &mut Draft, error: IkeError) {
    let (kind, data) = error.notification();
    draft.notify(kind, &data);
    let connection = Some(established.connection.name.clone());
    ctx.failed(connection, None, Some(core.id), core.path.remote, error);
}
