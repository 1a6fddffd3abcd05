//! `site add`, `site remove`, and the end of all sites.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use twinmesh_dataplane::{EspError, can_open_raw_esp};
use twinmesh_ike::Command;
use twinmesh_ike::config::{EncapsulationPolicy, Remote};

use super::super::agent::{Agent, whole};
use super::{Entry, Retry};
use crate::api::{Answer, Done, SiteAdd};
use crate::network::{PLAIN_IKE_PORT, PlainIke, source_address};
use crate::site::Site;

/// What becomes of a site that wants ESP without UDP where this process cannot have it: a warning, or why not.
fn without_raw_sockets(site: &mut Site) -> Result<Option<String>, String> {
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

impl Agent {
    pub(in crate::daemon) async fn add_site(&mut self, add: &SiteAdd, now: Instant) -> Answer {
        match self.try_add_site(add, now).await {
            Ok(message) => Answer::ok(&Done { message }),
            Err(reason) => {
                self.leave_plane();
                Answer::Error(reason)
            }
        }
    }

    async fn try_add_site(&mut self, add: &SiteAdd, now: Instant) -> Result<String, String> {
        let mut site =
            Site::read(add.text.expose(), &add.file, &add.folder).map_err(|error| error.to_string())?;
        let name: Arc<str> = site.name.as_str().into();
        if self.sites.entries.contains_key(&name) {
            return Err(format!("there is a site `{name}` already: `twinmesh site remove {name}` first"));
        }
        if self.plane.is_none() {
            self.start_plane().await.map_err(|error| whole(&error))?;
            self.sites.alone = true;
        }
        let mut warnings = Vec::new();
        warnings.extend(without_raw_sockets(&mut site)?);
        if self.sites.plain.is_none() {
            match PlainIke::open(self.sites.plain_in.clone()) {
                Ok(plain) => self.sites.plain = Some(plain),
                Err(error) => warnings.push(format!(
                    "UDP port {PLAIN_IKE_PORT} cannot be used ({error}): peers that begin there are not heard"
                )),
            }
        }
        let local = self.local_end(&site)?;
        let (mut connection, preset) = site.connection(local);
        connection.additional_addresses = site.additional_addresses(local.ip(), &self.here.hosts);
        self.sites.engine.add_connection(connection);
        warnings.extend(site.weakness.map(|weakness| weakness.to_string()));
        let starts = site.starts();
        let mut message = format!("the site `{name}` is configured");
        message.push_str(if starts { " and the handshake begins" } else { " and waits for its peer" });
        message.push_str(" (`twinmesh site list` shows it)");
        for set in preset {
            message.push_str("\nby its vendor: ");
            message.push_str(set);
        }
        for warning in warnings {
            message.push_str("\nwarning: ");
            message.push_str(&warning);
        }
        tracing::info!(site = &*name, "a site is configured");
        let entry = Entry {
            site,
            ike_sa: None,
            connecting: starts,
            last_error: None,
            retry: Retry::default(),
            child_retry: Retry::default(),
            rekeyed: std::collections::BTreeMap::new(),
        };
        self.sites.entries.insert(name.clone(), entry);
        if starts {
            self.command(Command::Initiate { connection: name }, now);
        }
        Ok(message)
    }

    /// The way to the peer may lead from another address by now.
    pub(super) fn readdress(&mut self, name: &Arc<str>) {
        let Some(entry) = self.sites.entries.get(name) else { return };
        match self.local_end(&entry.site) {
            Ok(local) => {
                let (mut connection, _) = entry.site.connection(local);
                connection.additional_addresses =
                    entry.site.additional_addresses(local.ip(), &self.here.hosts);
                self.sites.engine.add_connection(connection);
            }
            Err(error) => tracing::debug!(site = &**name, error, "a site is tried from its old address"),
        }
    }

    /// This node's end, by the peer's.
    fn local_end(&self, site: &Site) -> Result<SocketAddr, String> {
        let (address, port) = match site.remote {
            Remote::At(remote) => {
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

    pub(in crate::daemon) async fn remove_site(&mut self, name: &str, now: Instant) -> Answer {
        let name: Arc<str> = name.into();
        if !self.sites.entries.contains_key(&name) {
            return Answer::Error(format!("there is no site `{name}`: `twinmesh site list` shows all"));
        }
        self.end_site(&name, now);
        self.sites.reroute = false;
        if self.sites.entries.is_empty() {
            self.sites.plain = None;
        }
        self.reroute_sas().await;
        self.leave_plane();
        tracing::info!(site = &*name, "a site is removed");
        Answer::ok(&Done { message: format!("the site `{name}` is gone") })
    }

    /// With all its SAs; the peer is told.
    fn end_site(&mut self, name: &Arc<str>, now: Instant) {
        self.command(Command::TerminateConnection { connection: name.clone() }, now);
        self.obey_engine(now);
        self.sites.engine.remove_connection(name);
        self.sites.entries.remove(name);
        self.sites.traces.forget(name);
        let prefix = format!("{name}/");
        self.sites.children.retain(|_, child| child.connection != *name);
        self.sites.lingering.retain(|(_, tunnel)| !tunnel.starts_with(&prefix));
        let Some(plane) = self.plane.as_mut() else { return };
        let gone: Vec<String> =
            plane.sas.keys().filter(|tunnel| tunnel.starts_with(&prefix)).cloned().collect();
        for tunnel in gone {
            plane.dataplane.remove_esp(&tunnel);
            plane.sas.remove(&tunnel);
        }
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
        self.sites.alone = false;
    }

    /// A data plane that ran for the sites alone goes with the last one.
    fn leave_plane(&mut self) {
        if self.sites.alone && self.sites.entries.is_empty() && self.session.is_none() {
            self.stop_plane();
        }
    }
}
