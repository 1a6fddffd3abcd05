//! The guards of the children, and the routes that lead traffic to them.

use std::collections::{BTreeMap, BTreeSet};

use twinmesh_dataplane::{GuardAction, GuardConfig};

use super::super::agent::Agent;
use super::super::sa_routes::Installed;
use super::Entry;

/// Name of a child's guard.
pub(super) fn guard_name(site: &str, child: &str) -> String {
    format!("{site}/{child}")
}

/// The site and the child of a guard; neither has the character between them in its name.
pub(super) fn child_of(guard: &str) -> Option<(&str, &str)> {
    guard.split_once('/')
}

/// Guards as the data plane has them, and what is routed for each.
pub(in crate::daemon) type Guards = BTreeMap<String, (GuardConfig, Installed)>;

impl Agent {
    /// Brings the data plane's guards to the sites.
    pub(super) fn set_guards(&mut self) {
        self.sites.reguard = false;
        let wanted: Vec<(GuardConfig, Installed)> =
            self.sites.in_order().into_iter().flat_map(|entry| self.guards_of(entry)).collect();
        let Some(plane) = self.plane.as_mut() else { return };
        let names: BTreeSet<&str> = wanted.iter().map(|(config, _)| config.name.as_str()).collect();
        let gone: Vec<String> =
            plane.guards.keys().filter(|name| !names.contains(name.as_str())).cloned().collect();
        for name in gone {
            plane.dataplane.remove_guard(&name);
            plane.guards.remove(&name);
            self.sites.reroute = true;
        }
        for (config, installed) in wanted {
            let known = plane.guards.get(&config.name);
            if known.is_none_or(|(known, _)| *known != config) {
                plane.dataplane.set_guard(config.clone());
            }
            self.sites.reroute |= known.is_none_or(|(_, known)| *known != installed);
            plane.guards.insert(config.name.clone(), (config, installed));
        }
    }

    fn guards_of(&self, entry: &Entry) -> Vec<(GuardConfig, Installed)> {
        let site = &entry.site;
        let local = self.local_end(site).ok().map(|local| local.ip()).filter(|local| !local.is_unspecified());
        let guard = |child: &crate::site::SiteChild| {
            let selectors = child.guarded(local, site.remote);
            let destinations = child.destinations(&selectors.remote);
            let calls = entry.calls(child) && !entry.retry.waits() && !entry.child_retry.waits();
            let installed = Installed::of_guard(
                &selectors,
                destinations,
                local.filter(|_| child.is_transport()),
                site.remote,
            );
            let action = if calls { GuardAction::Call } else { GuardAction::Refuse };
            let config = GuardConfig { name: guard_name(&site.name, child.name()), selectors, action };
            (config, installed)
        };
        site.children.iter().map(guard).collect()
    }
}
