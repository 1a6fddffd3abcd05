//! The store: everything that outlives the process, in one SQLite file. All SQL of the coordinator is here,
//! checked at compile time against `migrations/sqlite` (`prepare-queries.sh` renews `.sqlx/`).
//!
//! A change of what nodes see and the revision that goes with it are one transaction.

mod accounts;
mod enrolment;
mod error;
mod failures;
mod hosts;
mod network;
mod nodes;
mod peers;
mod policy;
mod policy_age;
mod reach;
mod tokens;

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, Sqlite, Transaction};

pub use accounts::Account;
pub use enrolment::{Enrolled, Enrolment, EnrolmentError};
pub use error::StoreError;
pub use network::NetworkRecord;
pub use nodes::{Announcement, Greeted, NodeRecord};
pub use peers::{AddPeerError, NewPeer};
pub use reach::Reach;
pub use tokens::{NewToken, Revocation, TokenRecord, TokenState};

/// How long a statement waits for another one's lock, or for a connection, before it fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Readers beside the one writer that SQLite allows.
const CONNECTIONS: u32 = 4;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/sqlite");

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens or makes the database file and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a later version of the program wrote it.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An address or a used token that a power cut forgets would be handed out twice.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(BUSY_TIMEOUT)
            // On a full disk SQLite rolls back by itself, and sqlx then believes for ever that this connection
            // is in a transaction: it would begin no other one.
            .before_acquire(|connection, _| Box::pin(std::future::ready(Ok(!connection.is_in_transaction()))))
            .connect_with(options)
            .await?;
        match MIGRATIONS.run(&pool).await {
            Ok(()) => Ok(Self { pool }),
            Err(MigrateError::VersionMissing(version)) => Err(StoreError::Newer(version)),
            // A full or locked disk is no fault of the schema.
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Err(error.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn check(&self) -> Result<(), StoreError> {
        sqlx::query!("SELECT revision FROM network WHERE id = 1").fetch_optional(&self.pool).await?;
        Ok(())
    }

    /// Waits for statements under way and closes the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A transaction that holds the write lock from its start: it never fails half-way because another
    /// writer came first.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }
}
