//! What a state folder says to somebody who does not hold it: nothing is locked, made, mended or set aside, and no
//! secret is looked at.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use twinmesh_control::NetworkMap;
use zeroize::Zeroizing;

use super::folder::{CONFIG, MAP, SITES};
use super::{Config, StoredSites, envelope};

/// Files of a folder that are listed: what is set aside counts too.
const MOST_FILES: usize = 1_000;

/// The folder at one moment.
#[derive(Debug)]
pub struct Glance {
    pub files: Vec<FileFacts>,
    /// Each in words what is wrong, where it cannot be read.
    pub config: Result<Config, String>,
    pub map: Result<NetworkMap, String>,
    pub sites: Result<Vec<SiteFacts>, String>,
}

/// A file without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    pub name: String,
    pub bytes: u64,
    /// Octal.
    pub mode: String,
    pub owner: u32,
    /// Unix time.
    pub changed: i64,
}

/// A site without its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SiteFacts {
    pub name: String,
    pub down: bool,
}

impl Glance {
    /// Fails where the folder cannot be listed.
    pub fn at(folder: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)?.take(MOST_FILES) {
            let entry = entry?;
            let metadata = entry.metadata()?;
            files.push(FileFacts {
                name: entry.file_name().to_string_lossy().into_owned(),
                bytes: metadata.len(),
                mode: format!("{:o}", metadata.mode() & 0o7777),
                owner: metadata.uid(),
                changed: metadata.mtime(),
            });
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        let sites = read::<StoredSites>(folder, SITES).map(|stored| {
            stored.sites.iter().map(|site| SiteFacts { name: site.name.clone(), down: site.down }).collect()
        });
        Ok(Self { files, config: read(folder, CONFIG), map: read(folder, MAP), sites })
    }
}

fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<T, String> {
    let file = Zeroizing::new(fs::read(folder.join(name)).map_err(|error| error.to_string())?);
    let content = envelope::unwrap(name, &file).map_err(|error| error.to_string())?;
    serde_json::from_slice(content).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateFolder;
    use crate::testing::map;

    #[test]
    fn a_folder_that_somebody_holds_is_told_of_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let held = StateFolder::open(folder.path()).unwrap();
        held.store_map(&map(7, [])).unwrap();
        fs::write(folder.path().join(CONFIG), "garbage").unwrap();
        let glance = Glance::at(folder.path()).unwrap();
        assert_eq!(glance.map, Ok(map(7, [])));
        assert!(glance.config.unwrap_err().contains("does not start with a line of twinmesh"));
        let names: Vec<_> =
            glance.files.iter().map(|file| (file.name.as_str(), file.mode.as_str())).collect();
        assert_eq!(names[1..], [("lock", names[1].1), ("map", "600")]);
        assert_eq!(fs::read_to_string(folder.path().join(CONFIG)).unwrap(), "garbage");
        assert!(Glance::at(&folder.path().join("none")).is_err());
    }
}
