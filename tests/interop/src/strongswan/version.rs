//! Which strongSwan, and where its files lie.

use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

/// A version of strongSwan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The one that is installed: 5.9 where the machine is a Debian bookworm.
    OfMachine,
    /// 6.0 from Debian's trixie, in a root of its own that `tests/interop/strongswan_root.sh` makes.
    Trixie,
    /// Debian's next release, in another root: `tests/interop/strongswan_root.sh forky`. Only for what 6.0 of trixie
    /// lacks.
    Forky,
}

impl Version {
    /// Those that the main cases run with.
    pub const ALL: [Self; 2] = [Self::OfMachine, Self::Trixie];

    /// For names of labs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OfMachine => "own",
            Self::Trixie => "trixie",
            Self::Forky => "forky",
        }
    }

    /// The root that it runs in, if that is not the machine's.
    pub(super) fn root(self) -> Result<Option<String>> {
        match self {
            Self::OfMachine => Ok(None),
            Self::Trixie | Self::Forky => {
                let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cache"));
                let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
                let root = cache
                    .context("neither XDG_CACHE_HOME nor HOME is set")?
                    .join("twinmesh")
                    .join(self.name());
                let root = root.to_str().context("a cache folder in UTF-8 is needed")?.to_owned();
                ensure!(
                    PathBuf::from(&root).join("made-of").exists(),
                    "there is no strongSwan 6 in {root}: run tests/interop/strongswan_root.sh {}",
                    self.name()
                );
                Ok(Some(root))
            }
        }
    }

    /// Shell commands that copy its configuration into the host's folder.
    pub(super) fn copy_files(self) -> Result<String> {
        let root = self.root()?.unwrap_or_default();
        Ok(format!("cp -r '{root}/etc/swanctl' $TWINMESH_LAB_HOST_DIR/"))
    }

    /// Shell commands that bind the host's files over its own and become charon; a charon that starts again finds them
    /// in place. Nothing of it is seen outside the host's mount namespace.
    pub(super) fn start(self) -> Result<String> {
        let root = self.root()?;
        let at = root.as_deref().unwrap_or_default();
        let mut script = String::from("bind() { mountpoint -q \"$2\" || mount --rbind \"$1\" \"$2\"; }\n");
        for (from, to) in [("swanctl", "/etc/swanctl"), ("strongswan.conf", "/etc/strongswan.conf")] {
            script.push_str(&format!("bind $TWINMESH_LAB_HOST_DIR/{from} '{at}{to}'\n"));
        }
        if root.is_some() {
            for folder in ["/run", "/dev", "/proc"] {
                script.push_str(&format!("bind {folder} '{at}{folder}'\n"));
            }
            script.push_str(&format!("exec chroot '{at}' /usr/sbin/charon-systemd"));
        } else {
            script.push_str("exec charon-systemd");
        }
        Ok(script)
    }
}
