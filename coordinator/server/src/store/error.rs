//! Why the store fails, by what an administrator can do about it.

/// SQLite's primary result codes (<https://www.sqlite.org/rescode.html>); extended ones have them in the low byte.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const NOTADB: i32 = 26;
}

/// The store failed; nothing of the request was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("the disk of the data folder is full")]
    Full,
    #[error("the database is locked by another program for too long")]
    Locked,
    #[error("the database cannot be written: the file or its folder is read-only")]
    ReadOnly,
    #[error("the disk of the data folder fails: {0}")]
    Disk(String),
    #[error("the database file is damaged ({0}): restore it from a backup")]
    Damaged(String),
    #[error(
        "the data folder was written by a newer twinmesh-coordinator (schema {0}): run that version, or restore a \
         backup from before the update"
    )]
    Newer(i64),
    #[error("the database holds a {what} that cannot be")]
    Invalid { what: &'static str },
    #[error("database: {0}")]
    Database(#[source] sqlx::Error),
    #[error("database schema: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Locked;
        }
        let Some(database) = error.as_database_error() else { return Self::Database(error) };
        let extended: i32 = database.code().and_then(|code| code.parse().ok()).unwrap_or_default();
        let message = database.message().to_owned();
        match extended & 0xff {
            code::FULL => Self::Full,
            code::BUSY | code::LOCKED => Self::Locked,
            code::READONLY => Self::ReadOnly,
            code::IOERR => Self::Disk(message),
            code::CORRUPT | code::NOTADB => Self::Damaged(message),
            _ => Self::Database(error),
        }
    }
}

/// A value of the database as its type, or [`StoreError::Invalid`].
pub(super) fn read<T, V: TryInto<T>>(what: &'static str, value: V) -> Result<T, StoreError> {
    value.try_into().map_err(|_| StoreError::Invalid { what })
}

/// A text of the database as its type, or [`StoreError::Invalid`].
pub(super) fn parse<T: std::str::FromStr>(what: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Invalid { what })
}
