//! The network as nodes see it, in memory: what the store holds, ordered by change, so that a node's next
//! delta costs what has changed and not what there is. Pure: no database, no sockets, no clock.
//!
//! ```text
//!   revision ─────────────────────────────────────────────────────────►
//!   changes    │ 7: node 3 │ 9: node 1 │ 10: node 2 removed │ 12: node 4
//!                               └── a node at revision 8 gets a delta 8 → 12 of these three
//! ```
//!
//! Each node appears at its last change only, so a node that was away for long gets each change once.

mod addresses;
mod changes;
mod choices;
mod pairs;
mod tags;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use twinmesh_control::{
    Generation, IdentityKey, MapDelta, NatReport, Network, NetworkMap, NodeId, OwnNode, Peer, Protocol,
    Revision,
};

pub use addresses::{host_prefixes, overlay_addresses, random_ula};
use changes::Changes;
use choices::Choices;
pub use choices::{ChoiceRecord, FailureChange, PairRecord};
use tags::Tags;

use crate::choice::{Choice, End, Pair, Policy, choose};
use crate::store::NodeRecord;

/// Every node of the network at one revision.
#[derive(Clone, Debug)]
pub struct NetworkState {
    network: Network,
    revision: Revision,
    nodes: BTreeMap<NodeId, Entry>,
    identities: HashMap<IdentityKey, NodeId>,
    tags: Tags,
    changes: Changes,
    choices: Choices,
}

#[derive(Clone, Debug)]
struct Entry {
    record: NodeRecord,
    /// When something changed that the node itself is told about.
    own_changed: Revision,
}

/// What a node has to be told so that its map is the present one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    Nothing,
    Delta(MapDelta),
    Snapshot(NetworkMap),
}

impl NetworkState {
    /// The network as the store has it. What happened before is not known: maps of other revisions are
    /// answered with snapshots.
    pub fn new(
        network: Network,
        revision: Revision,
        records: Vec<NodeRecord>,
        choices: ChoiceRecord,
    ) -> Self {
        let mut state = Self {
            network,
            revision,
            nodes: BTreeMap::new(),
            identities: HashMap::new(),
            tags: Tags::default(),
            changes: Changes::new(revision),
            choices: Choices::new(choices, revision),
        };
        for record in records {
            if let Some(identity) = record.identity {
                state.identities.insert(identity, record.id);
            }
            state.tags.put(record.id, &record.tags);
            state.nodes.insert(record.id, Entry { record, own_changed: revision });
        }
        state
    }

    /// The network's name and prefixes.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The last change.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// What the choice of protocols obeys.
    pub fn policy(&self) -> &Policy {
        self.choices.policy()
    }

    /// All nodes, by id.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeRecord> {
        self.nodes.values().map(|entry| &entry.record)
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> Option<&NodeRecord> {
        self.nodes.get(&id).map(|entry| &entry.record)
    }

    /// The node of that name, in whatever case.
    pub fn node_named(&self, name: &str) -> Option<&NodeRecord> {
        self.nodes().find(|node| node.name.eq_ignore_ascii_case(name))
    }

    /// The node that an administrator means, by id or name. A number is an id first: nodes choose their names, and
    /// none must come between an administrator and another node.
    pub fn node_called(&self, wanted: &str) -> Option<&NodeRecord> {
        wanted.parse().ok().and_then(|id| self.node(NodeId(id))).or_else(|| self.node_named(wanted))
    }

    /// The node that proved that identity.
    pub fn node_of(&self, identity: &IdentityKey) -> Option<NodeId> {
        self.identities.get(identity).copied()
    }

    /// A node is new or has changed; since when the choices with its peers rest on what it is now is seen here.
    pub fn put(&mut self, mut record: NodeRecord, revision: Revision) {
        if let Some(identity) = record.identity {
            self.identities.insert(identity, record.id);
        }
        let id = record.id;
        let before = self.nodes.get(&id);
        let own_changed = match before {
            Some(entry) if self.own(&entry.record) == self.own(&record) => entry.own_changed,
            Some(_) | None => revision,
        };
        record.chosen_at = match before {
            Some(entry) if end(&entry.record) == end(&record) => entry.record.chosen_at,
            Some(_) | None => revision,
        };
        if let Some(entry) = before {
            self.tags.remove(id, &entry.record.tags);
        }
        self.tags.put(id, &record.tags);
        self.nodes.insert(id, Entry { record, own_changed });
        self.changes.changed(id, revision);
        self.revision = revision;
    }

    /// A node changed in a way that no map shows.
    pub fn put_unseen(&mut self, id: NodeId, change: impl FnOnce(&mut NodeRecord)) {
        if let Some(entry) = self.nodes.get_mut(&id) {
            change(&mut entry.record);
        }
    }

    /// A node is gone.
    pub fn remove(&mut self, id: NodeId, revision: Revision) {
        if let Some(Entry { record, .. }) = self.nodes.remove(&id) {
            record.identity.map(|identity| self.identities.remove(&identity));
            self.tags.remove(id, &record.tags);
        }
        self.choices.forget(id);
        self.changes.removed(id, revision);
        self.revision = revision;
    }

    /// The policy is another.
    pub fn put_policy(&mut self, policy: Policy, revision: Revision) {
        self.choices.put_policy(policy, revision);
        self.revision = revision;
    }

    /// Failures began or ended.
    pub fn put_failures(&mut self, changes: Vec<FailureChange>, revision: Revision) {
        self.choices.put_failures(changes, revision);
        self.revision = revision;
    }

    /// What to tell a node whose map is at `have`; `None` if there is no such node.
    pub fn update(&self, id: NodeId, have: Option<Revision>) -> Option<Update> {
        let entry = self.nodes.get(&id)?;
        let changes = have.and_then(|have| Some((have, self.changes.since(have, self.revision)?)));
        let Some((have, changes)) = changes else { return Some(Update::Snapshot(self.snapshot(entry))) };
        let mut delta = MapDelta {
            from: have,
            to: self.revision,
            own: (entry.own_changed > have).then(|| self.own(&entry.record)),
            changed: Vec::new(),
            removed: Vec::new(),
        };
        let all_edges = entry.record.chosen_at > have;
        for other in changes.filter(|other| *other != id) {
            match self.nodes.get(&other) {
                Some(_) if all_edges => {}
                Some(other) => delta.changed.push(self.peer(&other.record, &entry.record)),
                None => delta.removed.push(other),
            }
        }
        if all_edges {
            delta.changed.extend(self.peers_of(&entry.record));
        } else {
            let told: BTreeSet<NodeId> = delta.changed.iter().map(|peer| peer.id).collect();
            let others = self.chosen_otherwise(&entry.record, have);
            let others = others.into_iter().filter(|other| !told.contains(&other.id));
            delta.changed.extend(others.map(|other| self.peer(other, &entry.record)));
        }
        let empty = delta.own.is_none() && delta.changed.is_empty() && delta.removed.is_empty();
        Some(if empty { Update::Nothing } else { Update::Delta(delta) })
    }

    /// The peers with which a policy or failure of after `have` means something else for this node.
    fn chosen_otherwise(&self, own: &NodeRecord, have: Revision) -> Vec<&NodeRecord> {
        let tags: Vec<&str> = self.choices.changed_tags(have).collect();
        let all =
            self.choices.has_network_changed(have) || own.tags.iter().any(|tag| tags.contains(&tag.as_str()));
        let candidates: BTreeSet<NodeId> = if all {
            self.nodes.keys().copied().collect()
        } else {
            let tagged = tags.into_iter().flat_map(|tag| self.tags.of(tag));
            tagged.chain(self.choices.changed_peers(own.id, have)).collect()
        };
        let candidates = candidates.into_iter().filter_map(|id| self.node(id));
        candidates.filter(|peer| self.is_chosen_after(peer, own, have)).collect()
    }

    fn is_chosen_after(&self, peer: &NodeRecord, own: &NodeRecord, have: Revision) -> bool {
        Pair::new(peer.id, own.id).is_some_and(|pair| {
            self.choices.has_changed(pair, have) || self.generation(peer, own) > Generation(have.0)
        })
    }

    fn snapshot(&self, entry: &Entry) -> NetworkMap {
        let own = &entry.record;
        let peers = self.peers_of(own).map(|peer| (peer.id, peer));
        NetworkMap {
            revision: self.revision,
            network: self.network.clone(),
            own: self.own(own),
            peers: peers.collect(),
        }
    }

    fn peers_of(&self, own: &NodeRecord) -> impl Iterator<Item = Peer> {
        self.nodes().filter(|peer| peer.id != own.id).map(|peer| self.peer(peer, own))
    }

    /// Whether the two see each other in their maps, and may exchange packets.
    pub fn are_peers(&self, one: NodeId, other: NodeId) -> bool {
        let (Some(own), Some(peer)) = (self.node(one), self.node(other)) else { return false };
        one != other && self.peer(peer, own).protocol != Protocol::None
    }

    fn own(&self, record: &NodeRecord) -> OwnNode {
        OwnNode {
            id: record.id,
            name: record.name.clone(),
            addresses: overlay_addresses(&self.network, record.host).to_vec(),
            tags: record.tags.clone(),
        }
    }

    /// As the node `of` sees it.
    fn peer(&self, record: &NodeRecord, of: &NodeRecord) -> Peer {
        let own = host_prefixes(&self.network, record.host);
        let Choice { protocol, compliance, reasons } = choose(&self.facts(record, of), self.policy());
        // A version that knows nothing of compliance takes `none` for WireGuard: it learns no place and no address of
        // what it must not reach.
        let withheld = protocol == Protocol::None && !of.abilities.compliance;
        let allowed_ips = own.into_iter().chain(record.prefixes.iter().copied());
        Peer {
            id: record.id,
            name: record.name.clone(),
            kind: record.kind.clone(),
            wireguard_key: record.wireguard_key,
            identity: record.identity,
            protocol,
            compliance,
            reasons,
            generation: self.generation(record, of),
            addresses: overlay_addresses(&self.network, record.host).to_vec(),
            allowed_ips: if withheld { Vec::new() } else { allowed_ips.collect() },
            endpoints: if withheld { Vec::new() } else { record.endpoints.clone() },
            nat: if withheld { NatReport::default() } else { record.nat.clone() },
            tags: record.tags.clone(),
        }
    }
}

fn end(record: &NodeRecord) -> End<'_> {
    End {
        id: record.id,
        name: &record.name,
        kind: &record.kind,
        tags: &record.tags,
        preference: &record.preference,
        abilities: record.abilities,
    }
}
