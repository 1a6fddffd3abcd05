//! Keys in the tables of Wireshark.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::super::CommandError;
use crate::api::IkeKeyLine;

/// A folder that Wireshark takes for its configuration.
pub(super) struct KeyLog {
    folder: PathBuf,
    tables: BTreeMap<String, File>,
}

impl KeyLog {
    /// Makes the folder, for its owner only, if it is not there.
    pub(super) fn open(folder: &Path) -> Result<Self, CommandError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.and_then(|()| fs::metadata(folder)).map_err(|source| failed(folder, source))?;
        Ok(Self { folder: folder.to_owned(), tables: BTreeMap::new() })
    }

    /// Appends. Each line is in its file before the next is awaited: a capture can be looked at while it grows.
    pub(super) fn write(&mut self, keys: &[IkeKeyLine]) -> Result<(), CommandError> {
        for IkeKeyLine { table, line } in keys {
            let path = self.folder.join(table);
            self.append(table, line.expose(), &path).map_err(|source| failed(&path, source))?;
        }
        Ok(())
    }

    fn append(&mut self, table: &str, line: &str, path: &Path) -> io::Result<()> {
        let file = match self.tables.entry(table.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                new.insert(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?)
            }
        };
        file.write_all(line.as_bytes())?;
        file.write_all(b"\n")
    }
}

fn failed(path: &Path, source: io::Error) -> CommandError {
    CommandError::KeyLog { file: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use zeroize::Zeroizing;

    use super::*;
    use crate::api::SecretText;

    #[test]
    fn each_table_is_a_file_for_its_owner_that_grows() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("keys");
        let key = |table: &str, line: &str| IkeKeyLine {
            table: table.to_owned(),
            line: SecretText::new(Zeroizing::new(line.to_owned())),
        };
        KeyLog::open(&folder)
            .unwrap()
            .write(&[key("esp_sa", "one"), key("ikev2_decryption_table", "two")])
            .unwrap();
        KeyLog::open(&folder).unwrap().write(&[key("esp_sa", "three")]).unwrap();
        let table = folder.join("esp_sa");
        assert_eq!(fs::read_to_string(&table).unwrap(), "one\nthree\n");
        assert_eq!(fs::read_to_string(folder.join("ikev2_decryption_table")).unwrap(), "two\n");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&table)), (0o700, 0o600));
        assert!(KeyLog::open(&table).is_err(), "a file is no folder");
    }
}
