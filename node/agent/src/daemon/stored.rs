//! What the daemon finds in its state folder at its start, and what follows where something is missing.

use std::path::Path;
use std::sync::Arc;

use twinmesh_control::{IdentityKeyPair, NetworkMap};
use twinmesh_dataplane::PrivateKey;

use super::DaemonError;
use crate::state::{Config, Kept, StateFolder, StoredSites, Wanted};

/// The contents of the state folder.
pub(super) struct Stored {
    pub(super) identity: Arc<IdentityKeyPair>,
    pub(super) wireguard: PrivateKey,
    pub(super) config: Config,
    pub(super) map: Option<NetworkMap>,
    pub(super) sites: StoredSites,
    /// What was lost, and what that means, in words for the user.
    pub(super) notice: Option<String>,
}

impl Stored {
    /// Reads everything; makes keys where there are none. Without its identity key or its `config` a node
    /// belongs to no network any more.
    pub(super) fn load(folder: &StateFolder) -> Result<Self, DaemonError> {
        let mut notices = Vec::new();
        let mut config = match folder.config()? {
            Kept::Found(config) => config,
            Kept::Missing => Config::default(),
            Kept::SetAside(aside) => {
                notices.push(format!(
                    "the file `config` was corrupt ({}): this node does not know its coordinator any more and must \
                     join again with `twinmesh up --coordinator … --token …`",
                    kept(&aside)
                ));
                Config::default()
            }
        };
        let identity = match folder.identity_key()? {
            Kept::Found(identity) => identity,
            lost @ (Kept::Missing | Kept::SetAside(_)) => {
                if config.coordinator.is_some() {
                    let how = match &lost {
                        Kept::SetAside(aside) => format!("was corrupt ({})", kept(aside)),
                        Kept::Missing | Kept::Found(_) => "is missing".to_owned(),
                    };
                    notices.push(format!(
                        "the file `identity-key` {how}: the coordinator does not know the new key, so this node must \
                         join again with `twinmesh up --coordinator … --token …`; remove the old node there"
                    ));
                    config = Config::default();
                    folder.store_config(&config)?;
                    // The old node's: the coordinator gives it to no other identity.
                    folder.forget_keys()?;
                }
                let identity = IdentityKeyPair::generate().map_err(DaemonError::IdentityKey)?;
                folder.store_identity_key(&identity)?;
                identity
            }
        };
        let wireguard = match folder.wireguard_key()? {
            Kept::Found(key) => key,
            lost @ (Kept::Missing | Kept::SetAside(_)) => {
                if let Kept::SetAside(aside) = &lost {
                    notices.push(format!(
                        "the file `wireguard-key` was corrupt ({}): a new key was made; tunnels return as soon as \
                         the coordinator was told",
                        kept(aside)
                    ));
                }
                new_wireguard_key(folder)?
            }
        };
        let map = if config.coordinator.is_some() && config.removed.is_none() {
            let map = folder.map()?;
            if let Kept::SetAside(aside) = &map {
                notices.push(format!(
                    "the file `map` was corrupt ({}): tunnels return as soon as the coordinator sent a new one",
                    kept(aside)
                ));
            }
            map.found()
        } else {
            None
        };
        let sites = match folder.sites()? {
            Kept::Found(sites) => sites,
            Kept::Missing => StoredSites::default(),
            Kept::SetAside(aside) => {
                notices.push(format!(
                    "the file `sites` was corrupt ({}): this node knows its sites no more; add them again with \
                     `twinmesh site add`",
                    kept(&aside)
                ));
                StoredSites::default()
            }
        };
        let notice = (!notices.is_empty()).then(|| notices.join("; "));
        if let Some(notice) = &notice {
            tracing::error!(notice, "state was lost");
        }
        Ok(Self { identity: Arc::new(identity), wireguard, config, map, sites, notice })
    }

    /// Forgets everything: the node is as new, with new keys.
    pub(super) fn forget(&mut self, folder: &StateFolder) -> Result<(), DaemonError> {
        self.config = Config::default();
        self.map = None;
        self.notice = None;
        folder.store_config(&self.config)?;
        folder.forget_map()?;
        self.renew_keys(folder)
    }

    pub(super) fn renew_keys(&mut self, folder: &StateFolder) -> Result<(), DaemonError> {
        folder.forget_keys()?;
        let identity = IdentityKeyPair::generate().map_err(DaemonError::IdentityKey)?;
        folder.store_identity_key(&identity)?;
        self.identity = Arc::new(identity);
        self.wireguard = new_wireguard_key(folder)?;
        Ok(())
    }

    pub(super) fn store_wanted(&mut self, folder: &StateFolder, wanted: Wanted) -> Result<(), DaemonError> {
        if self.config.wanted != wanted {
            let config = Config { wanted, ..self.config.clone() };
            folder.store_config(&config)?;
            self.config = config;
        }
        Ok(())
    }
}

fn new_wireguard_key(folder: &StateFolder) -> Result<PrivateKey, DaemonError> {
    let key = PrivateKey::generate().map_err(|_| DaemonError::Random)?;
    folder.store_wireguard_key(&key)?;
    Ok(key)
}

fn kept(aside: &Path) -> String {
    format!("kept as {}", aside.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SecretText;
    use crate::state::{Coordinator, StoredSite};
    use crate::testing::map;

    struct Node {
        folder: tempfile::TempDir,
    }

    impl Node {
        /// A node that has joined and is up.
        fn joined() -> Self {
            let node = Self { folder: tempfile::tempdir().unwrap() };
            let state = node.open();
            Stored::load(&state).unwrap();
            let coordinator = Coordinator {
                address: "hub".parse().unwrap(),
                fingerprint: twinmesh_control::Fingerprint([1; 32]),
            };
            let config = Config { coordinator: Some(coordinator), wanted: Wanted::Up, ..Config::default() };
            state.store_config(&config).unwrap();
            state.store_map(&map(7, [])).unwrap();
            node
        }

        fn open(&self) -> StateFolder {
            StateFolder::open(self.folder.path()).unwrap()
        }

        fn load_damaged(&self, file: &str) -> Stored {
            std::fs::write(self.folder.path().join(file), "garbage").unwrap();
            let stored = Stored::load(&self.open()).unwrap();
            let notice = stored.notice.as_deref().unwrap();
            assert!(notice.contains(&format!("`{file}`")) && notice.contains(".corrupt-"), "{notice}");
            stored
        }
    }

    #[test]
    fn a_healthy_node_finds_its_keys_and_map_again() {
        let node = Node::joined();
        let first = Stored::load(&node.open()).unwrap();
        let second = Stored::load(&node.open()).unwrap();
        assert_eq!(first.identity.public(), second.identity.public());
        assert_eq!(first.wireguard.public_key(), second.wireguard.public_key());
        assert_eq!((second.map, second.notice), (Some(map(7, [])), None));
    }

    #[test]
    fn without_its_identity_key_a_node_must_join_again() {
        let node = Node::joined();
        let before = Stored::load(&node.open()).unwrap().wireguard.public_key();
        let stored = node.load_damaged("identity-key");
        assert_eq!((stored.config, stored.map), (Config::default(), None));
        assert!(stored.notice.unwrap().contains("must join again"));
        assert_ne!(stored.wireguard.public_key(), before, "it belongs to the old node at the coordinator");
    }

    #[test]
    fn without_its_config_a_node_must_join_again() {
        let stored = Node::joined().load_damaged("config");
        assert_eq!((stored.config, stored.map), (Config::default(), None));
    }

    #[test]
    fn a_corrupt_wireguard_key_is_replaced_and_the_node_stays_in_its_network() {
        let stored = Node::joined().load_damaged("wireguard-key");
        assert!(stored.config.coordinator.is_some() && stored.map.is_some());
    }

    #[test]
    fn a_corrupt_map_leaves_the_node_waiting_for_its_coordinator() {
        let stored = Node::joined().load_damaged("map");
        assert!(stored.config.coordinator.is_some() && stored.map.is_none());
    }

    #[test]
    fn a_corrupt_file_of_sites_is_set_aside_and_the_node_goes_on_without() {
        let stored = Node::joined().load_damaged("sites");
        assert!(stored.config.coordinator.is_some() && stored.sites == StoredSites::default());
    }

    #[test]
    fn sites_are_found_again_with_their_secrets_and_the_last_one_takes_the_file_along() {
        let node = Node::joined();
        let text = |text: &str| SecretText::new(text.to_owned().into());
        let site = StoredSite {
            name: "peer".to_owned(),
            file: "site.toml".to_owned(),
            folder: "/etc".into(),
            text: text("psk = \"\u{fc}\""),
            files: [("node.key".to_owned(), text("a key"))].into(),
            down: true,
        };
        let sites = StoredSites { stopped: true, sites: vec![site] };
        node.open().store_sites(&sites).unwrap();
        assert_eq!(Stored::load(&node.open()).unwrap().sites, sites);
        node.open().store_sites(&StoredSites::default()).unwrap();
        assert!(!node.folder.path().join("sites").exists());
    }

    #[test]
    fn forgetting_makes_new_keys() {
        let node = Node::joined();
        let state = node.open();
        let mut stored = Stored::load(&state).unwrap();
        let before = stored.identity.public();
        stored.forget(&state).unwrap();
        drop(state);
        let after = Stored::load(&node.open()).unwrap();
        assert_eq!(after.identity.public(), stored.identity.public());
        assert_ne!(after.identity.public(), before);
        assert_eq!(after.config, Config::default());
    }
}
