//! The archive as it grows.

use std::io;

use serde::Serialize;
use tar::{Builder, Header};

/// A tar with all files in one folder.
pub(super) struct Archive<W: io::Write> {
    builder: Builder<W>,
    folder: String,
    now: u64,
    /// What could not be had, and why.
    pub(super) missing: Vec<String>,
}

impl<W: io::Write> Archive<W> {
    /// `now`: Unix time, of each file.
    pub(super) fn new(out: W, folder: &str, now: u64) -> Self {
        Self { builder: Builder::new(out), folder: folder.to_owned(), now, missing: Vec::new() }
    }

    pub(super) fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(self.now);
        self.builder.append_data(&mut header, format!("{}/{name}", self.folder), content)
    }

    /// What there is, as JSON; else its absence is told.
    pub(super) fn add_json<T: Serialize, E: std::fmt::Display>(
        &mut self,
        name: &str,
        found: Result<T, E>,
    ) -> io::Result<()> {
        match found {
            Ok(found) => self.add(name, &serde_json::to_vec_pretty(&found)?),
            Err(error) => {
                self.miss(name, &error);
                Ok(())
            }
        }
    }

    pub(super) fn miss(&mut self, name: &str, error: &dyn std::fmt::Display) {
        self.missing.push(format!("{name}: {error}"));
    }

    pub(super) fn finish(self) -> io::Result<W> {
        self.builder.into_inner()
    }
}
