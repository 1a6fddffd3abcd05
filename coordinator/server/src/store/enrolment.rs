//! A node joins: token, name, addresses and the node itself in one transaction, all or nothing.

use sqlx::{Sqlite, Transaction};
use twinmesh_control::{IdentityKey, NatReport, NodeId, PeerKind, Revision};

use super::error::read;
use super::hosts::take_host;
use super::network::next_revision;
use super::nodes::{Announcement, NodeRecord, insert_tags, note_chosen};
use super::tokens::TokenState;
use super::{Store, StoreError};
use crate::name::MAX_LABEL;

/// Numbers tried behind a name that is taken.
const MOST_NAMESAKES: u32 = 10_000;

/// A node that asks to join.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// SHA-256 of the token's secret.
    pub token_hash: [u8; 32],
    /// A DNS label.
    pub hostname: String,
    pub identity: IdentityKey,
    pub said: Announcement,
}

/// A node that has joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolled {
    New {
        node: Box<NodeRecord>,
        revision: Revision,
    },
    /// The same keys joined before: its answer was lost on the way, and no token is used up.
    Already(NodeId),
}

/// Why a node may not join.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolmentError {
    #[error("the token is unknown here")]
    TokenUnknown,
    #[error("the token expired at {0}")]
    TokenExpired(crate::clock::Time),
    #[error("the token was used already; it is good for one node")]
    TokenUsed,
    #[error("the token was revoked")]
    TokenRevoked,
    #[error("the WireGuard or identity key belongs to another node already")]
    KeyTaken,
    #[error("no free address is left in the network")]
    AddressesExhausted,
    #[error("all names from `{0}` on are taken")]
    NamesExhausted(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for EnrolmentError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Lets a node join. If its name is taken it gets a number behind it.
    ///
    /// # Errors
    /// [`EnrolmentError`]; then nothing was written.
    pub async fn enrol(&self, enrolment: Enrolment, now: i64) -> Result<Enrolled, EnrolmentError> {
        let mut transaction = self.begin().await?;
        let (identity, key) = (enrolment.identity.0.as_slice(), enrolment.said.wireguard_key.0.as_slice());
        let holders = sqlx::query!(
            "SELECT id, identity_key, wireguard_key FROM node WHERE identity_key = ? OR wireguard_key = ?",
            identity,
            key
        )
        .fetch_all(&mut *transaction)
        .await?;
        match holders.as_slice() {
            [] => {}
            [one] if one.identity_key.as_deref() == Some(identity) && one.wireguard_key == key => {
                return Ok(Enrolled::Already(NodeId(read("node id", one.id)?)));
            }
            _ => return Err(EnrolmentError::KeyTaken),
        }
        let tags = use_token(&mut transaction, &enrolment.token_hash, now).await?;
        let name = free_name(&mut transaction, &enrolment.hostname).await?;
        let host = take_host(&mut transaction).await?.ok_or(EnrolmentError::AddressesExhausted)?;
        let preference = enrolment.said.preference.as_str();
        let id = sqlx::query_scalar!(
            "INSERT INTO node (name, kind, host, identity_key, wireguard_key, version, preference, speaks_esp,
                               keeps_compliance, has_aes, created_at, last_seen_at)
             VALUES (?1, 'agent', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10) RETURNING id",
            name,
            host,
            identity,
            key,
            enrolment.said.version,
            preference,
            enrolment.said.abilities.esp,
            enrolment.said.abilities.compliance,
            enrolment.said.abilities.aes,
            now
        )
        .fetch_one(&mut *transaction)
        .await?;
        insert_tags(&mut transaction, id, &tags).await?;
        let revision = next_revision(&mut transaction).await?;
        note_chosen(&mut transaction, id, revision).await?;
        transaction.commit().await?;
        let node = NodeRecord {
            id: NodeId(read("node id", id)?),
            name,
            kind: PeerKind::Agent,
            host,
            identity: Some(enrolment.identity),
            wireguard_key: enrolment.said.wireguard_key,
            version: Some(enrolment.said.version),
            preference: enrolment.said.preference,
            abilities: enrolment.said.abilities,
            chosen_at: revision,
            created_at: now,
            last_seen_at: Some(now),
            tags,
            endpoints: Vec::new(),
            nat: NatReport::default(),
            prefixes: Vec::new(),
        };
        Ok(Enrolled::New { node: Box::new(node), revision })
    }
}

/// Counts the use of a good token; its tags are the node's.
async fn use_token(
    transaction: &mut Transaction<'_, Sqlite>,
    hash: &[u8; 32],
    now: i64,
) -> Result<Vec<String>, EnrolmentError> {
    let hash = hash.as_slice();
    let token = sqlx::query!(
        "SELECT id, reusable, uses, expires_at, revoked_at FROM token WHERE secret_hash = ?",
        hash
    )
    .fetch_optional(&mut **transaction)
    .await?
    .ok_or(EnrolmentError::TokenUnknown)?;
    match TokenState::of(token.reusable != 0, token.uses, token.expires_at, token.revoked_at, now) {
        TokenState::Valid => {}
        TokenState::Revoked => return Err(EnrolmentError::TokenRevoked),
        TokenState::Used => return Err(EnrolmentError::TokenUsed),
        TokenState::Expired => {
            return Err(EnrolmentError::TokenExpired(crate::clock::Time(token.expires_at.unwrap_or(now))));
        }
    }
    sqlx::query!("UPDATE token SET uses = uses + 1, last_used_at = ? WHERE id = ?", now, token.id)
        .execute(&mut **transaction)
        .await?;
    let tags = sqlx::query_scalar!("SELECT tag FROM token_tag WHERE token_id = ? ORDER BY tag", token.id)
        .fetch_all(&mut **transaction)
        .await?;
    Ok(tags)
}

/// The name wished for, or the first of `name-1`, `name-2`, … that is free.
async fn free_name(transaction: &mut Transaction<'_, Sqlite>, wish: &str) -> Result<String, EnrolmentError> {
    for number in 0..MOST_NAMESAKES {
        let suffix = if number == 0 { String::new() } else { format!("-{number}") };
        let stem = wish.get(..MAX_LABEL - suffix.len()).unwrap_or(wish).trim_end_matches('-');
        let name = format!("{stem}{suffix}");
        let taken = sqlx::query!("SELECT id FROM node WHERE name = ?", name)
            .fetch_optional(&mut **transaction)
            .await?;
        if taken.is_none() {
            return Ok(name);
        }
    }
    Err(EnrolmentError::NamesExhausted(wish.to_owned()))
}
