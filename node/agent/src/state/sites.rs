//! The `sites` file: the sites of this node, with their secrets.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::api::SecretText;

/// All sites, in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSites {
    /// `twinmesh down`: none of them runs until one is wanted.
    #[serde(default)]
    pub stopped: bool,
    #[serde(default)]
    pub sites: Vec<StoredSite>,
}

/// One site, as it was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSite {
    pub name: String,
    /// Name of the file that it came from, for messages.
    pub file: String,
    /// Names of further files are relative to it.
    pub folder: PathBuf,
    /// The file's text, pre-shared key and all.
    pub text: SecretText,
    /// The further files as they were last read: keys and certificates.
    #[serde(default)]
    pub files: BTreeMap<String, SecretText>,
    /// `twinmesh site down`.
    #[serde(default)]
    pub down: bool,
}

impl StoredSites {
    /// Without growth, which would leave copies of keys behind.
    pub(super) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let failed = "state has string keys only and serializes into memory";
        let mut length = Length(0);
        serde_json::to_writer(&mut length, self).expect(failed);
        let mut json = Zeroizing::new(Vec::with_capacity(length.0));
        serde_json::to_writer(&mut *json, self).expect(failed);
        json
    }
}

struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
