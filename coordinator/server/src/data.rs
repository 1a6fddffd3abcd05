//! The data folder: database, identity key, and what the command line needs to find the running server.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use twinmesh_control::IdentityKeyPair;
use zeroize::{Zeroize as _, Zeroizing};

use crate::relay::{RelaySecret, SecretError};

const LOCK: &str = "lock";
const DATABASE: &str = "coordinator.db";
const IDENTITY: &str = "identity.key";
const API_TOKEN: &str = "api-token";
const RELAY_SECRET: &str = "relay-secret";
const HTTP_ADDRESS: &str = "http-address";
const SECRET_LENGTH: usize = 32;

/// The data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    #[error("cannot {action} {}: {source}", .path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("another twinmesh-coordinator{} serves {}", .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default(), .folder.display())]
    Locked { folder: PathBuf, pid: Option<u32> },
    #[error("{} holds no Ed25519 key: restore it from a backup; without it no node knows this coordinator", .0.display())]
    Identity(PathBuf),
    #[error(transparent)]
    RelaySecret(#[from] SecretError),
    #[error("cannot make a key: {0}")]
    Key(#[from] twinmesh_control::KeyError),
    #[error("no random numbers from the operating system")]
    Random,
}

/// The folder, held by this process alone.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// The kernel frees the lock when the process ends, however it ends.
    _lock: File,
}

impl DataFolder {
    /// Makes the folder (mode 0700) if there is none, and locks it.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| DataError::Io { action, path, source }
        };
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make", path))?;
        }
        let lock_path = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Without the pid the message is shorter, no less true.
                lock.read_to_string(&mut holder).ok();
                return Err(DataError::Locked { folder: path.to_owned(), pid: holder.trim().parse().ok() });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", &lock_path)(source)),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(failed("write", &lock_path))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The database file. SQLite gives its side files the same mode as this one.
    pub fn database(&self) -> Result<PathBuf, DataError> {
        let path = self.path.join(DATABASE);
        if !path.exists() {
            private_file(&path, true).map_err(|source| DataError::Io {
                action: "make",
                path: path.clone(),
                source,
            })?;
        }
        Ok(path)
    }

    /// The coordinator's identity, made at the first start.
    pub fn identity(&self) -> Result<IdentityKeyPair, DataError> {
        let path = self.path.join(IDENTITY);
        if let Some(pkcs8) = read_private(&path)? {
            return IdentityKeyPair::from_pkcs8(&pkcs8).map_err(|_| DataError::Identity(path));
        }
        let pair = IdentityKeyPair::generate()?;
        write_private(&path, pair.pkcs8())?;
        Ok(pair)
    }

    /// What makes passwords for relays, made at the first start.
    pub fn relay_secret(&self) -> Result<RelaySecret, DataError> {
        let path = self.path.join(RELAY_SECRET);
        if !path.exists() {
            write_private(&path, random_secret()?.as_bytes())?;
        }
        Ok(RelaySecret::read(&path)?)
    }

    /// The token with which commands on this host speak to the API, made at the first start.
    pub fn api_token(&self) -> Result<Zeroizing<String>, DataError> {
        let path = self.path.join(API_TOKEN);
        if let Some(token) = read_api_token(&self.path)? {
            return Ok(token);
        }
        let token = random_secret()?;
        write_private(&path, token.as_bytes())?;
        Ok(token)
    }

    /// Notes where the API listens, for commands on this host.
    pub fn note_http_address(&self, address: SocketAddr) -> Result<(), DataError> {
        write_private(&self.path.join(HTTP_ADDRESS), address.to_string().as_bytes())
    }
}

/// The API token of a data folder, if there is one.
pub fn read_api_token(folder: &Path) -> Result<Option<Zeroizing<String>>, DataError> {
    let bytes = read_private(&folder.join(API_TOKEN))?;
    let text = bytes.map(|bytes| Zeroizing::new(String::from_utf8_lossy(&bytes).trim().to_owned()));
    Ok(text.filter(|text| !text.is_empty()))
}

/// Where the API of a data folder's server listens, if one ever ran.
pub fn read_http_address(folder: &Path) -> Result<Option<SocketAddr>, DataError> {
    let bytes = read_private(&folder.join(HTTP_ADDRESS))?;
    Ok(bytes.and_then(|bytes| String::from_utf8_lossy(&bytes).trim().parse().ok()))
}

/// A secret that nobody guesses, as text that can be typed into a shell.
pub fn random_secret() -> Result<Zeroizing<String>, DataError> {
    let mut bytes = [0; SECRET_LENGTH];
    getrandom::fill(&mut bytes).map_err(|_| DataError::Random)?;
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes));
    bytes.zeroize();
    Ok(text)
}

fn read_private(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, DataError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DataError::Io { action: "read", path: path.to_owned(), source }),
    }
}

/// Writes a file of mode 0600 whole or not at all, also over a power cut.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let new = path.with_extension("new");
    let written = private_file(&new, false).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    });
    written.map_err(|source| DataError::Io { action: "write", path: path.to_owned(), source })
}

fn private_file(path: &Path, must_be_new: bool) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .create_new(must_be_new)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    // A file that an earlier attempt left may have another mode.
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn keys_are_made_once_and_only_their_owner_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let data = DataFolder::open(&path).unwrap();
        let (identity, token) = (data.identity().unwrap().public(), data.api_token().unwrap());
        assert_eq!(data.identity().unwrap().public(), identity);
        assert_eq!(data.api_token().unwrap(), token);
        data.database().unwrap();
        assert_eq!(mode(&path), 0o700);
        for file in [IDENTITY, API_TOKEN, DATABASE, LOCK] {
            assert_eq!(mode(&path.join(file)), 0o600, "{file}");
        }
    }

    #[test]
    fn a_second_server_is_refused_with_the_pid_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataFolder::open(folder.path()).unwrap();
        let error = DataFolder::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        drop(first);
        DataFolder::open(folder.path()).unwrap();
    }

    #[test]
    fn a_damaged_identity_key_is_named_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        std::fs::write(folder.path().join(IDENTITY), "garbage").unwrap();
        let error = data.identity().err().unwrap().to_string();
        assert!(error.contains(IDENTITY), "{error}");
        assert_eq!(std::fs::read(folder.path().join(IDENTITY)).unwrap(), b"garbage");
    }
}
