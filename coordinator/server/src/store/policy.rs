//! What the choice of protocols obeys.

use sqlx::{Sqlite, Transaction};
use twinmesh_control::{NodeId, Revision};

use super::error::{parse, read};
use super::failures::{note_pair_chosen, read_pairs};
use super::network::next_revision;
use super::nodes::row_id;
use super::policy_age::{read_policy_age, store_policy_age};
use super::{Store, StoreError};
use crate::choice::{Demand, Pair, Policy, Rule};
use crate::network::ChoiceRecord;

/// To whom a rule applies.
#[derive(Clone, Copy)]
enum Place<'a> {
    Network,
    Tag(&'a str),
    Pair(Pair),
}

impl Store {
    /// The policy and what else the choice of protocols rests on beside the nodes; of a network that is new, nothing.
    pub async fn choices(&self) -> Result<ChoiceRecord, StoreError> {
        let mut transaction = self.pool.begin().await?;
        Ok(ChoiceRecord {
            policy: read_policy(&mut transaction).await?,
            age: read_policy_age(&mut transaction).await?,
            pairs: read_pairs(&mut transaction).await?,
        })
    }

    /// Replaces the policy; `before` is what it was.
    pub async fn store_policy(&self, policy: &Policy, before: &Policy) -> Result<Revision, StoreError> {
        let version: i64 = read("policy version", policy.version)?;
        let mut transaction = self.begin().await?;
        sqlx::query!("DELETE FROM policy_rule").execute(&mut *transaction).await?;
        insert_rule(&mut transaction, Place::Network, policy.network).await?;
        for (tag, rule) in &policy.tags {
            insert_rule(&mut transaction, Place::Tag(tag), *rule).await?;
        }
        for (pair, rule) in &policy.pairs {
            insert_rule(&mut transaction, Place::Pair(*pair), *rule).await?;
        }
        sqlx::query!("UPDATE network SET policy_version = ? WHERE id = 1", version)
            .execute(&mut *transaction)
            .await?;
        let revision = next_revision(&mut transaction).await?;
        let mut ages = read_policy_age(&mut transaction).await?;
        ages.change(before, policy, revision);
        store_policy_age(&mut transaction, &ages).await?;
        for pair in before.changed_pairs(policy) {
            note_pair_chosen(&mut transaction, pair, revision).await?;
        }
        transaction.commit().await?;
        Ok(revision)
    }
}

async fn read_policy(transaction: &mut Transaction<'_, Sqlite>) -> Result<Policy, StoreError> {
    let network = sqlx::query!("SELECT policy_version FROM network WHERE id = 1")
        .fetch_optional(&mut **transaction)
        .await?;
    let version = network.map_or(0, |network| network.policy_version);
    let mut policy = Policy { version: read("policy version", version)?, ..Policy::default() };
    let rows = sqlx::query!(
        "SELECT tag, node_a, node_b, protocol, throughput, compliance FROM policy_rule ORDER BY id"
    )
    .fetch_all(&mut **transaction)
    .await?;
    for row in rows {
        let protocol = row.protocol.map(|word| parse("protocol", &word)).transpose()?;
        let throughput = row.throughput.map(|throughput| throughput != 0);
        let rule = Rule { protocol, throughput, compliance: row.compliance != 0 };
        match (row.tag, row.node_a, row.node_b) {
            (Some(tag), ..) => {
                policy.tags.insert(tag, rule);
            }
            (None, Some(one), Some(other)) => {
                let (one, other) = (NodeId(read("node id", one)?), NodeId(read("node id", other)?));
                let pair = Pair::new(one, other).ok_or(StoreError::Invalid { what: "pair" })?;
                policy.pairs.insert(pair, rule);
            }
            (None, ..) => policy.network = rule,
        }
    }
    Ok(policy)
}

async fn insert_rule(
    transaction: &mut Transaction<'_, Sqlite>,
    place: Place<'_>,
    rule: Rule,
) -> Result<(), StoreError> {
    let (tag, pair) = match place {
        Place::Network => (None, None),
        Place::Tag(tag) => (Some(tag), None),
        Place::Pair(pair) => (None, Some(pair.nodes().map(row_id))),
    };
    let (node_a, node_b) = pair.map_or((None, None), |[lower, higher]| (Some(lower), Some(higher)));
    let protocol = rule.protocol.map(Demand::as_str);
    sqlx::query!(
        "INSERT INTO policy_rule (tag, node_a, node_b, protocol, throughput, compliance)
         VALUES (?, ?, ?, ?, ?, ?)",
        tag,
        node_a,
        node_b,
        protocol,
        rule.throughput,
        rule.compliance
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
