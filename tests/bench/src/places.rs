//! Where programs and the report lie.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub(crate) struct Places {
    /// This build's programs.
    pub(crate) programs: PathBuf,
    /// Cargo's target folder.
    target: PathBuf,
}

impl Places {
    /// As this program lies: in `target/release`, or a debug build's folder.
    pub(crate) fn of_this_program() -> Result<Self> {
        let own = env::current_exe().context("where this program lies")?;
        let programs = own.parent().context("a program in no folder")?.to_owned();
        let target = programs.parent().context("a program outside Cargo's target folder")?.to_owned();
        Ok(Self { programs, target })
    }

    /// An agent built with the feature `null`.
    pub(crate) fn null_programs(&self) -> PathBuf {
        self.target.join("bench-null/release")
    }

    /// Where the report goes.
    pub(crate) fn reports(&self) -> PathBuf {
        self.target.join("bench")
    }

    /// A program that tests/bench/peers.sh has installed, or the machine's own.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
        let folders = env::split_paths(&path).chain(system);
        std::iter::once(self.reports().join("peers/bin"))
            .chain(folders)
            .map(|folder| folder.join(name))
            .find(|program| program.is_file())
    }
}

/// The source tree.
pub(crate) fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
