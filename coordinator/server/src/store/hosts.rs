//! Host numbers: a node's place in both overlay prefixes.
//!
//! The search goes on from the last number handed out, so that the address of a removed node rests as long
//! as others are free: a firewall rule or a cached name does not soon point at a stranger.

use ipnet::Ipv4Net;
use sqlx::{Sqlite, Transaction};

use super::StoreError;
use super::error::{parse, read};

/// Takes the next free host number, or `None` if the IPv4 prefix is full. The number is the caller's once
/// the transaction commits with a node that has it.
pub(super) async fn take_host(transaction: &mut Transaction<'_, Sqlite>) -> Result<Option<u32>, StoreError> {
    let network = sqlx::query!("SELECT ipv4, next_host FROM network WHERE id = 1")
        .fetch_one(&mut **transaction)
        .await?;
    let last = last_host(parse("IPv4 prefix", &network.ipv4)?);
    let found = match first_free(transaction, network.next_host, last).await? {
        Some(host) => Some(host),
        None => first_free(transaction, 1, last).await?,
    };
    let Some(host) = found else { return Ok(None) };
    let next = host + 1;
    sqlx::query!("UPDATE network SET next_host = ? WHERE id = 1", next).execute(&mut **transaction).await?;
    Ok(Some(read("host number", host)?))
}

/// Number 0 is the prefix itself and the last one its broadcast address.
fn last_host(ipv4: Ipv4Net) -> i64 {
    (1_i64 << (32 - ipv4.prefix_len())) - 2
}

async fn first_free(
    transaction: &mut Transaction<'_, Sqlite>,
    from: i64,
    last: i64,
) -> Result<Option<i64>, StoreError> {
    let taken =
        sqlx::query!("SELECT id FROM node WHERE host = ?", from).fetch_optional(&mut **transaction).await?;
    let free = if taken.is_none() {
        Some(from)
    } else {
        // Walks the index of hosts from `from` to the first gap.
        sqlx::query_scalar!(
            r#"SELECT host + 1 AS "host!: i64" FROM node AS taken
               WHERE host >= ? AND NOT EXISTS (SELECT 1 FROM node WHERE host = taken.host + 1)
               ORDER BY host LIMIT 1"#,
            from
        )
        .fetch_optional(&mut **transaction)
        .await?
    };
    Ok(free.filter(|host| *host <= last))
}
