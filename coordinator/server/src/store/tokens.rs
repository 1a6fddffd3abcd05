//! Join tokens. Only the hash of a token's secret is stored.

use std::collections::BTreeMap;

use super::{Store, StoreError};

/// A token to store.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// SHA-256 of the secret.
    pub secret_hash: [u8; 32],
    pub description: String,
    /// Good for any number of nodes; otherwise for one.
    pub reusable: bool,
    /// Sorted, each once.
    pub tags: Vec<String>,
    /// Unix time.
    pub expires_at: Option<i64>,
}

/// A token as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    pub id: i64,
    pub description: String,
    pub reusable: bool,
    /// Nodes that joined with it.
    pub uses: i64,
    pub tags: Vec<String>,
    /// Unix times.
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked_at: Option<i64>,
    pub last_used_at: Option<i64>,
}

/// Whether a node may join with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    Valid,
    Expired,
    Used,
    Revoked,
}

impl TokenState {
    /// What was done on purpose counts before what time did.
    pub(super) fn of(
        reusable: bool,
        uses: i64,
        expires_at: Option<i64>,
        revoked_at: Option<i64>,
        now: i64,
    ) -> Self {
        if revoked_at.is_some() {
            Self::Revoked
        } else if !reusable && uses > 0 {
            Self::Used
        } else if expires_at.is_some_and(|at| at <= now) {
            Self::Expired
        } else {
            Self::Valid
        }
    }

    /// The word that users see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Used => "used",
            Self::Revoked => "revoked",
        }
    }
}

impl TokenRecord {
    /// Whether a node may join with it now (Unix time).
    pub fn state(&self, now: i64) -> TokenState {
        TokenState::of(self.reusable, self.uses, self.expires_at, self.revoked_at, now)
    }
}

/// What became of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// It is revoked, now or before.
    Revoked,
    NotFound,
}

impl Store {
    /// Stores a token.
    pub async fn create_token(&self, token: NewToken, now: i64) -> Result<TokenRecord, StoreError> {
        let hash = token.secret_hash.as_slice();
        let mut transaction = self.begin().await?;
        let id = sqlx::query_scalar!(
            "INSERT INTO token (secret_hash, description, reusable, created_at, expires_at)
             VALUES (?, ?, ?, ?, ?) RETURNING id",
            hash,
            token.description,
            token.reusable,
            now,
            token.expires_at
        )
        .fetch_one(&mut *transaction)
        .await?;
        for tag in &token.tags {
            sqlx::query!("INSERT INTO token_tag (token_id, tag) VALUES (?, ?)", id, tag)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(TokenRecord {
            id,
            description: token.description,
            reusable: token.reusable,
            uses: 0,
            tags: token.tags,
            created_at: now,
            expires_at: token.expires_at,
            revoked_at: None,
            last_used_at: None,
        })
    }

    /// All tokens, by id.
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let rows = sqlx::query!(
            "SELECT id, description, reusable, uses, created_at, expires_at, revoked_at, last_used_at
             FROM token ORDER BY id"
        )
        .fetch_all(&mut *transaction)
        .await?;
        let mut tokens: BTreeMap<i64, TokenRecord> = rows
            .into_iter()
            .map(|row| {
                let record = TokenRecord {
                    id: row.id,
                    description: row.description,
                    reusable: row.reusable != 0,
                    uses: row.uses,
                    tags: Vec::new(),
                    created_at: row.created_at,
                    expires_at: row.expires_at,
                    revoked_at: row.revoked_at,
                    last_used_at: row.last_used_at,
                };
                (row.id, record)
            })
            .collect();
        for row in sqlx::query!("SELECT token_id, tag FROM token_tag ORDER BY tag")
            .fetch_all(&mut *transaction)
            .await?
        {
            if let Some(token) = tokens.get_mut(&row.token_id) {
                token.tags.push(row.tag);
            }
        }
        Ok(tokens.into_values().collect())
    }

    /// No node joins with that token any more. Those that have joined stay.
    pub async fn revoke_token(&self, id: i64, now: i64) -> Result<Revocation, StoreError> {
        let done =
            sqlx::query!("UPDATE token SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", now, id)
                .execute(&self.pool)
                .await?;
        Ok(if done.rows_affected() == 0 { Revocation::NotFound } else { Revocation::Revoked })
    }
}
