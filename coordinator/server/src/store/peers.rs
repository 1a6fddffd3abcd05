//! Unmanaged peers: nodes that are only a WireGuard key, with no agent that speaks to us.

use ipnet::IpNet;
use sqlx::{Sqlite, Transaction};
use twinmesh_control::{
    Endpoint, EndpointKind, NatReport, NodeId, PeerKind, Preference, Revision, WireguardKey,
};

use super::error::read;
use super::hosts::take_host;
use super::network::next_revision;
use super::nodes::{NodeRecord, insert_tags, note_chosen};
use super::reach::insert_endpoints;
use super::{Store, StoreError};
use crate::choice::Abilities;

/// A peer to add.
#[derive(Clone, Debug)]
pub struct NewPeer {
    /// A DNS label.
    pub name: String,
    pub wireguard_key: WireguardKey,
    pub endpoint: Option<std::net::SocketAddr>,
    /// Sorted, each once.
    pub tags: Vec<String>,
    /// Sorted, each once; outside the overlay.
    pub prefixes: Vec<IpNet>,
}

/// Why a peer is not added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddPeerError {
    #[error("the name is taken")]
    NameTaken,
    #[error("the WireGuard key belongs to the node `{0}`")]
    KeyTaken(String),
    /// Two peers with one prefix would take each other's traffic.
    #[error("{prefix} is behind the node `{holder}` already")]
    PrefixTaken { prefix: IpNet, holder: String },
    #[error("no free address is left in the network")]
    AddressesExhausted,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for AddPeerError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Adds an unmanaged peer.
    ///
    /// # Errors
    /// [`AddPeerError`]; then nothing was written.
    pub async fn add_peer(&self, peer: NewPeer, now: i64) -> Result<(NodeRecord, Revision), AddPeerError> {
        let mut transaction = self.begin().await?;
        let key = peer.wireguard_key.0.as_slice();
        let rivals = sqlx::query!(
            "SELECT name, wireguard_key FROM node WHERE name = ? OR wireguard_key = ?",
            peer.name,
            key
        )
        .fetch_all(&mut *transaction)
        .await?;
        if let Some(rival) = rivals.into_iter().next() {
            let same_key = rival.wireguard_key == key;
            return Err(if same_key { AddPeerError::KeyTaken(rival.name) } else { AddPeerError::NameTaken });
        }
        let host = take_host(&mut transaction).await?.ok_or(AddPeerError::AddressesExhausted)?;
        let id = sqlx::query_scalar!(
            "INSERT INTO node (name, kind, host, wireguard_key, created_at) VALUES (?, 'unmanaged', ?, ?, ?) RETURNING id",
            peer.name,
            host,
            key,
            now
        )
        .fetch_one(&mut *transaction)
        .await?;
        insert_tags(&mut transaction, id, &peer.tags).await?;
        let endpoints: Vec<_> = peer
            .endpoint
            .into_iter()
            .map(|address| Endpoint { address, kind: EndpointKind::Configured })
            .collect();
        insert_endpoints(&mut transaction, id, &endpoints).await?;
        for prefix in &peer.prefixes {
            insert_prefix(&mut transaction, id, *prefix).await?;
        }
        let revision = next_revision(&mut transaction).await?;
        note_chosen(&mut transaction, id, revision).await?;
        transaction.commit().await?;
        let node = NodeRecord {
            id: NodeId(read("node id", id)?),
            name: peer.name,
            kind: PeerKind::Unmanaged,
            host,
            identity: None,
            wireguard_key: peer.wireguard_key,
            version: None,
            preference: Preference::Auto,
            abilities: Abilities::default(),
            chosen_at: revision,
            created_at: now,
            last_seen_at: None,
            tags: peer.tags,
            endpoints,
            nat: NatReport::default(),
            prefixes: peer.prefixes,
        };
        Ok((node, revision))
    }
}

async fn insert_prefix(
    transaction: &mut Transaction<'_, Sqlite>,
    node: i64,
    prefix: IpNet,
) -> Result<(), AddPeerError> {
    let text = prefix.to_string();
    let holder = sqlx::query_scalar!(
        "SELECT node.name FROM node_prefix JOIN node ON node.id = node_prefix.node_id WHERE prefix = ?",
        text
    )
    .fetch_optional(&mut **transaction)
    .await?;
    if let Some(holder) = holder {
        return Err(AddPeerError::PrefixTaken { prefix, holder });
    }
    sqlx::query!("INSERT INTO node_prefix (node_id, prefix) VALUES (?, ?)", node, text)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
