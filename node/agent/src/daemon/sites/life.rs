//! From the state folder to running sites, and back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use twinmesh_dataplane::{EspError, can_open_raw_esp};
use twinmesh_ike::Command;
use twinmesh_ike::config::{EncapsulationPolicy, Remote};

use super::super::agent::Agent;
use super::{Entry, Sites};
use crate::network::{PLAIN_IKE_PORT, PlainIke, source_address};
use crate::site::{Site, SiteFileError};
use crate::state::{StateError, StoredSite, StoredSites};

impl Agent {
    /// What the state folder has; nothing runs yet.
    pub(in crate::daemon) fn load_sites(&mut self) {
        let StoredSites { stopped, sites } = std::mem::take(&mut self.stored.sites);
        self.sites.stopped = stopped;
        for stored in sites {
            match read(&stored) {
                Ok(mut site) => {
                    match without_raw_sockets(&mut site) {
                        Ok(None) => {}
                        Ok(Some(problem)) | Err(problem) => tracing::warn!(site = site.name, problem),
                    }
                    self.sites.insert(site, stored);
                }
                Err(error) => {
                    let problem = format!("the stored site `{}` is not understood: {error}", stored.name);
                    tracing::error!(site = stored.name, %error, "a stored site is not understood");
                    let before = self.stored.notice.take().map(|notice| format!("{notice}; "));
                    self.stored.notice = Some(before.unwrap_or_default() + &problem);
                    self.sites.unread.push(stored);
                }
            }
        }
    }

    pub(super) fn store_sites(&self) -> Result<(), StateError> {
        let known = self.sites.in_order().into_iter().map(|entry| entry.stored.clone());
        let sites = known.chain(self.sites.unread.iter().cloned()).collect();
        self.folder.store_sites(&StoredSites { stopped: self.sites.stopped, sites })
    }

    /// The data plane runs: guards first, then handshakes.
    pub(in crate::daemon) fn begin_sites(&mut self, now: Instant) {
        let names: Vec<Arc<str>> =
            self.sites.in_order().iter().map(|entry| (*entry.site.name).into()).collect();
        if self.sites.stopped || names.is_empty() {
            return;
        }
        if let Some(problem) = self.open_plain_ike() {
            tracing::warn!(problem, "some peers are not heard");
        }
        self.set_guards();
        for name in names {
            self.attempt(&name, now);
        }
    }

    /// UDP port 500, while there are sites; what is wrong with it.
    pub(super) fn open_plain_ike(&mut self) -> Option<String> {
        if self.sites.plain.is_some() {
            return None;
        }
        match PlainIke::open(self.sites.plain_in.clone()) {
            Ok(plain) => {
                self.sites.plain = Some(plain);
                None
            }
            Err(error) => Some(format!(
                "UDP port {PLAIN_IKE_PORT} cannot be used ({error}): peers that begin there are not heard"
            )),
        }
    }

    /// Tells the engine of a site, from this node's present address; what its vendor's preset does.
    pub(super) fn prepare(&mut self, name: &Arc<str>) -> Result<Vec<&'static str>, String> {
        let entry = self.sites.entries.get(name).ok_or("the site is gone")?;
        let local = self.local_end(&entry.site)?;
        let (mut connection, preset) = entry.site.connection(local);
        connection.additional_addresses = entry.site.additional_addresses(local.ip(), &self.here.hosts);
        self.sites.engine.add_connection(connection);
        if let Some(entry) = self.sites.entries.get_mut(name) {
            entry.prepared = true;
        }
        self.sites.reguard = true;
        Ok(preset)
    }

    /// This node's end, by the peer's.
    pub(super) fn local_end(&self, site: &Site) -> Result<SocketAddr, String> {
        let (address, port) = match site.remote {
            Remote::At(remote) | Remote::Roaming(remote) => {
                let address = match site.local {
                    Some(local) => local,
                    None => source_address(remote.ip())
                        .map_err(|error| format!("there is no way to {}: {error}", remote.ip()))?,
                };
                (address, remote.port())
            }
            Remote::Anywhere => (site.local.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), 0),
        };
        if port == PLAIN_IKE_PORT {
            if self.sites.plain.is_none() {
                return Err(format!(
                    "a peer at UDP port {PLAIN_IKE_PORT} needs that port here too, and it cannot be used: `ss -ulpn` \
                     tells who has it"
                ));
            }
            return Ok(SocketAddr::new(address, PLAIN_IKE_PORT));
        }
        Ok(SocketAddr::new(address, self.here.port))
    }

    /// Ends all SAs of a site; the peer is told.
    pub(super) fn end_site(&mut self, name: &Arc<str>, now: Instant) {
        self.command(Command::TerminateConnection { connection: name.clone() }, now);
        self.obey_engine(now);
        self.sites.engine.remove_connection(name);
        if let Some(entry) = self.sites.entries.get_mut(name) {
            entry.rest();
        }
        self.sites.reguard = true;
        self.forget_tunnels(name);
    }

    /// Before the data plane goes.
    pub(in crate::daemon) fn end_sites(&mut self) {
        let now = Instant::now();
        let names: Vec<Arc<str>> = self.sites.entries.keys().cloned().collect();
        for name in names {
            self.end_site(&name, now);
        }
        self.sites.plain = None;
        self.sites.watch_due = None;
    }

    /// `down`: they stay where they are, and stay down.
    pub(in crate::daemon) fn stop_sites(&mut self) -> Result<(), StateError> {
        self.sites.stopped = true;
        self.store_sites()
    }

    /// `up` after `down`.
    pub(in crate::daemon) fn wake_sites(&mut self) {
        if std::mem::take(&mut self.sites.stopped)
            && let Err(error) = self.store_sites()
        {
            tracing::error!(%error, "sites will be down again at the next start");
        }
    }

    /// A data plane that ran for the sites alone goes with the last one.
    pub(super) fn leave_plane(&mut self) {
        if self.session.is_none() && !self.sites.need_plane() {
            self.stop_plane();
        }
    }
}

impl Sites {
    pub(super) fn insert(&mut self, site: Site, stored: StoredSite) {
        self.added += 1;
        let name: Arc<str> = site.name.as_str().into();
        self.entries.insert(name, Entry::new(site, stored, self.added));
    }
}

/// Further files count as they are now, so that a renewed certificate is used; as they were, if that does not work.
fn read(stored: &StoredSite) -> Result<Site, SiteFileError> {
    let StoredSite { name, file, folder, text, files, .. } = stored;
    Site::read(text.expose(), file, folder).or_else(|error| {
        let site = Site::read_kept(text.expose(), file, folder, files)?;
        tracing::warn!(site = name, %error, "the files of a site are used as they were");
        Ok(site)
    })
}

/// What becomes of a site that wants ESP without UDP where this process cannot have it: a warning, or why not.
pub(super) fn without_raw_sockets(site: &mut Site) -> Result<Option<String>, String> {
    if site.encapsulation == EncapsulationPolicy::Udp {
        return Ok(None);
    }
    let Err(errno) = can_open_raw_esp() else { return Ok(None) };
    let reason = EspError::RawSocket { errno };
    if site.encapsulation == EncapsulationPolicy::Raw {
        return Err(reason.to_string());
    }
    site.encapsulation = EncapsulationPolicy::Udp;
    Ok(Some(format!("{reason}; ESP goes in UDP in any case")))
}
