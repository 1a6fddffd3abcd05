//! Join tokens, as administrators see them.

pub(super) mod create;
pub(super) mod list;
pub(super) mod revoke;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use create::{CreateToken, CreatedToken};

use crate::clock::{Time, now};
use crate::store::TokenRecord;

/// All join tokens.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    /// By id.
    pub tokens: Vec<TokenView>,
}

/// A join token, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    pub id: i64,
    pub description: String,
    /// `valid`, `used`, `expired` or `revoked`.
    #[schema(example = "valid")]
    pub state: String,
    /// Good for any number of nodes; otherwise for one.
    pub reusable: bool,
    /// Nodes that joined with it.
    pub uses: i64,
    /// What its nodes are tagged with.
    pub tags: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// Null: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Time>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Time>,
}

impl From<TokenRecord> for TokenView {
    fn from(token: TokenRecord) -> Self {
        Self {
            state: token.state(now()).as_str().to_owned(),
            id: token.id,
            description: token.description,
            reusable: token.reusable,
            uses: token.uses,
            tags: token.tags,
            created_at: Time(token.created_at),
            expires_at: token.expires_at.map(Time),
            last_used_at: token.last_used_at.map(Time),
        }
    }
}
