//! The further files that a site names: keys, certificates, revocation lists.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use zeroize::Zeroizing;

use crate::api::SecretText;

/// A longer one has no business here.
const LONGEST_FILE: u64 = 1 << 20;

/// Where they are read, and what was read.
pub(super) struct Sources<'a> {
    folder: &'a Path,
    /// Instead of the disk.
    kept: Option<&'a BTreeMap<String, SecretText>>,
    pub(super) read: BTreeMap<String, SecretText>,
}

impl<'a> Sources<'a> {
    /// From the disk; names are relative to `folder`.
    pub(super) const fn on_disk(folder: &'a Path) -> Self {
        Self { folder, kept: None, read: BTreeMap::new() }
    }

    /// As they were read before.
    pub(super) const fn kept(folder: &'a Path, kept: &'a BTreeMap<String, SecretText>) -> Self {
        Self { folder, kept: Some(kept), read: BTreeMap::new() }
    }

    /// The text of a file, or why there is none.
    pub(super) fn text(&mut self, name: &str) -> Result<Zeroizing<String>, String> {
        let text = match self.kept {
            Some(kept) => {
                let kept = kept.get(name).ok_or("it was not kept")?;
                Zeroizing::new(kept.expose().to_owned())
            }
            None => on_disk(&self.folder.join(name))?,
        };
        self.read.insert(name.to_owned(), SecretText::new(text.clone()));
        Ok(text)
    }
}

fn on_disk(path: &Path) -> Result<Zeroizing<String>, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() || metadata.len() > LONGEST_FILE {
        return Err("this is no PEM file".to_owned());
    }
    fs::read_to_string(path).map(Zeroizing::new).map_err(|error| error.to_string())
}
