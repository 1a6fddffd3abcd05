//! What single pairs of nodes went through.

use std::collections::BTreeMap;

use sqlx::{Sqlite, Transaction};
use twinmesh_control::{FailureCode, NodeId, Protocol, Revision};

use super::error::read;
use super::network::next_revision;
use super::nodes::row_id;
use super::{Store, StoreError};
use crate::choice::{Failure, Pair};
use crate::network::{FailureChange, PairRecord};

impl Store {
    /// Notes failures that begin or end.
    pub async fn store_failures(&self, changes: &[FailureChange]) -> Result<Revision, StoreError> {
        let mut transaction = self.begin().await?;
        let revision = next_revision(&mut transaction).await?;
        for FailureChange { pair, failure, is_chosen_otherwise } in changes {
            let [node_a, node_b] = pair.nodes().map(row_id);
            let (protocol, code) = (failure.protocol.as_str(), failure.code.as_str());
            let reporter = row_id(failure.reporter);
            sqlx::query!(
                "INSERT INTO pair_failure
                     (node_a, node_b, protocol, code, reporter, times, failed_at, until, is_avoided)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (node_a, node_b, protocol) DO UPDATE SET
                     code = excluded.code, reporter = excluded.reporter, times = excluded.times,
                     failed_at = excluded.failed_at, until = excluded.until, is_avoided = excluded.is_avoided",
                node_a,
                node_b,
                protocol,
                code,
                reporter,
                failure.times,
                failure.failed_at,
                failure.until,
                failure.is_avoided
            )
            .execute(&mut *transaction)
            .await?;
            if *is_chosen_otherwise {
                note_pair_chosen(&mut transaction, *pair, revision).await?;
            }
        }
        transaction.commit().await?;
        Ok(revision)
    }
}

/// What is remembered of pairs.
pub(super) async fn read_pairs(
    transaction: &mut Transaction<'_, Sqlite>,
) -> Result<BTreeMap<Pair, PairRecord>, StoreError> {
    let mut pairs: BTreeMap<Pair, PairRecord> = BTreeMap::new();
    let choices = sqlx::query!("SELECT node_a, node_b, chosen_at FROM pair_choice")
        .fetch_all(&mut **transaction)
        .await?;
    for row in choices {
        let record = pairs.entry(pair(row.node_a, row.node_b)?).or_default();
        record.chosen_at = Revision(read("revision", row.chosen_at)?);
    }
    let failures = sqlx::query!(
        "SELECT node_a, node_b, protocol, code, reporter, times, failed_at, until, is_avoided
         FROM pair_failure ORDER BY node_a, node_b, failed_at"
    )
    .fetch_all(&mut **transaction)
    .await?;
    for row in failures {
        let failure = Failure {
            protocol: Protocol::from(row.protocol),
            code: FailureCode::from(row.code),
            reporter: NodeId(read("node id", row.reporter)?),
            times: read("count of failures", row.times)?,
            failed_at: row.failed_at,
            until: row.until,
            is_avoided: row.is_avoided != 0,
        };
        pairs.entry(pair(row.node_a, row.node_b)?).or_default().failures.push(failure);
    }
    Ok(pairs)
}

/// Something else is chosen for a pair.
pub(super) async fn note_pair_chosen(
    transaction: &mut Transaction<'_, Sqlite>,
    pair: Pair,
    revision: Revision,
) -> Result<(), StoreError> {
    let [node_a, node_b] = pair.nodes().map(row_id);
    let revision: i64 = read("revision", revision.0)?;
    sqlx::query!(
        "INSERT INTO pair_choice (node_a, node_b, chosen_at) VALUES (?, ?, ?)
         ON CONFLICT (node_a, node_b) DO UPDATE SET chosen_at = excluded.chosen_at",
        node_a,
        node_b,
        revision
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn pair(node_a: i64, node_b: i64) -> Result<Pair, StoreError> {
    let (one, other) = (NodeId(read("node id", node_a)?), NodeId(read("node id", node_b)?));
    Pair::new(one, other).ok_or(StoreError::Invalid { what: "pair" })
}
