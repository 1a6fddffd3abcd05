//! `site add`, `site remove`, `site up`, `site down`.

use std::sync::Arc;
use std::time::Instant;

use twinmesh_ike::Command;
use twinmesh_ike::config::StartAction;

use super::super::agent::{Agent, whole};
use super::life::without_raw_sockets;
use crate::api::{Answer, Done, SiteAdd};
use crate::site::Site;
use crate::state::StoredSite;

impl Agent {
    pub(in crate::daemon) async fn add_site(&mut self, add: &SiteAdd, now: Instant) -> Answer {
        let added = self.try_add_site(add, now).await;
        self.settle_sites().await;
        answer(added)
    }

    async fn try_add_site(&mut self, add: &SiteAdd, now: Instant) -> Result<String, String> {
        let mut site =
            Site::read(add.text.expose(), &add.file, &add.folder).map_err(|error| error.to_string())?;
        let name: Arc<str> = site.name.as_str().into();
        if self.sites.entries.contains_key(&name) {
            return Err(format!("there is a site `{name}` already: `twinmesh site remove {name}` first"));
        }
        self.wake_plane().await?;
        let mut warnings: Vec<String> = self.open_plain_ike().into_iter().collect();
        warnings.extend(without_raw_sockets(&mut site)?);
        warnings.extend(site.weaknesses().iter().map(ToString::to_string));
        let stored = StoredSite {
            name: site.name.clone(),
            file: add.file.clone(),
            folder: add.folder.clone(),
            text: add.text.clone(),
            files: site.files.clone(),
            down: false,
        };
        self.sites.unread.retain(|unread| unread.name != stored.name);
        self.sites.insert(site, stored);
        let prepared = self.prepare(&name).and_then(|preset| {
            self.store_sites().map_err(|error| error.to_string())?;
            Ok(preset)
        });
        let preset = match prepared {
            Ok(preset) => preset,
            Err(reason) => {
                self.forget_site(&name, now);
                return Err(reason);
            }
        };
        tracing::info!(site = &*name, "a site is configured");
        // Before the handshake, so that nothing slips by.
        self.set_guards();
        self.attempt(&name, now);
        Ok(self.added(&name, &preset, &warnings))
    }

    fn added(&self, name: &Arc<str>, preset: &[&str], warnings: &[String]) -> String {
        let mut message = format!("the site `{name}` is configured");
        if let Some(entry) = self.sites.entries.get(name) {
            let traps = entry.site.children.iter().any(|child| child.start() == StartAction::Trap);
            message.push_str(match (entry.connecting, traps) {
                (true, _) => " and the handshake begins",
                (false, true) => " and waits for traffic or its peer",
                (false, false) => " and waits for its peer",
            });
        }
        message.push_str(" (`twinmesh site list` shows it)");
        for set in preset {
            message.push_str("\nby its vendor: ");
            message.push_str(set);
        }
        for warning in warnings {
            message.push_str("\nwarning: ");
            message.push_str(warning);
        }
        message
    }

    pub(in crate::daemon) async fn remove_site(&mut self, name: &str, now: Instant) -> Answer {
        let removed = self.try_remove_site(name, now);
        self.settle_sites().await;
        answer(removed)
    }

    fn try_remove_site(&mut self, name: &str, now: Instant) -> Result<String, String> {
        let unread = self.sites.unread.len();
        self.sites.unread.retain(|stored| stored.name != name);
        if self.sites.unread.len() == unread {
            let name = self.known(name)?;
            self.forget_site(&name, now);
        }
        // Gone in any case; what is on disk may come back.
        self.store_sites()
            .map_err(|error| format!("the site `{name}` is gone until the next start: {error}"))?;
        tracing::info!(site = name, "a site is removed");
        Ok(format!("the site `{name}` is gone, and its traffic is not held back any more"))
    }

    fn forget_site(&mut self, name: &Arc<str>, now: Instant) {
        self.end_site(name, now);
        self.sites.entries.remove(name);
        self.sites.traces.forget(name);
    }

    pub(in crate::daemon) async fn site_up(&mut self, name: &str, now: Instant) -> Answer {
        let up = self.try_site_up(name, now).await;
        self.settle_sites().await;
        answer(up)
    }

    async fn try_site_up(&mut self, name: &str, now: Instant) -> Result<String, String> {
        let name = self.known(name)?;
        self.wake_plane().await?;
        let entry = self.sites.entries.get_mut(&name).ok_or("the site is gone")?;
        let was_down = std::mem::take(&mut entry.stored.down);
        entry.last_error = None;
        entry.after_loss = None;
        entry.retry.succeeded();
        entry.child_retry.succeeded();
        let (remote, standing, connecting) = (entry.site.remote, entry.ike_sa.is_some(), entry.connecting);
        let children: Vec<Arc<str>> = entry.site.children.iter().map(|child| child.name().into()).collect();
        if was_down {
            self.store_sites().map_err(|error| error.to_string())?;
        }
        if !standing && !connecting {
            self.prepare(&name)?;
        }
        let connection = name.clone();
        match remote.address() {
            None if !standing => {
                return Ok(format!("the site `{name}` is up and waits for its peer, which alone can begin"));
            }
            _ if standing => {
                for child in children {
                    let connection = connection.clone();
                    self.begin(Command::CreateChild { connection, child, trigger: None }, now);
                }
            }
            _ if connecting => {}
            _ => self.begin(Command::Initiate { connection }, now),
        }
        Ok(format!("the site `{name}` is up or comes up (`twinmesh site list` shows it)"))
    }

    pub(in crate::daemon) async fn site_down(&mut self, name: &str, now: Instant) -> Answer {
        let down = self.try_site_down(name, now);
        self.settle_sites().await;
        answer(down)
    }

    fn try_site_down(&mut self, name: &str, now: Instant) -> Result<String, String> {
        let name = self.known(name)?;
        if let Some(entry) = self.sites.entries.get_mut(&name) {
            entry.stored.down = true;
            entry.last_error = None;
        }
        self.end_site(&name, now);
        self.store_sites()
            .map_err(|error| format!("the site `{name}` is down until the next start: {error}"))?;
        tracing::info!(site = &*name, "a site is down");
        Ok(format!(
            "the site `{name}` is down; its traffic is dropped until `twinmesh site up {name}` or `site remove {name}`"
        ))
    }

    fn known(&self, name: &str) -> Result<Arc<str>, String> {
        match self.sites.entries.get_key_value(name) {
            Some((name, _)) => Ok(name.clone()),
            None => Err(format!("there is no site `{name}`: `twinmesh site list` shows all")),
        }
    }

    /// Sites run, and the data plane for them.
    async fn wake_plane(&mut self) -> Result<(), String> {
        self.wake_sites();
        self.start_plane().await.map_err(|error| whole(&error))
    }

    /// Guards, routes and data plane as they have to be after a request.
    async fn settle_sites(&mut self) {
        self.set_guards();
        self.sites.reroute = false;
        if self.sites.entries.is_empty() {
            self.sites.plain = None;
        }
        self.reroute_sas().await;
        self.leave_plane();
    }
}

fn answer(result: Result<String, String>) -> Answer {
    match result {
        Ok(message) => Answer::ok(&Done { message }),
        Err(reason) => Answer::Error(reason),
    }
}
