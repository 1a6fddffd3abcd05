//! What answers change.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stun_types::attribute::ErrorCode;

use super::super::credential::Credential;
use super::super::exchange::Exchange;
use super::super::message::{Ask, Challenge, Proof};
use super::{Client, News, Phase};

/// A relay that finds every nonce stale is out of order.
const MOST_STALE: u32 = 3;
/// A relay that has an allocation of this node's and none to release is, too.
const MOST_RELEASES: u32 = 3;

impl Client {
    pub(super) fn granted(
        &mut self,
        exchange: &Exchange,
        relayed: Option<SocketAddr>,
        lifetime: Option<Duration>,
        now: Instant,
    ) {
        match exchange.ask {
            Ask::Allocate { .. } => match relayed.filter(|relayed| relayed.port() != 0) {
                Some(relayed) => {
                    self.phase = Phase::Standing(relayed);
                    self.allocated_with = Some(self.credential.clone());
                    self.releases = 0;
                    self.refreshed = now;
                    self.permissions.restart(relayed.is_ipv6(), now);
                    self.channels.restart(relayed.is_ipv6(), now);
                    self.news.push_back(News::Standing(relayed));
                }
                None => self.give_up(ErrorCode::BAD_REQUEST),
            },
            Ask::Refresh if lifetime.is_some_and(|lifetime| lifetime.is_zero()) => self.lost(now),
            Ask::Refresh => {}
            Ask::Release => self.ask(Ask::Allocate { ipv6: self.ipv6 }, now),
            Ask::Permit(ip) => self.permissions.granted(ip, now),
            Ask::Bind { number, peer } => {
                if self.channels.granted(peer, now) {
                    self.news.push_back(News::Bound { peer, number });
                }
            }
        }
    }

    pub(super) fn refused(
        &mut self,
        exchange: &Exchange,
        code: u16,
        challenge: Option<Challenge>,
        now: Instant,
    ) {
        match (code, challenge) {
            // RFC 8489 §9.2.5.
            (ErrorCode::UNAUTHORIZED, Some(challenge)) if !exchange.proven => {
                self.challenged(challenge);
                self.ask_again(exchange, 0, now);
            }
            (ErrorCode::STALE_NONCE, Some(challenge)) if exchange.stale < MOST_STALE => {
                self.challenged(challenge);
                self.ask_again(exchange, exchange.stale + 1, now);
            }
            // The allocation is another credential's: some servers want the same one as long as it stands.
            (ErrorCode::WRONG_CREDENTIALS, _) if self.has_other_credential() => {
                if let Some(first) = self.allocated_with.clone() {
                    self.credential = first.clone();
                    self.prove_by(&first);
                    self.ask_again(exchange, 0, now);
                }
            }
            (code, _) => self.denied(exchange, code, now),
        }
    }

    fn denied(&mut self, exchange: &Exchange, code: u16, now: Instant) {
        match (exchange.ask, code) {
            (Ask::Allocate { .. }, ErrorCode::ALLOCATION_MISMATCH) if self.releases < MOST_RELEASES => {
                self.releases += 1;
                self.ask(Ask::Release, now);
            }
            // A relay that is seen by IPv6 alone.
            (Ask::Allocate { ipv6: false }, ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED) => {
                self.ipv6 = true;
                self.ask(Ask::Allocate { ipv6: true }, now);
            }
            // There is none any more, as wanted.
            (Ask::Release, ErrorCode::ALLOCATION_MISMATCH) => {
                self.ask(Ask::Allocate { ipv6: self.ipv6 }, now);
            }
            (Ask::Refresh | Ask::Permit(_) | Ask::Bind { .. }, ErrorCode::ALLOCATION_MISMATCH) => {
                self.lost(now);
            }
            (Ask::Allocate { .. } | Ask::Release | Ask::Refresh, code) => self.give_up(code),
            (Ask::Permit(ip), code) => {
                self.permissions.refused(ip, now);
                self.news.push_back(News::NotPermitted { ip, code });
            }
            (Ask::Bind { peer, .. }, _) => {
                if self.channels.refused(peer, now) {
                    self.news.push_back(News::Unbound(peer));
                }
            }
        }
    }

    /// The relay has no allocation of this node's any more: another one.
    fn lost(&mut self, now: Instant) {
        self.open.clear();
        self.phase = Phase::Allocating;
        self.news.push_back(News::Lost);
        self.ask(Ask::Allocate { ipv6: self.ipv6 }, now);
    }

    pub(super) fn give_up(&mut self, code: u16) {
        self.open.clear();
        self.phase = Phase::Refused;
        self.news.push_back(News::Refused(code));
    }

    /// The same with another proof.
    fn ask_again(&mut self, former: &Exchange, stale: u32, now: Instant) {
        self.ask(former.ask, now);
        if let Some(open) = self.open.last_mut().filter(|open| open.ask == former.ask) {
            open.stale = stale;
        }
    }

    fn challenged(&mut self, Challenge { realm, nonce }: Challenge) {
        let key = match self.proof.take().filter(|proof| proof.realm == realm) {
            Some(proof) => proof.key,
            None => self.credential.key(&realm),
        };
        self.proof = Some(Proof { username: self.credential.username().to_owned(), realm, nonce, key });
    }

    pub(super) fn prove_by(&mut self, credential: &Credential) {
        if let Some(proof) = &mut self.proof {
            credential.username().clone_into(&mut proof.username);
            proof.key = credential.key(&proof.realm);
        }
    }

    fn has_other_credential(&self) -> bool {
        self.relayed().is_some()
            && self.allocated_with.as_ref().is_some_and(|first| *first != self.credential)
    }
}
