//! Making a child SA at the peer's request: in IKE_AUTH, and in CREATE_CHILD_SA (RFC 7296 §1.3.1, §1.3.3, §2.9).

use std::sync::Arc;

use super::body::Body;
use super::child::Stage;
use super::child_keys::{Agreed, install};
use super::context::Context;
use super::core::Core;
use super::draft::Draft;
use super::established::{Established, PATIENCE, Standing};
use super::task::{NoncePair, Pending};
use crate::config::{ChildConfig, Choice, KeyExchanges, Mode, SelectorPair, select};
use crate::crypto::{Group, KeyExchange, SharedSecret};
use crate::error::IkeError;
use crate::output::{ChildSaId, ChildSpis, OutboundStart};
use crate::wire::{ExchangeType, NotifyType, SaSpi};

/// A child that this side can make as the peer wants it.
struct Match {
    config: Arc<ChildConfig>,
    choice: Choice,
    /// From this end's point of view.
    selectors: SelectorPair,
    outbound_spi: u32,
}

/// What this side adds to a child, besides its SPI.
struct Own {
    nonce: Vec<u8>,
    exchange: Option<(u16, Vec<u8>, SharedSecret)>,
}

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
    let found = matching(&established.connection, None, body, KeyExchanges::Ignored, exchange);
    let made = found.and_then(|found| {
        let own = Own { nonce: nonces.1.to_vec(), exchange: None };
        make(established, core, ctx, body, nonces.0, found, &own, None, draft)
    });
    if let Err(error) = made {
        refuse(established, core, ctx, draft, error);
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
    let found = matching(&established.connection, config, body, KeyExchanges::Negotiated, exchange)?;
    let own_exchange = match found.choice.key_exchange() {
        None => None,
        Some(number) => {
            let group = Group::try_from(number).map_err(|_| IkeError::Unusable(found.choice.name()))?;
            let Some(offered) = body.key_exchange.filter(|offered| offered.group == number) else {
                // RFC 7296 §1.3: the peer comes again with a public value of this group.
                draft.notify(NotifyType::InvalidKePayload, &number.to_be_bytes());
                return Ok(());
            };
            let answer = KeyExchange::respond(group, offered.public, ctx.random)?;
            Some((number, answer.public, answer.secret))
        }
    };
    let own = Own { nonce: ctx.nonce(), exchange: own_exchange };
    let old = old.map(|(id, _)| id);
    make(established, core, ctx, body, peer_nonce, found, &own, old, draft)?;
    if let Some(old) = old {
        let nonces = NoncePair { initiator: peer_nonce.to_vec(), responder: own.nonce };
        supersede(established, ctx, old, nonces);
    }
    Ok(())
}

/// The old child waits for its DELETE; if this side is rekeying it too, the nonces decide later (RFC 7296 §2.8.1).
fn supersede(established: &mut Established, ctx: &Context<'_>, old: ChildSaId, nonces: NoncePair) {
    if let Some(child) = established.children.by_id_mut(old) {
        child.stage = Stage::Superseded;
        child.rekey_at = None;
        child.expires_at = Some(ctx.now + PATIENCE);
    }
    if let Some(Pending::Child(pending)) = &mut established.pending
        && pending.rekeys == Some(old)
    {
        pending.collision = Some(nonces);
    }
}

/// Among the children of the configuration, or of the one that is rekeyed, the first that fits.
fn matching(
    connection: &crate::config::ConnectionConfig,
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
        let fitting = fit(connection, &config, &wanted, &offers, body, exchanges);
        match fitting {
            Ok(found) => {
                // Exactly what the peer asks for is better than a part of it.
                if found.selectors == wanted {
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
    config: &Arc<ChildConfig>,
    wanted: &SelectorPair,
    offers: &[crate::config::Offer],
    body: &Body<'_>,
    exchanges: KeyExchanges,
) -> Result<Match, IkeError> {
    let selectors = config.selectors.narrowed(wanted, connection.quirks.narrowing)?;
    let choice = select(offers, &config.proposals, exchanges)?;
    let outbound_spi = match body.spi_of(choice.number) {
        Some(SaSpi::Child(spi)) => *spi,
        Some(SaSpi::Empty | SaSpi::Ike(_) | SaSpi::Other(_)) | None => {
            return Err(IkeError::Missing { exchange: ExchangeType::CreateChildSa, payload: "SPI" });
        }
    };
    // RFC 7296 §1.3.1: a responder may decline transport mode, but one that needs it cannot do without.
    if config.mode == Mode::Transport && !body.has(NotifyType::UseTransportMode) {
        return Err(IkeError::ModeRefused { wanted: "tunnel" });
    }
    Ok(Match { config: config.clone(), choice, selectors, outbound_spi })
}

/// Writes the answer and installs the child: this side can receive before the peer reads the answer (trap 5).
#[expect(clippy::too_many_arguments, reason = "one step of an exchange, with both sides' contributions")]
fn make(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    body: &Body<'_>,
    peer_nonce: &[u8],
    found: Match,
    own: &Own,
    rekeyed: Option<ChildSaId>,
    draft: &mut Draft,
) -> Result<(), IkeError> {
    let inbound = ctx.child_spi();
    let Match { config, choice, selectors, outbound_spi } = found;
    let agreed = Agreed {
        config,
        choice: choice.clone(),
        spis: ChildSpis { inbound, outbound: outbound_spi },
        local_ts: selectors.local.clone(),
        remote_ts: selectors.remote.clone(),
        initiator: false,
        nonce_initiator: peer_nonce,
        nonce_responder: &own.nonce,
        shared: own.exchange.as_ref().map(|(_, _, secret)| secret),
        rekeyed,
        outbound: if rekeyed.is_some() { OutboundStart::AfterPeer } else { OutboundStart::Now },
    };
    let mode = agreed.config.mode;
    if let Err(error) = install(established, core, ctx, agreed) {
        ctx.release_spi(inbound);
        return Err(error);
    }
    if mode == Mode::Transport && body.has(NotifyType::UseTransportMode) {
        draft.notify(NotifyType::UseTransportMode, &[]);
    }
    draft.choice(&choice, SaSpi::Child(inbound));
    // In IKE_AUTH the nonces are those of IKE_SA_INIT.
    if rekeyed.is_some() || own.exchange.is_some() || body.nonce.is_some() {
        draft.nonce(&own.nonce);
    }
    if let Some((group, public, _)) = &own.exchange {
        draft.key_exchange(*group, public);
    }
    draft.selectors(&selectors.remote, &selectors.local);
    Ok(())
}

fn refuse(established: &Established, core: &Core, ctx: &mut Context<'_>, draft: &mut Draft, error: IkeError) {
    let (kind, data) = error.notification();
    draft.notify(kind, &data);
    let connection = Some(established.connection.name.clone());
    ctx.failed(connection, None, Some(core.id), core.path.remote, error);
}
