//! Sites: peers that speak IKEv2. A TOML file becomes a connection for the IKE engine, or an error that names the
//! line.
//!
//! [`Site::read`] is the way in; the command line uses it before it asks the daemon, and the daemon again, since it
//! trusts nobody's reading but its own.
//! `twinmesh site add --help` describes the file.

mod between_nodes;
mod check;
mod child;
mod credentials;
mod error;
mod exchanges;
mod explain;
mod file;
mod secret;
mod selectors;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use twinmesh_dataplane::esp::{IpRange, Selectors, TrafficSelector as EspSelector};
use twinmesh_ike::auth::{Credentials, Identity, IdentityPattern, PostquantumKey, Weakness};
use twinmesh_ike::config::{
    ChildConfig, ConnectionConfig, EncapsulationPolicy, Lifetime, Mode, Proposal, Quirks, Remote,
    SelectorPair, StartAction, TrafficSelector, Vendor,
};

use crate::api::SecretText;
use crate::sa::destinations_of;
pub use error::{Problem, SiteFileError};
use exchanges::Exchanges;
pub use explain::{Explanation, OtherTraffic};
pub(crate) use selectors::{to_esp, to_ike};
use sources::Sources;

/// A site, checked.
pub struct Site {
    pub name: String,
    pub remote: Remote,
    /// This node's outer address, where it was written.
    pub local: Option<IpAddr>,
    vendor: Option<Vendor>,
    pub encapsulation: EncapsulationPolicy,
    proposals: Vec<Proposal>,
    lifetime: Lifetime,
    dpd_delay: Option<Duration>,
    mobike: bool,
    reauth: Option<Duration>,
    exchanges: Exchanges,
    quirks: Quirks,
    credentials: Credentials,
    ppk: Option<PostquantumKey>,
    /// Why its secret should be a better one.
    weakness: Option<Weakness>,
    local_identity: Option<Identity>,
    remote_identity: IdentityPattern,
    pub children: Vec<SiteChild>,
    pub after_loss: AfterLoss,
    /// The further files that it names, as they were read.
    pub files: BTreeMap<String, SecretText>,
}

/// What this node does when the peer answers no longer (`dpd_action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLoss {
    /// It begins again, again and again.
    Restart,
    /// Traffic makes it begin again.
    Trap,
    /// It waits for the peer, or for `site up`.
    Clear,
}

/// What the data plane needs to know of a child beside what is negotiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteChild {
    config: ChildConfig,
    /// Instead of the peer's selectors.
    pub routes: Option<BTreeSet<IpNet>>,
    pub rekey_bytes: Option<u64>,
    pub path_mtu: u16,
    pub replay_window: u32,
}

impl Site {
    /// Reads a whole file, and the keys and certificates that it names, relative to `folder`; `file` is its name in
    /// messages.
    pub fn read(text: &str, file: &str, folder: &Path) -> Result<Self, SiteFileError> {
        check::check(text, file, Sources::on_disk(folder))
    }

    /// The same with further files as they were read before.
    pub fn read_kept(
        text: &str,
        file: &str,
        folder: &Path,
        kept: &BTreeMap<String, SecretText>,
    ) -> Result<Self, SiteFileError> {
        check::check(text, file, Sources::kept(folder, kept))
    }

    /// For the engine, from this address of this node; and what the vendor's preset does, in words.
    pub fn connection(&self, local: SocketAddr) -> (ConnectionConfig, Vec<&'static str>) {
        let mut connection = ConnectionConfig {
            proposals: self.proposals.clone(),
            children: self.children.iter().map(|child| child.between(local.ip(), self.remote)).collect(),
            start: if self.starts() { StartAction::Start } else { StartAction::None },
            lifetime: self.lifetime,
            at_any_address: self.local.is_none(),
            dpd_delay: self.dpd_delay,
            encapsulation: self.encapsulation,
            mobike: self.mobike,
            reauth: self.reauth,
            quirks: self.quirks,
            ppk: self.ppk.clone(),
            ..ConnectionConfig::new(
                &self.name,
                local,
                self.remote,
                self.local_identity.clone().unwrap_or_else(|| identity_of(local.ip())),
                self.remote_identity.clone(),
                self.credentials.clone(),
            )
        };
        self.exchanges.apply(&mut connection);
        let preset = self.vendor.map(|vendor| vendor.apply(&mut connection)).unwrap_or_default();
        (connection, preset)
    }

    /// Where else the peer may find this node: not at what only the tunnel leads to.
    pub fn additional_addresses(&self, local: IpAddr, hosts: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
        let inside = |address: &IpAddr| {
            let selectors = self.children.iter().flat_map(|child| &child.config.selectors.local);
            selectors.into_iter().any(|one| (one.first()..=one.last()).contains(address))
        };
        hosts.iter().copied().filter(|address| *address != local && !inside(address)).collect()
    }

    /// What its user should know of its secrets.
    pub fn weaknesses(&self) -> Vec<Weakness> {
        [self.weakness, self.ppk.as_ref().and_then(PostquantumKey::weakness)].into_iter().flatten().collect()
    }

    pub fn child(&self, name: &str) -> Option<&SiteChild> {
        self.children.iter().find(|child| child.name() == name)
    }

    /// Whether this node begins without being asked.
    pub fn starts(&self) -> bool {
        self.children.iter().any(SiteChild::starts)
    }
}

impl SiteChild {
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Who begins.
    pub const fn start(&self) -> StartAction {
        self.config.start
    }

    /// Whether this node sees to it that there are SAs.
    pub fn starts(&self) -> bool {
        self.config.start == StartAction::Start
    }

    /// What only its SAs may carry; in transport mode from any address of this node, where it is not known.
    pub fn guarded(&self, local: Option<IpAddr>, remote: Remote) -> Selectors {
        let pair = local
            .map_or_else(|| self.config.selectors.clone(), |local| self.between(local, remote).selectors);
        let side = |selectors: &[TrafficSelector]| -> Vec<EspSelector> {
            selectors.iter().filter_map(to_esp).collect()
        };
        let mut guarded = Selectors { local: side(&pair.local), remote: side(&pair.remote) };
        if guarded.local.is_empty() {
            guarded.local = [IpRange::ANY_V4, IpRange::ANY_V6].map(EspSelector::new).to_vec();
        }
        if let (true, Remote::At(remote)) = (guarded.remote.is_empty(), remote) {
            guarded.remote.push(EspSelector::new(IpRange::single(remote.ip())));
        }
        guarded
    }

    /// The prefixes that are routed into the TUN device, for SAs of these selectors.
    pub fn destinations(&self, remote: &[EspSelector]) -> BTreeSet<IpNet> {
        self.routes.clone().unwrap_or_else(|| destinations_of(remote))
    }

    pub fn is_transport(&self) -> bool {
        self.config.mode == Mode::Transport
    }

    /// In transport mode the traffic is that between the two ends.
    fn between(&self, local: IpAddr, remote: Remote) -> ChildConfig {
        let mut config = self.config.clone();
        if let (Mode::Transport, Remote::At(remote)) = (config.mode, remote) {
            let SelectorPair { local: ours, remote: theirs } = &mut config.selectors;
            for (side, address) in [(ours, local), (theirs, remote.ip())] {
                if side.is_empty() {
                    side.push(TrafficSelector::host(address));
                }
            }
        }
        config
    }
}

fn identity_of(address: IpAddr) -> Identity {
    match address {
        IpAddr::V4(address) => Identity::Ipv4(address),
        IpAddr::V6(address) => Identity::Ipv6(address),
    }
}
