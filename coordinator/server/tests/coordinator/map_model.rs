//! Deltas against snapshots: whatever legal deltas a node applies in whatever order, its map is the snapshot
//! of the revision that it then has.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use twinmesh_control::{
    Applied, Endpoint, EndpointKind, FailedProtocol, FailureCode, IdentityKey, MapDelta, MapError, NatReport,
    Network, NetworkMap, NodeId, Peer, PeerKind, Preference, Protocol, Revision, TunnelReport, WireguardKey,
};
use twinmesh_coordinator::choice::{Abilities, Demand, Pair, Policy, Rule};
use twinmesh_coordinator::network::{ChoiceRecord, FailureChange, NetworkState, Update, random_ula};
use twinmesh_coordinator::store::NodeRecord;

/// The node whose map it is. It is never removed.
const OWN: NodeId = NodeId(1);

#[derive(Clone, Debug)]
enum Step {
    Join,
    Remove(prop::sample::Index),
    /// Where a node, also our own, can be reached.
    Move(prop::sample::Index, u16),
    Rekey(prop::sample::Index, u8),
    Tag(prop::sample::Index, String),
    /// What a node wishes, and whether it can have it: the choice with each of its peers.
    Prefer(prop::sample::Index, Preference, bool),
    /// What is demanded of the network, of a tag, of a pair.
    DemandOfNetwork(Rule),
    DemandOfTag(String, Rule),
    DemandOfPair(prop::sample::Index, prop::sample::Index, Rule),
    /// What is chosen between two nodes fails, as the first of them says.
    Fail(prop::sample::Index, prop::sample::Index),
    /// Time passes, in seconds.
    Wait(i64),
}

fn rule() -> impl Strategy<Value = Rule> {
    let demand = prop_oneof![Just(Demand::Auto), Just(Demand::Wireguard), Just(Demand::Esp)];
    (prop::option::of(demand), any::<bool>()).prop_map(|(protocol, compliance)| Rule {
        protocol,
        throughput: None,
        compliance,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        3 => Just(Step::Join),
        2 => place().prop_map(Step::Remove),
        2 => (place(), 1_u16..4).prop_map(|(place, port)| Step::Move(place, port)),
        1 => (place(), any::<u8>()).prop_map(|(place, key)| Step::Rekey(place, key)),
        1 => (place(), "[a-c]").prop_map(|(place, tag)| Step::Tag(place, tag)),
        2 => (place(), "auto|wireguard|esp", any::<bool>())
            .prop_map(|(place, wish, can)| Step::Prefer(place, Preference::from(wish), can)),
        1 => rule().prop_map(Step::DemandOfNetwork),
        1 => ("[a-c]", rule()).prop_map(|(tag, rule)| Step::DemandOfTag(tag, rule)),
        2 => (place(), place(), rule())
            .prop_map(|(one, other, rule)| Step::DemandOfPair(one, other, rule)),
        2 => (place(), place()).prop_map(|(one, other)| Step::Fail(one, other)),
        1 => (0_i64..2_000).prop_map(Step::Wait),
    ]
}

fn record(number: u64) -> NodeRecord {
    let byte = u8::try_from(number).unwrap();
    NodeRecord {
        id: NodeId(number),
        name: format!("node-{number}"),
        kind: PeerKind::Agent,
        host: u32::from(byte),
        identity: Some(IdentityKey([byte; 32])),
        wireguard_key: WireguardKey([byte; 32]),
        version: None,
        preference: Preference::Auto,
        abilities: Abilities { esp: true, compliance: true, aes: true },
        chosen_at: Revision(1),
        created_at: 0,
        last_seen_at: None,
        tags: vec![],
        endpoints: vec![],
        nat: NatReport::default(),
        prefixes: vec![],
    }
}

fn network() -> Network {
    Network { name: "test".to_owned(), ipv4: "100.64.0.0/10".parse().unwrap(), ipv6: random_ula([7; 5]) }
}

/// The network, and the slow and obviously right answer to what a node's map is at each revision.
struct Run {
    state: NetworkState,
    next: u64,
    now: i64,
    snapshots: BTreeMap<Revision, NetworkMap>,
    deltas: Vec<MapDelta>,
}

impl Run {
    fn new() -> Self {
        let state = NetworkState::new(network(), Revision(1), vec![record(1)], ChoiceRecord::default());
        let mut run = Self { state, next: 2, now: 0, snapshots: BTreeMap::new(), deltas: vec![] };
        run.note();
        run
    }

    fn take(&mut self, step: &Step) {
        let revision = Revision(self.state.revision().0 + 1);
        let ids: Vec<NodeId> = self.state.nodes().map(|node| node.id).collect();
        let mut policy = self.state.policy().clone();
        match step {
            Step::DemandOfNetwork(rule) => policy.network = *rule,
            Step::DemandOfTag(tag, rule) => {
                policy.tags.insert(tag.clone(), *rule);
            }
            Step::DemandOfPair(one, other, rule) => {
                let Some(pair) = Pair::new(*one.get(&ids), *other.get(&ids)) else { return };
                policy.pairs.insert(pair, *rule);
            }
            Step::Join
            | Step::Remove(_)
            | Step::Move(..)
            | Step::Rekey(..)
            | Step::Tag(..)
            | Step::Prefer(..) => {}
            Step::Fail(one, other) => {
                let report = self.failure(*one.get(&ids), *other.get(&ids));
                let changes = report.map(|(id, tunnel)| self.state.counted(id, &[tunnel], self.now));
                return self.put_failures(changes.unwrap_or_default(), revision);
            }
            Step::Wait(seconds) => {
                self.now += seconds;
                return self.put_failures(self.state.ended(self.now), revision);
            }
        }
        if !policy.demands_the_same(self.state.policy()) {
            policy.version += 1;
            self.state.put_policy(policy, revision);
            return self.note();
        }
        let mut change = |place: &prop::sample::Index, change: &dyn Fn(&mut NodeRecord)| {
            let mut record = self.state.node(*place.get(&ids)).unwrap().clone();
            change(&mut record);
            self.state.put(record, revision);
        };
        match step {
            Step::Join => {
                self.state.put(record(self.next), revision);
                self.next += 1;
            }
            Step::Remove(place) => match *place.get(&ids) {
                OWN => return,
                id => self.state.remove(id, revision),
            },
            Step::Move(place, port) => change(place, &|record| {
                let address = ([192, 0, 2, 1], *port).into();
                record.endpoints = vec![Endpoint { address, kind: EndpointKind::Host }];
            }),
            Step::Rekey(place, key) => {
                change(place, &|record| record.wireguard_key = WireguardKey([*key; 32]));
            }
            Step::Tag(place, tag) => change(place, &|record| record.tags = vec![tag.clone()]),
            Step::Prefer(place, wish, can) => change(place, &|record| {
                record.preference = wish.clone();
                record.abilities.esp = *can;
            }),
            // Demanded already, or done above.
            Step::DemandOfNetwork(_)
            | Step::DemandOfTag(..)
            | Step::DemandOfPair(..)
            | Step::Fail(..)
            | Step::Wait(_) => return,
        }
        self.note();
    }

    /// The report of a node that the chosen protocol fails and the other one works.
    fn failure(&self, id: NodeId, peer: NodeId) -> Option<(NodeId, TunnelReport)> {
        let (choice, generation) = self.state.choice(Pair::new(id, peer)?)?;
        let works = match choice.protocol {
            Protocol::Wireguard => Protocol::Esp,
            Protocol::Esp => Protocol::Wireguard,
            Protocol::None | Protocol::Other(_) => return None,
        };
        let code = FailureCode::NoAnswer;
        let failed = FailedProtocol { protocol: choice.protocol, generation, code, text: String::new() };
        let tunnel = TunnelReport {
            peer,
            protocol: works,
            generation,
            endpoint: None,
            path: None,
            failed: vec![failed],
            handshake_age: None,
            received: 0,
            sent: 0,
        };
        Some((id, tunnel))
    }

    fn put_failures(&mut self, changes: Vec<FailureChange>, revision: Revision) {
        if !changes.is_empty() {
            self.state.put_failures(changes, revision);
            self.note();
        }
    }

    /// What a node with a map of any earlier revision would be told now.
    fn note(&mut self) {
        let Some(Update::Snapshot(present)) = self.state.update(OWN, None) else { panic!("no snapshot") };
        for (revision, earlier) in &self.snapshots {
            match self.state.update(OWN, Some(*revision)).unwrap() {
                Update::Delta(delta) => {
                    assert_eq!((delta.from, delta.to), (*revision, present.revision));
                    assert!(
                        delta.changed.iter().all(|peer| peer.id != OWN),
                        "a node is told of itself as a peer"
                    );
                    self.deltas.push(delta);
                }
                Update::Nothing => assert_eq!(
                    NetworkMap { revision: present.revision, ..earlier.clone() },
                    present,
                    "something changed, and the node is told nothing"
                ),
                Update::Snapshot(_) => panic!("a snapshot for a change that is known"),
            }
        }
        if let Some((_, before)) = self.snapshots.last_key_value() {
            for (id, peer) in &present.peers {
                let Some(before) = before.peers.get(id) else { continue };
                assert!(peer.generation >= before.generation, "a generation went back");
                let same = |peer: &Peer| (peer.protocol.clone(), peer.compliance);
                assert!(
                    same(peer) == same(before) || peer.generation.0 == present.revision.0,
                    "another choice without another generation"
                );
                let (_, told) = self.state.choice(Pair::new(OWN, *id).unwrap()).unwrap();
                assert_eq!(peer.generation, told);
            }
        }
        self.snapshots.insert(present.revision, present);
    }
}

proptest! {
    #[test]
    fn deltas_in_any_legal_order_give_the_snapshot(
        steps in vec(step(), 1..25),
        start in any::<prop::sample::Index>(),
        order in vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let mut run = Run::new();
        for step in &steps {
            run.take(step);
        }
        let revisions: Vec<_> = run.snapshots.keys().copied().collect();
        let mut map = run.snapshots[start.get(&revisions)].clone();
        if !run.deltas.is_empty() {
            for place in &order {
                let delta = place.get(&run.deltas).clone();
                let before = map.clone();
                match map.apply(delta.clone()) {
                    Ok(Applied::Changed) => prop_assert_eq!(&map, &run.snapshots[&delta.to]),
                    Ok(Applied::Stale) => prop_assert!(delta.to <= before.revision && map == before),
                    Err(MapError::Gap { .. }) => prop_assert!(delta.from > before.revision && map == before),
                    Err(error) => panic!("{error}"),
                }
            }
        }
        let last = run.snapshots.last_entry().unwrap().remove();
        match run.state.update(OWN, Some(map.revision)).unwrap() {
            Update::Delta(delta) => { map.apply(delta).unwrap(); }
            Update::Nothing => map.revision = last.revision,
            Update::Snapshot(_) => panic!("a snapshot for a change that is known"),
        }
        prop_assert_eq!(map, last);
    }

    #[test]
    fn a_change_of_one_node_is_one_entry_for_each_other_node_and_none_for_itself(
        size in 2_u64..20, changed in any::<prop::sample::Index>(),
    ) {
        let mut state = NetworkState::new(network(), Revision(1), (1..=size).map(record).collect(), ChoiceRecord::default());
        let ids: Vec<_> = (1..=size).map(NodeId).collect();
        let changed = *changed.get(&ids);
        let mut record = state.node(changed).unwrap().clone();
        record.wireguard_key = WireguardKey([99; 32]);
        state.put(record, Revision(2));
        for id in ids {
            match state.update(id, Some(Revision(1))).unwrap() {
                Update::Nothing => prop_assert_eq!(id, changed),
                Update::Delta(delta) => {
                    prop_assert_ne!(id, changed);
                    prop_assert_eq!((delta.changed.len(), delta.removed.len(), delta.own), (1, 0, None));
                }
                Update::Snapshot(_) => panic!("a snapshot"),
            }
        }
    }

    #[test]
    fn a_change_of_policy_is_told_of_exactly_the_pairs_that_are_chosen_otherwise(
        tags in vec(prop::option::of("[a-b]"), 2..10), before in (rule(), rule(), rule()), after in (rule(), rule(), rule()),
    ) {
        let records = (1_u64..).zip(&tags).map(|(number, tag)| NodeRecord {
            tags: tag.iter().cloned().collect(),
            ..record(number)
        });
        let policy = |(network, tag, pair): (Rule, Rule, Rule)| Policy {
            version: 1,
            network,
            tags: BTreeMap::from([("a".to_owned(), tag)]),
            pairs: BTreeMap::from([(Pair::new(NodeId(1), NodeId(2)).unwrap(), pair)]),
        };
        let mut state = NetworkState::new(network(), Revision(1), records.collect(), ChoiceRecord { policy: policy(before), ..ChoiceRecord::default() });
        let ids: Vec<_> = state.nodes().map(|node| node.id).collect();
        let map = |state: &NetworkState, id| match state.update(id, None) {
            Some(Update::Snapshot(map)) => map.peers,
            other => panic!("{other:?}"),
        };
        let maps: Vec<_> = ids.iter().map(|id| map(&state, *id)).collect();
        state.put_policy(policy(after), Revision(2));
        for (id, before) in ids.into_iter().zip(maps) {
            let expected: Vec<_> = map(&state, id).into_values().filter(|peer| before[&peer.id] != *peer).collect();
            match state.update(id, Some(Revision(1))).unwrap() {
                Update::Nothing => prop_assert!(expected.is_empty()),
                Update::Delta(delta) => {
                    prop_assert_eq!((delta.changed, delta.removed, delta.own), (expected, vec![], None));
                }
                Update::Snapshot(_) => panic!("a snapshot"),
            }
        }
    }
}

#[test]
fn a_delta_over_a_policy_that_came_and_went_also_fits_the_map_from_in_between() {
    let mut state =
        NetworkState::new(network(), Revision(1), vec![record(1), record(2)], ChoiceRecord::default());
    let network = Rule { compliance: true, ..Rule::default() };
    state.put_policy(Policy { version: 1, network, ..Policy::default() }, Revision(2));
    let Some(Update::Snapshot(mut map)) = state.update(OWN, None) else { panic!("no snapshot") };
    state.put_policy(Policy { version: 2, ..Policy::default() }, Revision(3));
    let Some(Update::Delta(delta)) = state.update(OWN, Some(Revision(1))) else { panic!("no delta") };
    assert_eq!(map.apply(delta), Ok(Applied::Changed));
    assert_eq!(state.update(OWN, None), Some(Update::Snapshot(map)));
}
