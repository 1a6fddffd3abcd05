//! Nodes: agents and unmanaged peers alike.

use std::collections::BTreeMap;

use ipnet::IpNet;
use sqlx::{Sqlite, Transaction};
use twinmesh_control::{
    Endpoint, IdentityKey, NatReport, NodeId, PeerKind, Preference, Revision, WireguardKey,
};

use super::error::{parse, read};
use super::network::next_revision;
use super::reach::{read_endpoints, read_nats};
use super::{Store, StoreError};
use crate::choice::Abilities;
use crate::endpoints::order;

/// What an agent says of itself in its first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub wireguard_key: WireguardKey,
    pub version: String,
    pub preference: Preference,
    pub abilities: Abilities,
}

/// A node as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    pub id: NodeId,
    pub name: String,
    pub kind: PeerKind,
    /// Its place in both overlay prefixes, from 1.
    pub host: u32,
    /// `None` for an unmanaged peer.
    pub identity: Option<IdentityKey>,
    pub wireguard_key: WireguardKey,
    /// Of the agent's program, as it says.
    pub version: Option<String>,
    pub preference: Preference,
    /// As it says.
    pub abilities: Abilities,
    /// Since when the choice of a protocol with its peers rests on what the node is, has and wishes now.
    pub chosen_at: Revision,
    /// Unix time.
    pub created_at: i64,
    /// Unix time when it last was heard of; the stored one may be older by a connection.
    pub last_seen_at: Option<i64>,
    /// Sorted.
    pub tags: Vec<String>,
    /// The best first.
    pub endpoints: Vec<Endpoint>,
    /// What it measured last.
    pub nat: NatReport,
    /// What it may send beside its overlay addresses.
    pub prefixes: Vec<IpNet>,
}

impl Store {
    /// All nodes, by id.
    pub async fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        // One transaction: the four answers belong to one moment.
        let mut transaction = self.pool.begin().await?;
        let rows = sqlx::query!(
            "SELECT id, name, kind, host, identity_key, wireguard_key, version, preference, speaks_esp,
                    has_aes, keeps_compliance, chosen_at, created_at, last_seen_at
             FROM node ORDER BY id"
        )
        .fetch_all(&mut *transaction)
        .await?;
        let mut nodes = BTreeMap::new();
        for row in rows {
            let identity = row.identity_key.map(|key| read("identity key", key)).transpose()?;
            let node = NodeRecord {
                id: NodeId(read("node id", row.id)?),
                name: row.name,
                kind: PeerKind::from(row.kind),
                host: read("host number", row.host)?,
                identity: identity.map(IdentityKey),
                wireguard_key: WireguardKey(read("WireGuard key", row.wireguard_key)?),
                version: row.version,
                preference: Preference::from(row.preference),
                abilities: Abilities {
                    esp: row.speaks_esp != 0,
                    compliance: row.keeps_compliance != 0,
                    aes: row.has_aes != 0,
                },
                chosen_at: Revision(read("revision", row.chosen_at)?),
                created_at: row.created_at,
                last_seen_at: row.last_seen_at,
                tags: Vec::new(),
                endpoints: Vec::new(),
                nat: NatReport::default(),
                prefixes: Vec::new(),
            };
            nodes.insert(row.id, node);
        }
        for row in sqlx::query!("SELECT node_id, tag FROM node_tag ORDER BY tag")
            .fetch_all(&mut *transaction)
            .await?
        {
            if let Some(node) = nodes.get_mut(&row.node_id) {
                node.tags.push(row.tag);
            }
        }
        for (node, endpoint) in read_endpoints(&mut transaction).await? {
            if let Some(node) = nodes.get_mut(&node) {
                node.endpoints.push(endpoint);
            }
        }
        for (node, nat) in read_nats(&mut transaction).await? {
            if let Some(node) = nodes.get_mut(&node) {
                node.nat = nat;
            }
        }
        for row in
            sqlx::query!("SELECT node_id, prefix FROM node_prefix").fetch_all(&mut *transaction).await?
        {
            if let Some(node) = nodes.get_mut(&row.node_id) {
                node.prefixes.push(parse("prefix", &row.prefix)?);
            }
        }
        let mut nodes: Vec<_> = nodes.into_values().collect();
        for node in &mut nodes {
            order(&mut node.endpoints);
            node.prefixes.sort();
        }
        Ok(nodes)
    }

    /// Notes what a node said of itself at its hello. With `Some` if its peers have to learn of it.
    pub async fn greet_node(&self, id: NodeId, said: &Announcement, now: i64) -> Result<Greeted, StoreError> {
        let row_id = row_id(id);
        let (key, preference) = (said.wireguard_key.0.as_slice(), said.preference.as_str());
        let mut transaction = self.begin().await?;
        let holder = sqlx::query!(r#"SELECT id AS "id!" FROM node WHERE wireguard_key = ?"#, key)
            .fetch_optional(&mut *transaction)
            .await?;
        if holder.as_ref().is_some_and(|holder| holder.id != row_id) {
            return Ok(Greeted::KeyTaken);
        }
        let before = sqlx::query!(
            "SELECT preference, speaks_esp, keeps_compliance, has_aes FROM node WHERE id = ?",
            row_id
        )
        .fetch_one(&mut *transaction)
        .await?;
        let abilities = Abilities {
            esp: before.speaks_esp != 0,
            compliance: before.keeps_compliance != 0,
            aes: before.has_aes != 0,
        };
        let chosen_as_before = before.preference == preference && abilities == said.abilities;
        sqlx::query!(
            "UPDATE node SET version = ?, last_seen_at = ?, wireguard_key = ?, preference = ?, speaks_esp = ?,
                             keeps_compliance = ?, has_aes = ?
             WHERE id = ?",
            said.version,
            now,
            key,
            preference,
            said.abilities.esp,
            said.abilities.compliance,
            said.abilities.aes,
            row_id
        )
        .execute(&mut *transaction)
        .await?;
        let greeted = if chosen_as_before && holder.is_some() {
            Greeted::Unchanged
        } else {
            let revision = next_revision(&mut transaction).await?;
            if !chosen_as_before {
                note_chosen(&mut transaction, row_id, revision).await?;
            }
            Greeted::Changed(revision)
        };
        transaction.commit().await?;
        Ok(greeted)
    }

    /// Notes when a node was last heard.
    pub async fn touch_node(&self, id: NodeId, now: i64) -> Result<(), StoreError> {
        let id = row_id(id);
        sqlx::query!("UPDATE node SET last_seen_at = ? WHERE id = ?", now, id).execute(&self.pool).await?;
        Ok(())
    }

    /// Replaces a node's tags. `None` if the node is gone.
    pub async fn store_tags(&self, id: NodeId, tags: &[String]) -> Result<Option<Revision>, StoreError> {
        let row_id = row_id(id);
        let mut transaction = self.begin().await?;
        let node = sqlx::query!("SELECT id FROM node WHERE id = ?", row_id)
            .fetch_optional(&mut *transaction)
            .await?;
        if node.is_none() {
            return Ok(None);
        }
        sqlx::query!("DELETE FROM node_tag WHERE node_id = ?", row_id).execute(&mut *transaction).await?;
        insert_tags(&mut transaction, row_id, tags).await?;
        let revision = next_revision(&mut transaction).await?;
        note_chosen(&mut transaction, row_id, revision).await?;
        transaction.commit().await?;
        Ok(Some(revision))
    }

    /// Removes a node and all that belongs to it. `None` if it is gone already.
    pub async fn remove_node(&self, id: NodeId) -> Result<Option<Revision>, StoreError> {
        let row_id = row_id(id);
        let mut transaction = self.begin().await?;
        let removed =
            sqlx::query!("DELETE FROM node WHERE id = ?", row_id).execute(&mut *transaction).await?;
        if removed.rows_affected() == 0 {
            return Ok(None);
        }
        let revision = next_revision(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Some(revision))
    }
}

/// What a hello changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeted {
    Unchanged,
    /// Its key, or what the choice of a protocol rests on.
    Changed(Revision),
    /// Another node has that WireGuard key.
    KeyTaken,
}

/// SQLite's integers are signed; ids come from there and fit.
pub(super) fn row_id(id: NodeId) -> i64 {
    i64::try_from(id.0).unwrap_or(i64::MAX)
}

/// The choice of a protocol with the node's peers rests on something new.
pub(super) async fn note_chosen(
    transaction: &mut Transaction<'_, Sqlite>,
    node: i64,
    revision: Revision,
) -> Result<(), StoreError> {
    let revision: i64 = read("revision", revision.0)?;
    sqlx::query!("UPDATE node SET chosen_at = ? WHERE id = ?", revision, node)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

pub(super) async fn insert_tags(
    transaction: &mut Transaction<'_, Sqlite>,
    node: i64,
    tags: &[String],
) -> Result<(), StoreError> {
    for tag in tags {
        sqlx::query!("INSERT INTO node_tag (node_id, tag) VALUES (?, ?)", node, tag)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}
