//! Overlay addresses against a model: no address is given to two nodes that exist at one time.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use proptest::collection::vec;
use proptest::prelude::*;
use twinmesh_control::{IdentityKey, NodeId, Preference, Revision, WireguardKey};
use twinmesh_coordinator::choice::Abilities;
use twinmesh_coordinator::network::random_ula;
use twinmesh_coordinator::store::{
    AddPeerError, Announcement, Enrolled, Enrolment, EnrolmentError, NewPeer, NewToken, Store,
};

const NOW: i64 = 1_767_268_800;
/// A prefix so small that it is full and freed again in one run: hosts 1 to 14.
const HOSTS: u32 = 14;

#[derive(Clone, Debug)]
enum Step {
    Enrol,
    AddPeer,
    /// The node at that place among those that exist.
    Remove(prop::sample::Index),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => Just(Step::Enrol),
        3 => Just(Step::AddPeer),
        4 => any::<prop::sample::Index>().prop_map(Step::Remove),
        1 => Just(Step::Reopen),
    ]
}

struct Run {
    file: PathBuf,
    store: Store,
    /// The model: who has which host number.
    hosts: BTreeMap<NodeId, u32>,
    revision: Revision,
    next_key: u8,
}

impl Run {
    async fn open(file: PathBuf) -> Self {
        let store = Store::open(&file).await.unwrap();
        let ipv4: Ipv4Net = "100.64.0.0/28".parse().unwrap();
        let network = store.network("test", ipv4, random_ula([1; 5]), NOW).await.unwrap();
        Self { file, store, hosts: BTreeMap::new(), revision: network.revision, next_key: 0 }
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Enrol => {
                let key = self.key();
                let enrolment = Enrolment {
                    token_hash: [0; 32],
                    hostname: "node".to_owned(),
                    identity: IdentityKey(key),
                    said: Announcement {
                        wireguard_key: WireguardKey(key),
                        version: "1".to_owned(),
                        preference: Preference::Auto,
                        abilities: Abilities::default(),
                    },
                };
                match self.store.enrol(enrolment, NOW).await {
                    Ok(Enrolled::New { node, revision }) => self.given(node.id, node.host, revision),
                    Err(EnrolmentError::AddressesExhausted) => self.is_full(),
                    other => panic!("{other:?}"),
                }
            }
            Step::AddPeer => {
                let key = self.key();
                let peer = NewPeer {
                    name: format!("peer-{}", key[0]),
                    wireguard_key: WireguardKey(key),
                    endpoint: None,
                    tags: vec![],
                    prefixes: vec![],
                };
                match self.store.add_peer(peer, NOW).await {
                    Ok((node, revision)) => self.given(node.id, node.host, revision),
                    Err(AddPeerError::AddressesExhausted) => self.is_full(),
                    other => panic!("{other:?}"),
                }
            }
            Step::Remove(place) => {
                let ids: Vec<_> = self.hosts.keys().copied().collect();
                if let Some(id) = (!ids.is_empty()).then(|| *place.get(&ids)) {
                    let revision = self.store.remove_node(id).await.unwrap().unwrap();
                    self.counted(revision);
                    self.hosts.remove(&id);
                    assert_eq!(self.store.remove_node(id).await.unwrap(), None);
                }
            }
            Step::Reopen => {
                self.store.close().await;
                self.store = Store::open(&self.file).await.unwrap();
            }
        }
        let stored = self.store.nodes().await.unwrap();
        let stored: BTreeMap<_, _> = stored.into_iter().map(|node| (node.id, node.host)).collect();
        assert_eq!(stored, self.hosts);
    }

    fn key(&mut self) -> [u8; 32] {
        self.next_key += 1;
        [self.next_key; 32]
    }

    fn given(&mut self, id: NodeId, host: u32, revision: Revision) {
        assert!((1..=HOSTS).contains(&host), "{host}");
        assert!(!self.hosts.values().any(|taken| *taken == host), "{host} is given twice");
        assert!(self.hosts.keys().all(|known| *known < id), "{id} was there before");
        self.counted(revision);
        self.hosts.insert(id, host);
    }

    fn is_full(&self) {
        assert_eq!(self.hosts.len(), HOSTS as usize);
    }

    fn counted(&mut self, revision: Revision) {
        assert_eq!(revision.0, self.revision.0 + 1);
        self.revision = revision;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_address_is_given_twice_while_its_node_exists(steps in vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let mut run = Run::open(folder.path().join("test.db")).await;
            let token = NewToken {
                secret_hash: [0; 32], description: String::new(), reusable: true, tags: vec![], expires_at: None,
            };
            run.store.create_token(token, NOW).await.unwrap();
            for step in &steps {
                run.take(step).await;
            }
            run.store.close().await;
        });
    }
}

#[tokio::test]
async fn an_address_rests_as_long_as_others_are_free() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::open(folder.path().join("test.db")).await;
    for _ in 0..3 {
        run.take(&Step::AddPeer).await;
    }
    let first = *run.hosts.keys().next().unwrap();
    run.store.remove_node(first).await.unwrap();
    run.hosts.remove(&first);
    run.revision.0 += 1;
    for _ in 0..12 {
        run.take(&Step::AddPeer).await;
    }
    assert_eq!(run.hosts.last_key_value().unwrap().1, &1);
}
