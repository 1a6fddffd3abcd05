//! Where nodes can be reached, and through what NAT.

use std::collections::BTreeMap;

use sqlx::{Sqlite, Transaction};
use twinmesh_control::{
    Endpoint, EndpointKind, NatBehaviour, NatClass, NatFiltering, NatReport, NodeId, Revision,
};

use super::error::parse;
use super::network::next_revision;
use super::nodes::{NodeRecord, row_id};
use super::{Store, StoreError};

/// What a node's peers need to know to reach it; as it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    pub endpoints: Vec<Endpoint>,
    pub nat: NatReport,
}

impl Reach {
    /// Whether nothing else is stored of the node.
    pub fn is_of(&self, node: &NodeRecord) -> bool {
        node.endpoints == self.endpoints && node.nat == self.nat
    }
}

impl Store {
    /// Replaces what is known of how to reach a node. `None` if the node is gone.
    pub async fn store_reach(&self, id: NodeId, reach: &Reach) -> Result<Option<Revision>, StoreError> {
        let row_id = row_id(id);
        let mut transaction = self.begin().await?;
        let node = sqlx::query!("SELECT id FROM node WHERE id = ?", row_id)
            .fetch_optional(&mut *transaction)
            .await?;
        if node.is_none() {
            return Ok(None);
        }
        sqlx::query!("DELETE FROM node_endpoint WHERE node_id = ?", row_id)
            .execute(&mut *transaction)
            .await?;
        insert_endpoints(&mut transaction, row_id, &reach.endpoints).await?;
        sqlx::query!("DELETE FROM node_nat WHERE node_id = ?", row_id).execute(&mut *transaction).await?;
        for (family, nat) in [(4, &reach.nat.ipv4), (6, &reach.nat.ipv6)] {
            if let Some(nat) = nat {
                insert_nat(&mut transaction, row_id, family, nat).await?;
            }
        }
        let revision = next_revision(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Some(revision))
    }
}

pub(super) async fn insert_endpoints(
    transaction: &mut Transaction<'_, Sqlite>,
    node: i64,
    endpoints: &[Endpoint],
) -> Result<(), StoreError> {
    for endpoint in endpoints {
        let (address, kind) = (endpoint.address.to_string(), endpoint.kind.as_str());
        sqlx::query!(
            "INSERT INTO node_endpoint (node_id, address, kind) VALUES (?, ?, ?)",
            node,
            address,
            kind
        )
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

async fn insert_nat(
    transaction: &mut Transaction<'_, Sqlite>,
    node: i64,
    family: i64,
    nat: &NatBehaviour,
) -> Result<(), StoreError> {
    let (class, filtering) = (nat.class.as_str(), nat.filtering.as_ref().map(NatFiltering::as_str));
    sqlx::query!(
        "INSERT INTO node_nat (node_id, family, class, filtering, hairpin) VALUES (?, ?, ?, ?, ?)",
        node,
        family,
        class,
        filtering,
        nat.hairpin
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// With the row ids of their nodes.
pub(super) async fn read_endpoints(
    transaction: &mut Transaction<'_, Sqlite>,
) -> Result<Vec<(i64, Endpoint)>, StoreError> {
    let rows = sqlx::query!("SELECT node_id, address, kind FROM node_endpoint")
        .fetch_all(&mut **transaction)
        .await?;
    rows.into_iter()
        .map(|row| {
            let address = parse("endpoint", &row.address)?;
            Ok((row.node_id, Endpoint { address, kind: EndpointKind::from(row.kind) }))
        })
        .collect()
}

/// By the row ids of their nodes.
pub(super) async fn read_nats(
    transaction: &mut Transaction<'_, Sqlite>,
) -> Result<BTreeMap<i64, NatReport>, StoreError> {
    let rows = sqlx::query!("SELECT node_id, family, class, filtering, hairpin FROM node_nat")
        .fetch_all(&mut **transaction)
        .await?;
    let mut nats: BTreeMap<i64, NatReport> = BTreeMap::new();
    for row in rows {
        let nat = NatBehaviour {
            class: NatClass::from(row.class),
            filtering: row.filtering.map(NatFiltering::from),
            hairpin: row.hairpin.map(|hairpin| hairpin != 0),
        };
        let report = nats.entry(row.node_id).or_default();
        match row.family {
            4 => report.ipv4 = Some(nat),
            _ => report.ipv6 = Some(nat),
        }
    }
    Ok(nats)
}
