//! The child SAs that this end asks for: one for a whole child of the configuration, or one for each pair of subnets;
//! with the packet that called for it first (RFC 7296 §2.9, trap 9).

use std::sync::Arc;

use super::child::{Child, Stage};
use crate::config::{
    ChildConfig, ConnectionConfig, MOST_SELECTORS, Narrowing, SelectorPair, TrafficSelector,
};
use crate::error::IkeError;

/// A packet: this end's side of it, and the peer's.
pub(crate) type Trigger = (TrafficSelector, TrafficSelector);

/// One CREATE_CHILD_SA, or the child of IKE_AUTH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) config: Arc<ChildConfig>,
    /// As asked for. What the trigger needs is among it.
    pub(crate) selectors: SelectorPair,
    trigger: Option<Trigger>,
}

impl Wanted {
    /// What it takes to have this child.
    pub(crate) fn of(
        connection: &ConnectionConfig,
        child: &str,
        trigger: Option<Trigger>,
    ) -> Result<Vec<Self>, IkeError> {
        let config = Arc::new(connection.child(child).ok_or(IkeError::UnknownChild)?.clone());
        let selectors = config.selectors.clone();
        if let Some((local, remote)) = trigger {
            let holds = |side: &[TrafficSelector], packet| side.iter().any(|it| it.contains(packet));
            if !holds(&selectors.local, &local) || !holds(&selectors.remote, &remote) {
                return Err(IkeError::ForeignTrigger { local, remote, child: selectors.to_string() });
            }
        }
        let whole = Self { config, selectors, trigger };
        Ok(match connection.quirks.narrowing {
            Narrowing::Whole => vec![whole.with_trigger_first()],
            Narrowing::SinglePair => whole.pairs(),
        })
    }

    /// To take the place of this one.
    pub(crate) fn like(child: &Child) -> Self {
        let selectors = SelectorPair { local: child.local_ts.clone(), remote: child.remote_ts.clone() };
        Self { config: child.config.clone(), selectors, trigger: None }
    }

    /// All children of a connection.
    pub(crate) fn all_of(connection: &ConnectionConfig) -> Result<Vec<Self>, IkeError> {
        let children = connection.children.iter().map(|child| Self::of(connection, &child.name, None));
        Ok(children.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// RFC 7296 §2.9: "the very specific addresses in the packet triggering the request" come first.
    fn with_trigger_first(mut self) -> Self {
        if let Some((local, remote)) = self.trigger {
            put_first(&mut self.selectors.local, local);
            put_first(&mut self.selectors.remote, remote);
        }
        self
    }

    /// A pair of subnets each; with a trigger only the one that it needs.
    fn pairs(&self) -> Vec<Self> {
        let SelectorPair { local, remote } = &self.selectors;
        let mut pairs: Vec<Self> = local
            .iter()
            .flat_map(|local| remote.iter().map(move |remote| (*local, *remote)))
            .filter(|(local, remote)| {
                self.trigger.is_none_or(|packet| local.contains(&packet.0) && remote.contains(&packet.1))
            })
            .map(|(local, remote)| Self {
                selectors: SelectorPair { local: vec![local], remote: vec![remote] },
                ..self.clone()
            })
            .collect();
        if self.trigger.is_some() {
            pairs.truncate(1);
        }
        pairs
    }

    /// After SINGLE_PAIR_REQUIRED: "only the specific traffic it is trying to forward" (RFC 7296 §2.9) if a packet
    /// called for it, else a pair of subnets each. Nothing if this was such a pair already.
    pub(crate) fn narrower(&self) -> Vec<Self> {
        let narrower = match self.trigger {
            Some((local, remote)) => {
                let host = |packet: TrafficSelector| vec![packet.with_protocol(0, 0, u16::MAX)];
                let packet = SelectorPair { local: host(local), remote: host(remote) };
                let allowed = self.config.selectors.narrowed(&packet, Narrowing::SinglePair);
                allowed.map(|selectors| Self { selectors, ..self.clone() }).into_iter().collect()
            }
            None => self.pairs(),
        };
        narrower.into_iter().filter(|it: &Self| it.selectors != self.selectors).collect()
    }

    /// Whether these selectors of the same child do for it.
    fn is_served_by(&self, local: &[TrafficSelector], remote: &[TrafficSelector]) -> bool {
        match self.trigger {
            Some(packet) => {
                local.iter().any(|it| it.contains(&packet.0))
                    && remote.iter().any(|it| it.contains(&packet.1))
            }
            None => meet(local, &self.selectors.local) && meet(remote, &self.selectors.remote),
        }
    }

    /// Whether there is such a child.
    pub(crate) fn is_met_by(&self, child: &Child) -> bool {
        child.stage == Stage::Installed
            && child.config.name == self.config.name
            && self.is_served_by(&child.local_ts, &child.remote_ts)
    }

    /// Whether the other request will do.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        other.config.name == self.config.name
            && self.is_served_by(&other.selectors.local, &other.selectors.remote)
    }
}

fn put_first(side: &mut Vec<TrafficSelector>, packet: TrafficSelector) {
    if side.first() != Some(&packet) && side.len() < MOST_SELECTORS {
        side.insert(0, packet);
    }
}

/// Whether some traffic is in both.
fn meet(one: &[TrafficSelector], other: &[TrafficSelector]) -> bool {
    one.iter().any(|one| other.iter().any(|other| one.intersection(other).is_some()))
}
