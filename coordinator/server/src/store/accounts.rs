//! Administrators' accounts and their sessions.

use super::{Store, StoreError};

/// An administrator.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    pub id: i64,
    pub name: String,
    /// argon2id, as a PHC string.
    pub password_hash: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Store {
    /// Whether there is any account.
    pub async fn has_accounts(&self) -> Result<bool, StoreError> {
        let any = sqlx::query!("SELECT id FROM account LIMIT 1").fetch_optional(&self.pool).await?;
        Ok(any.is_some())
    }

    /// Makes an account, the owner of the network.
    pub async fn create_owner(&self, name: &str, password_hash: &str, now: i64) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO account (name, password_hash, role, created_at) VALUES (?, ?, 'owner', ?)",
            name,
            password_hash,
            now
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The account of that name.
    pub async fn account(&self, name: &str) -> Result<Option<Account>, StoreError> {
        let account =
            sqlx::query_as!(Account, "SELECT id, name, password_hash FROM account WHERE name = ?", name)
                .fetch_optional(&self.pool)
                .await?;
        Ok(account)
    }

    /// Stores a session; those that have expired go.
    pub async fn create_session(
        &self,
        hash: &[u8; 32],
        account: i64,
        now: i64,
        expires_at: i64,
    ) -> Result<(), StoreError> {
        let hash = hash.as_slice();
        let mut transaction = self.begin().await?;
        sqlx::query!("DELETE FROM session WHERE expires_at <= ?", now).execute(&mut *transaction).await?;
        sqlx::query!(
            "INSERT INTO session (token_hash, account_id, created_at, expires_at) VALUES (?, ?, ?, ?)",
            hash,
            account,
            now,
            expires_at
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The name of the account whose session it is, unless it has expired.
    pub async fn session(&self, hash: &[u8; 32], now: i64) -> Result<Option<String>, StoreError> {
        let hash = hash.as_slice();
        let name = sqlx::query_scalar!(
            "SELECT account.name FROM session JOIN account ON account.id = session.account_id
             WHERE token_hash = ? AND expires_at > ?",
            hash,
            now
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(name)
    }

    /// Ends a session.
    pub async fn end_session(&self, hash: &[u8; 32]) -> Result<(), StoreError> {
        let hash = hash.as_slice();
        sqlx::query!("DELETE FROM session WHERE token_hash = ?", hash).execute(&self.pool).await?;
        Ok(())
    }
}
