//! Since when the policy says what it says.

use sqlx::{Sqlite, Transaction};
use twinmesh_control::Revision;

use super::StoreError;
use super::error::read;
use crate::choice::{PolicyAge, RuleAge};

/// The ages of the policy's entries.
pub(super) async fn read_policy_age(
    transaction: &mut Transaction<'_, Sqlite>,
) -> Result<PolicyAge, StoreError> {
    let network =
        sqlx::query!("SELECT protocol_since, throughput_since, compliance_since FROM network WHERE id = 1")
            .fetch_optional(&mut **transaction)
            .await?;
    let mut ages = PolicyAge::default();
    if let Some(row) = network {
        ages.network = age(row.protocol_since, row.throughput_since, row.compliance_since)?;
    }
    let tags =
        sqlx::query!("SELECT tag, protocol_since, throughput_since, compliance_since FROM policy_tag_age")
            .fetch_all(&mut **transaction)
            .await?;
    for row in tags {
        let of_tag = age(row.protocol_since, row.throughput_since, row.compliance_since)?;
        ages.tags.insert(row.tag, of_tag);
    }
    Ok(ages)
}

/// Notes since when the policy says what it says.
pub(super) async fn store_policy_age(
    transaction: &mut Transaction<'_, Sqlite>,
    ages: &PolicyAge,
) -> Result<(), StoreError> {
    let (protocol, throughput, compliance) = columns(ages.network)?;
    sqlx::query!(
        "UPDATE network SET protocol_since = ?, throughput_since = ?, compliance_since = ? WHERE id = 1",
        protocol,
        throughput,
        compliance
    )
    .execute(&mut **transaction)
    .await?;
    for (tag, age) in &ages.tags {
        let (protocol, throughput, compliance) = columns(*age)?;
        sqlx::query!(
            "INSERT INTO policy_tag_age (tag, protocol_since, throughput_since, compliance_since)
             VALUES (?, ?, ?, ?)
             ON CONFLICT (tag) DO UPDATE SET
                 protocol_since = excluded.protocol_since, throughput_since = excluded.throughput_since,
                 compliance_since = excluded.compliance_since",
            tag,
            protocol,
            throughput,
            compliance
        )
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

fn age(protocol: i64, throughput: i64, compliance: i64) -> Result<RuleAge, StoreError> {
    let revision = |since: i64| Ok::<_, StoreError>(Revision(read("revision", since)?));
    Ok(RuleAge {
        protocol: revision(protocol)?,
        throughput: revision(throughput)?,
        compliance: revision(compliance)?,
    })
}

fn columns(age: RuleAge) -> Result<(i64, i64, i64), StoreError> {
    let column = |Revision(since)| read("revision", since);
    Ok((column(age.protocol)?, column(age.throughput)?, column(age.compliance)?))
}
