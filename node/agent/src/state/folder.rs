//! The state folder: reading with damage set aside, writing whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;
use twinmesh_control::{IdentityKeyPair, NetworkMap};
use twinmesh_dataplane::PrivateKey;
use zeroize::Zeroizing;

use super::envelope::{self, EnvelopeError};
use super::lock::Lock;
use super::{Config, StateError, StoredSites};

const IDENTITY_KEY: &str = "identity-key";
const WIREGUARD_KEY: &str = "wireguard-key";
pub(super) const CONFIG: &str = "config";
pub(super) const MAP: &str = "map";
pub(super) const SITES: &str = "sites";
/// Damaged files of one name and second that are kept.
const MOST_NAMES: u64 = 1_000;

/// A file as found.
#[derive(Debug, PartialEq, Eq)]
pub enum Kept<T> {
    Found(T),
    Missing,
    /// It was damaged and lies now under this name.
    SetAside(PathBuf),
}

impl<T> Kept<T> {
    pub fn found(self) -> Option<T> {
        match self {
            Self::Found(value) => Some(value),
            Self::Missing | Self::SetAside(_) => None,
        }
    }
}

/// A state folder that this process alone uses.
#[derive(Debug)]
pub struct StateFolder {
    folder: PathBuf,
    _lock: Lock,
}

impl StateFolder {
    /// Makes the folder (mode 0700) if needed and locks it.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        let failed = |action, source| StateError::Io { action, path: folder.to_owned(), source };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| failed("make", source))?;
        fs::set_permissions(folder, Permissions::from_mode(0o700))
            .map_err(|source| failed("restrict", source))?;
        Ok(Self { _lock: Lock::take(folder)?, folder: folder.to_owned() })
    }

    pub fn identity_key(&self) -> Result<Kept<IdentityKeyPair>, StateError> {
        self.read(IDENTITY_KEY, |der| IdentityKeyPair::from_pkcs8(der).map_err(|error| error.to_string()))
    }

    pub fn store_identity_key(&self, key: &IdentityKeyPair) -> Result<(), StateError> {
        self.write(IDENTITY_KEY, key.pkcs8())
    }

    pub fn wireguard_key(&self) -> Result<Kept<PrivateKey>, StateError> {
        self.read(WIREGUARD_KEY, |bytes| {
            let bytes =
                Zeroizing::new(<[u8; 32]>::try_from(bytes).map_err(|_| "it is not 32 bytes".to_owned())?);
            Ok(PrivateKey::from_bytes(*bytes))
        })
    }

    pub fn store_wireguard_key(&self, key: &PrivateKey) -> Result<(), StateError> {
        self.write(WIREGUARD_KEY, key.as_bytes())
    }

    pub fn config(&self) -> Result<Kept<Config>, StateError> {
        self.read(CONFIG, from_json)
    }

    pub fn store_config(&self, config: &Config) -> Result<(), StateError> {
        self.write(CONFIG, &to_json(config))
    }

    pub fn map(&self) -> Result<Kept<NetworkMap>, StateError> {
        self.read(MAP, from_json)
    }

    pub fn store_map(&self, map: &NetworkMap) -> Result<(), StateError> {
        self.write(MAP, &to_json(map))
    }

    pub fn forget_map(&self) -> Result<(), StateError> {
        self.remove(MAP)
    }

    pub fn sites(&self) -> Result<Kept<StoredSites>, StateError> {
        self.read(SITES, from_json)
    }

    /// Without sites there is no file.
    pub fn store_sites(&self, sites: &StoredSites) -> Result<(), StateError> {
        if sites.sites.is_empty() { self.remove(SITES) } else { self.write(SITES, &sites.to_json()) }
    }

    pub fn forget_keys(&self) -> Result<(), StateError> {
        self.remove(IDENTITY_KEY)?;
        self.remove(WIREGUARD_KEY)
    }

    fn read<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<Kept<T>, StateError> {
        let path = self.folder.join(name);
        let file = match fs::read(&path) {
            Ok(file) => Zeroizing::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::Missing),
            Err(source) => return Err(StateError::Io { action: "read", path, source }),
        };
        let parsed = match envelope::unwrap(name, &file) {
            Ok(content) => parse(content),
            Err(EnvelopeError::Newer(found)) => {
                return Err(StateError::Newer { path, found, known: envelope::VERSION });
            }
            Err(error) => Err(error.to_string()),
        };
        match parsed {
            Ok(value) => Ok(Kept::Found(value)),
            Err(reason) => {
                let aside = self.set_aside(&path)?;
                tracing::error!(file = %path.display(), kept = %aside.display(), reason, "a state file is corrupt");
                Ok(Kept::SetAside(aside))
            }
        }
    }

    /// Renames to `<name>.corrupt-<unix time>`, or a later second where that name is taken.
    fn set_aside(&self, path: &Path) -> Result<PathBuf, StateError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let aside = (now..=now.saturating_add(MOST_NAMES))
            .map(|second| path.with_extension(format!("corrupt-{second}")))
            .find(|candidate| !candidate.exists())
            .unwrap_or_else(|| path.with_extension("corrupt"));
        fs::rename(path, &aside)
            .and_then(|()| sync_folder(&self.folder))
            .map_err(|source| StateError::Io { action: "set aside", path: path.to_owned(), source })?;
        Ok(aside)
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), StateError> {
        let path = self.folder.join(name);
        let beside = self.folder.join(format!("{name}.new"));
        let file = Zeroizing::new(envelope::wrap(name, content));
        let written = write_synced(&beside, &file)
            .and_then(|()| fs::rename(&beside, &path))
            .and_then(|()| sync_folder(&self.folder));
        written.map_err(|source| {
            // A half-written copy (a full disk) must not lie around; the file itself is as it was.
            fs::remove_file(&beside).ok();
            StateError::Io { action: "write", path, source }
        })
    }

    fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.folder.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StateError::Io { action: "remove", path, source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    // A leftover of a crash may have had another mode.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a rename last (fsync of the folder's own entry list).
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn from_json<T: DeserializeOwned>(content: &[u8]) -> Result<T, String> {
    serde_json::from_slice(content).map_err(|error| error.to_string())
}

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("state has string keys only and serializes into memory")
}
