//! One agent per state folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::StateError;

/// The lock on a state folder (`flock`). The kernel frees it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(folder: &Path) -> Result<Self, StateError> {
        let path = folder.join("lock");
        let failed = |action, source| StateError::Io { action, path: path.clone(), source };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| failed("open", source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Without the pid the message is shorter, no less true.
                file.read_to_string(&mut holder).ok();
                return Err(StateError::Locked {
                    folder: folder.to_owned(),
                    pid: holder.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", source)),
        }
        let noted = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        // A full disk must not keep the tunnels of a node down; the pid serves an error message only.
        if let Err(error) = noted {
            tracing::warn!(file = %path.display(), %error, "the pid of this agent is not on disk");
        }
        Ok(Self { _file: file })
    }
}
