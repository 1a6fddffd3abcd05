//! Proposals in strongSwan's notation, such as `aes128gcm16-prfsha256-x25519`.

use std::fmt;

use super::algorithm::{self, Transform, TransformKind};

/// What a proposal is for (RFC 7296 §3.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    Ike,
    Esp,
}

/// Transforms of which one of each kind is to be chosen; each kind's in order of preference, kinds in the order of
/// their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proposal {
    protocol: Protocol,
    transforms: Vec<Transform>,
}

/// Whether a site takes algorithms that are known to be weak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Legacy {
    #[default]
    Refused,
    Allowed,
}

/// A text is no proposal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProposalError {
    #[error("the proposal is empty")]
    Empty,
    #[error("`{0}` is no algorithm known here")]
    Unknown(String),
    #[error(
        "{0} is too weak to rely on (RFC 8247); where the peer has nothing better, write allow_legacy = true"
    )]
    Legacy(Transform),
    #[error("it names no encryption algorithm")]
    NoEncryption,
    #[error("{0} authenticates nothing: an integrity algorithm is needed, as in {0}-sha256")]
    NoIntegrity(Transform),
    #[error("{0} has its own integrity, and {1} goes with others only: write two proposals")]
    Mixed(Transform, Transform),
    #[error("an IKE proposal with {0} needs a PRF, such as {0}-prfsha256-x25519")]
    NoPrf(Transform),
    #[error("an IKE proposal needs a key exchange, such as x25519")]
    NoKeyExchange,
    #[error("{0} comes after a first key exchange, never alone: write x25519-ke1_{0}")]
    NotFirst(Transform),
    #[error(
        "{0} without a first key exchange adds to nothing: where modpnone stands, ke{1}_none has to stand too"
    )]
    NothingToAddTo(Transform, u8),
    #[error("it has more than 255 algorithms")]
    TooMany,
}

impl Proposal {
    /// Reads strongSwan's notation.
    pub fn parse(protocol: Protocol, text: &str, legacy: Legacy) -> Result<Self, ProposalError> {
        let mut transforms = Vec::new();
        for word in text.trim_ascii().split('-') {
            if word.is_empty() {
                return Err(ProposalError::Empty);
            }
            let transform =
                algorithm::of_name(word, protocol).ok_or_else(|| ProposalError::Unknown(word.to_owned()))?;
            if transform.is_legacy() && legacy == Legacy::Refused {
                return Err(ProposalError::Legacy(transform));
            }
            if transform.is_misplaced() {
                return Err(ProposalError::NotFirst(transform));
            }
            if !transforms.contains(&transform) {
                transforms.push(transform);
            }
        }
        Self { protocol, transforms }.completed()
    }

    /// Adds what the notation leaves out and refuses what does not go together.
    fn completed(mut self) -> Result<Self, ProposalError> {
        let encryption: Vec<Transform> = self.of_kind(TransformKind::Encryption).collect();
        let first = *encryption.first().ok_or(ProposalError::NoEncryption)?;
        let integrity: Vec<Transform> = self.of_kind(TransformKind::Integrity).collect();
        let combined = encryption.iter().copied().find(|cipher| cipher.is_combined());
        let plain = encryption.iter().copied().find(|cipher| !cipher.is_combined());
        match (combined, plain, integrity.first()) {
            // RFC 7296 §3.3: those with integrity of their own stand in proposals of their own.
            (Some(combined), Some(other), _) | (Some(combined), None, Some(&other)) => {
                return Err(ProposalError::Mixed(combined, other));
            }
            (None, Some(plain), None) => return Err(ProposalError::NoIntegrity(plain)),
            (Some(_), None, None) | (None, _, _) => {}
        }
        match self.protocol {
            Protocol::Ike => {
                if self.of_kind(TransformKind::Prf).next().is_none() {
                    self.transforms.extend(integrity.into_iter().filter_map(algorithm::prf_beside));
                }
                if self.of_kind(TransformKind::Prf).next().is_none() {
                    return Err(ProposalError::NoPrf(first));
                }
                if !self.of_kind(TransformKind::KeyExchange).any(|exchange| !exchange.is_none()) {
                    return Err(ProposalError::NoKeyExchange);
                }
            }
            // RFC 7296 §3.3.3: the transform is mandatory in ESP.
            Protocol::Esp if self.of_kind(TransformKind::SequenceNumbers).next().is_none() => {
                self.transforms.push(Transform::NO_ESN);
            }
            Protocol::Esp => {}
        }
        self.check_rounds()?;
        self.transforms.sort_by_key(|transform| transform.kind.number());
        if self.transforms.len() > usize::from(u8::MAX) {
            return Err(ProposalError::TooMany);
        }
        Ok(self)
    }

    /// What may be done without a first key exchange can be done without those that follow it.
    fn check_rounds(&self) -> Result<(), ProposalError> {
        let needs = |kind| {
            let exchange = self.of_kind(kind).next()?;
            self.of_kind(kind).all(|exchange| !exchange.is_none()).then_some(exchange)
        };
        if needs(TransformKind::KeyExchange).is_some() {
            return Ok(());
        }
        match (1..=7).find_map(|round| Some((needs(TransformKind::AdditionalKeyExchange(round))?, round))) {
            Some((exchange, round)) => Err(ProposalError::NothingToAddTo(exchange, round)),
            None => Ok(()),
        }
    }

    /// Whether it asks for more than one key exchange (RFC 9370), if only perhaps.
    pub fn has_additional_key_exchanges(&self) -> bool {
        (1..=7).any(|round| {
            self.of_kind(TransformKind::AdditionalKeyExchange(round)).any(|exchange| !exchange.is_none())
        })
    }

    /// As a peer wrote it, whatever it may be.
    pub fn offered(protocol: Protocol, transforms: Vec<Transform>) -> Self {
        Self { protocol, transforms }
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub fn transforms(&self) -> &[Transform] {
        &self.transforms
    }

    pub fn of_kind(&self, kind: TransformKind) -> impl Iterator<Item = Transform> + '_ {
        self.transforms.iter().copied().filter(move |transform| transform.kind == kind)
    }

    /// The group that an initiator sends its first public value for.
    pub fn first_key_exchange(&self) -> Option<u16> {
        self.of_kind(TransformKind::KeyExchange)
            .find(|exchange| !exchange.is_none())
            .map(|exchange| exchange.id)
    }

    /// For the child that IKE_AUTH makes: its keys come from the IKE SA's own exchange (RFC 7296 §1.2).
    #[must_use]
    pub fn without_key_exchange(&self) -> Self {
        let exchange =
            |kind| matches!(kind, TransformKind::KeyExchange | TransformKind::AdditionalKeyExchange(_));
        let transforms =
            self.transforms.iter().copied().filter(|transform| !exchange(transform.kind)).collect();
        Self { protocol: self.protocol, transforms }
    }

    /// What is offered where a site names nothing.
    pub fn defaults(protocol: Protocol) -> Vec<Self> {
        let texts: &[&str] = match protocol {
            Protocol::Ike => &[
                "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha256-prfsha384-prfsha512-x25519-ecp256-ecp384-\
                 modp3072-modp2048",
                "aes256-aes128-sha256-sha384-sha512-x25519-ecp256-ecp384-modp3072-modp2048",
            ],
            // Trap 23: with and without a key exchange of its own, so that a rekey agrees with any setting there.
            Protocol::Esp => &[
                "aes256gcm16-aes128gcm16-chacha20poly1305-x25519-ecp256-ecp384-modp3072-modp2048-modpnone",
                "aes256-aes128-sha256-sha384-sha512-x25519-ecp256-ecp384-modp3072-modp2048-modpnone",
            ],
        };
        texts.iter().filter_map(|text| Self::parse(protocol, text, Legacy::Refused).ok()).collect()
    }
}

/// In strongSwan's notation; what it leaves out is left out here.
impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // strongSwan's order: integrity before PRF.
        let order = |kind| match kind {
            TransformKind::Encryption => 0,
            TransformKind::Integrity => 1,
            TransformKind::Prf => 2,
            TransformKind::KeyExchange => 3,
            TransformKind::AdditionalKeyExchange(round) => 3 + round,
            TransformKind::SequenceNumbers => 20,
            TransformKind::Unknown(_) => 30,
        };
        let implied_prf: Vec<Transform> =
            self.of_kind(TransformKind::Integrity).filter_map(algorithm::prf_beside).collect();
        let prf: Vec<Transform> = self.of_kind(TransformKind::Prf).collect();
        let shown = |transform: &&Transform| match transform.kind {
            TransformKind::Prf => prf != implied_prf,
            // NONE as an integrity algorithm says nothing beside a combined cipher.
            TransformKind::Integrity => !transform.is_none(),
            TransformKind::SequenceNumbers => {
                self.of_kind(TransformKind::SequenceNumbers).any(|other| other != Transform::NO_ESN)
            }
            TransformKind::Encryption
            | TransformKind::KeyExchange
            | TransformKind::AdditionalKeyExchange(_)
            | TransformKind::Unknown(_) => true,
        };
        let mut words: Vec<&Transform> = self.transforms.iter().filter(shown).collect();
        words.sort_by_key(|transform| order(transform.kind));
        for (index, transform) in words.iter().enumerate() {
            if index > 0 {
                f.write_str("-")?;
            }
            write!(f, "{transform}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
