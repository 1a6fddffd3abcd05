//! Key exchange: Diffie-Hellman, and key encapsulation in the same shape.

mod ecp;
mod kem;
mod modp;
mod primes;

use zeroize::Zeroizing;

use self::ecp::Ecp;
use self::kem::Kem;
use self::modp::Modp;
use super::algorithm::Group;

/// Our half of one key exchange, used up by it: no private value serves twice (RFC 7296 §2.12 allows it, we do not).
pub struct KeyExchange {
    group: Group,
    public: Vec<u8>,
    private: Private,
}

enum Private {
    X25519(x25519_dalek::StaticSecret),
    Ecp(Ecp),
    Modp(Modp),
    Kem(Box<Kem>),
}

/// What both ends of a key exchange know; wiped when dropped, never printed.
pub struct SharedSecret(Zeroizing<Vec<u8>>);

/// What the responder sends, and what it shares with the initiator then.
pub struct Answer {
    pub public: Vec<u8>,
    pub secret: SharedSecret,
}

/// The peer's Key Exchange Data is none: its fault (INVALID_SYNTAX).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeError {
    /// RFC 7296 §3.4.
    #[error("key exchange data of {group} is {expected} bytes long, not {given}")]
    Length { group: Group, expected: usize, given: usize },
    /// RFC 6989 §2, RFC 8031 §5, FIPS 203 §7.2: out of range, not on the curve, of small order, not reduced.
    #[error("key exchange data is no valid public value of {group}")]
    Value { group: Group },
}

impl KeyExchange {
    /// The initiator's half. `random` fills what it is given from a cryptographic generator.
    pub fn generate(group: Group, random: &mut dyn FnMut(&mut [u8])) -> Self {
        let (public, private) = match group {
            Group::X25519 => {
                let mut bytes = Zeroizing::new([0; 32]);
                random(&mut *bytes);
                let secret = x25519_dalek::StaticSecret::from(*bytes);
                let public = x25519_dalek::PublicKey::from(&secret).to_bytes().to_vec();
                (public, Private::X25519(secret))
            }
            Group::Ecp256 => wrap(Ecp::generate_256(random), Private::Ecp),
            Group::Ecp384 => wrap(Ecp::generate_384(random), Private::Ecp),
            Group::Ecp521 => wrap(Ecp::generate_521(random), Private::Ecp),
            Group::Modp1024 | Group::Modp1536 | Group::Modp2048 | Group::Modp3072 | Group::Modp4096 => {
                wrap(Modp::generate(group, random), Private::Modp)
            }
            Group::MlKem768 => wrap(Kem::generate(random), |kem| Private::Kem(Box::new(kem))),
        };
        Self { group, public, private }
    }

    pub fn group(&self) -> Group {
        self.group
    }

    /// The Key Exchange Data to send.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The initiator's end: `peer` is the Key Exchange Data of the answer.
    pub fn agree(self, peer: &[u8]) -> Result<SharedSecret, KeError> {
        let group = self.group;
        check_length(group, group.response_len(), peer)?;
        let secret = match self.private {
            Private::X25519(secret) => x25519(&secret, peer),
            Private::Ecp(ecp) => ecp.agree(peer),
            Private::Modp(modp) => modp.agree(group, peer),
            Private::Kem(kem) => kem.decapsulate(peer),
        };
        secret.map(SharedSecret).ok_or(KeError::Value { group })
    }

    /// The responder's whole part: `peer` is the Key Exchange Data of the request.
    pub fn respond(group: Group, peer: &[u8], random: &mut dyn FnMut(&mut [u8])) -> Result<Answer, KeError> {
        check_length(group, group.public_len(), peer)?;
        if group == Group::MlKem768 {
            let (public, secret) = kem::encapsulate(peer, random).ok_or(KeError::Value { group })?;
            return Ok(Answer { public, secret: SharedSecret(secret) });
        }
        let own = Self::generate(group, random);
        let public = own.public.clone();
        Ok(Answer { public, secret: own.agree(peer)? })
    }
}

impl SharedSecret {
    /// As it enters SKEYSEED and KEYMAT: as long as the group says, zeros on the left (RFC 7296 §2.14).
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn wrap<P>((public, private): (Vec<u8>, P), into: impl FnOnce(P) -> Private) -> (Vec<u8>, Private) {
    (public, into(private))
}

fn check_length(group: Group, expected: usize, peer: &[u8]) -> Result<(), KeError> {
    if peer.len() == expected { Ok(()) } else { Err(KeError::Length { group, expected, given: peer.len() }) }
}

/// RFC 8031 §5 wants an all-zero result refused.
fn x25519(secret: &x25519_dalek::StaticSecret, peer: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let peer: [u8; 32] = peer.try_into().ok()?;
    let shared = secret.diffie_hellman(&x25519_dalek::PublicKey::from(peer));
    shared.was_contributory().then(|| Zeroizing::new(shared.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests;
