//! The network itself: its prefixes, and the revision that counts its changes.

use ipnet::{Ipv4Net, Ipv6Net};
use sqlx::{Sqlite, Transaction};
use twinmesh_control::{Network, Revision};

use super::error::{parse, read};
use super::{Store, StoreError};

/// The network and its last revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRecord {
    pub network: Network,
    pub revision: Revision,
}

impl Store {
    /// The network; made on the first call with these values, which later calls ignore.
    pub async fn network(
        &self,
        name: &str,
        ipv4: Ipv4Net,
        ipv6: Ipv6Net,
        now: i64,
    ) -> Result<NetworkRecord, StoreError> {
        let (ipv4, ipv6) = (ipv4.to_string(), ipv6.to_string());
        let mut transaction = self.begin().await?;
        sqlx::query!(
            "INSERT INTO network (id, name, ipv4, ipv6, revision, next_host, created_at)
             VALUES (1, ?, ?, ?, 1, 1, ?) ON CONFLICT DO NOTHING",
            name,
            ipv4,
            ipv6,
            now
        )
        .execute(&mut *transaction)
        .await?;
        let row = sqlx::query!("SELECT name, ipv4, ipv6, revision FROM network WHERE id = 1")
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(NetworkRecord {
            network: Network {
                name: row.name,
                ipv4: parse("IPv4 prefix", &row.ipv4)?,
                ipv6: parse("IPv6 prefix", &row.ipv6)?,
            },
            revision: Revision(read("revision", row.revision)?),
        })
    }
}

/// Counts a change, in the transaction that makes it.
pub(super) async fn next_revision(transaction: &mut Transaction<'_, Sqlite>) -> Result<Revision, StoreError> {
    let row = sqlx::query!("UPDATE network SET revision = revision + 1 WHERE id = 1 RETURNING revision")
        .fetch_one(&mut **transaction)
        .await?;
    Ok(Revision(read("revision", row.revision)?))
}
