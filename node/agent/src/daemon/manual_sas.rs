//! `sa add` and `sa remove`, and what becomes of SAs keyed by hand: they live as long as the data plane, and no
//! longer.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use twinmesh_dataplane::esp::{LifetimeState, SealError};
use twinmesh_dataplane::{EspStatus, SaStatus};

use super::agent::Agent;
use super::plane::Plane;
use super::sa_routes::Installed;
use super::sites::is_of_node;
use crate::api::{Answer, Done, SaAdd, SaOrigin, SaState};
use crate::network::sweep_detours;
use crate::sa::{KeyDigest, ManualSa};

/// Lifetimes are looked at so often.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// What outlives the data plane.
#[derive(Default)]
pub(super) struct ManualSas {
    /// Every key that this daemon has ever taken. With it again, sequence numbers would start at 1 again, and
    /// packets would share nonces (RFC 4106 §2, RFC 7634 §5).
    used: BTreeSet<KeyDigest>,
    due: Option<Instant>,
    /// Rules may be left over from detours that ended with their TUN device.
    pub(super) sweep: bool,
}

impl Agent {
    pub(super) async fn add_sas(&mut self, add: &SaAdd, now: Instant) -> Answer {
        let added = self.try_add_sas(add).await;
        self.manual_sas.due = self.has_sas().then_some(now + WATCH_INTERVAL);
        match added {
            Ok(names) => {
                let mut message = match names.as_slice() {
                    [name] => format!("the SAs of `{name}` are in place"),
                    names => format!("the SAs of {} tunnels are in place: {}", names.len(), names.join(", ")),
                };
                message.push_str(" (`twinmesh sa` shows them)");
                if let Some(problem) = self.strict_reverse_path(&names) {
                    message.push_str("\nwarning: ");
                    message.push_str(&problem);
                }
                Answer::ok(&Done { message })
            }
            Err(reason) => Answer::Error(reason),
        }
    }

    /// All or none; the names, or why not.
    async fn try_add_sas(&mut self, add: &SaAdd) -> Result<Vec<String>, String> {
        if !self.settings.allow_manual_sa {
            return Err(
                "this daemon takes no SAs keyed by hand, which are for tests and static interop only: \
                        start it with `twinmesh agent --allow-manual-sa`"
                    .to_owned(),
            );
        }
        let sas = ManualSa::read(add.text.expose(), &add.file).map_err(|error| error.to_string())?;
        let overlay = self.own_addresses();
        let Some(plane) = self.plane.as_mut() else {
            return Err("the tunnels are down, and SAs with them: `twinmesh up` first".to_owned());
        };
        for sa in &sas {
            let name = &sa.config.name;
            if plane.sas.contains_key(name) {
                return Err(format!("`{name}` has SAs already: `twinmesh sa remove {name}` first"));
            }
            if sa.keys.iter().any(|key| self.manual_sas.used.contains(key)) {
                return Err(format!(
                    "a key of `{name}` was in use before: sequence numbers would start again, and packets would share \
                     nonces with old ones. Give both ends new keys (`openssl rand -hex N`)"
                ));
            }
        }
        let keys: Vec<KeyDigest> = sas.iter().flat_map(|sa| sa.keys).collect();
        let mut names = Vec::new();
        let mut refusal = None;
        for sa in sas {
            let (name, installed) = (sa.config.name.clone(), Installed::new(&sa));
            if let Err(error) = plane.dataplane.add_esp(sa.config) {
                refusal = Some(format!("`{name}`: {error}"));
                break;
            }
            plane.sas.insert(name.clone(), installed);
            names.push(name);
        }
        if refusal.is_none() {
            refusal = plane.route(self.stored.map.as_ref(), &overlay, &self.here).await.err();
        }
        let touched = plane.dataplane.esp_status().iter().any(|status| {
            names.contains(&status.name) && (status.inbound.sequence > 0 || status.outbound.sequence > 0)
        });
        if refusal.is_none() || touched {
            self.manual_sas.used.extend(keys);
        }
        if let Some(reason) = refusal {
            for name in &names {
                plane.remove_sa(name);
            }
            plane.route(self.stored.map.as_ref(), &overlay, &self.here).await.ok();
            return Err(format!("{reason}; nothing of {} was added", add.file));
        }
        for name in &names {
            tracing::info!(sa = name, "SAs keyed by hand are in place");
        }
        Ok(names)
    }

    pub(super) async fn remove_sa(&mut self, name: &str) -> Answer {
        let origin = self.plane.as_ref().and_then(|plane| plane.sas.get(name)).map(|sa| sa.origin);
        if is_of_node(name) {
            return Answer::Error(format!(
                "`{name}` carries the traffic of a peer: the network map says when it goes"
            ));
        }
        if origin == Some(SaOrigin::Ike) {
            return Answer::Error(format!("`{name}` belongs to a site: `twinmesh site remove` ends it"));
        }
        if !self.plane.as_mut().is_some_and(|plane| plane.remove_sa(name)) {
            return Answer::Error(match &self.plane {
                Some(_) => format!("there are no SAs called `{name}`: `twinmesh sa` lists them"),
                None => "the tunnels are down, and all SAs are gone with them".to_owned(),
            });
        }
        self.reroute_sas().await;
        tracing::info!(sa = name, "SAs keyed by hand are removed");
        let message = format!("the SAs of `{name}` are gone; their keys cannot be used again");
        Answer::ok(&Done { message })
    }

    /// Brings routes and detours to the SAs there are and to this machine's present addresses.
    pub(super) async fn reroute_sas(&mut self) {
        let overlay = self.own_addresses();
        if let Some(plane) = self.plane.as_mut() {
            // What is refused is shown by `sa`.
            plane.route(self.stored.map.as_ref(), &overlay, &self.here).await.ok();
        }
    }

    pub(super) fn own_addresses(&self) -> Vec<std::net::IpAddr> {
        self.stored.map.as_ref().map(|map| map.own.addresses.clone()).unwrap_or_default()
    }

    pub(super) fn has_sas(&self) -> bool {
        self.plane.as_ref().is_some_and(|plane| !plane.sas.is_empty() || !plane.guards.is_empty())
    }

    pub(super) fn sas_due(&self) -> Option<Instant> {
        self.manual_sas.due.filter(|_| self.has_sas())
    }

    /// Says once when a lifetime is over.
    pub(super) fn watch_sas(&mut self, now: Instant) {
        if self.sas_due().is_none_or(|due| now < due) {
            return;
        }
        self.manual_sas.due = Some(now + WATCH_INTERVAL);
        if let Some(plane) = self.plane.as_mut() {
            plane.tell_of_lifetimes();
        }
    }

    /// After the end of a TUN device.
    pub(super) async fn sweep_if_due(&mut self) {
        if std::mem::take(&mut self.manual_sas.sweep) {
            sweep_detours(&self.netlink).await;
        }
    }
}

impl Plane {
    fn remove_sa(&mut self, name: &str) -> bool {
        let known = self.sas.remove(name).is_some();
        if known {
            self.dataplane.remove_esp(name);
        }
        known
    }

    fn tell_of_lifetimes(&mut self) {
        for status in self.dataplane.esp_status() {
            // A site's SAs are replaced in time.
            let manual = self.sas.get_mut(&status.name).filter(|sa| sa.origin == SaOrigin::Manual);
            if let Some(sa) = manual {
                tell(&status, &mut sa.told);
            }
        }
    }
}

fn tell(status: &EspStatus, told: &mut [SaState; 2]) {
    let directions = [("inbound", &status.inbound), ("outbound", &status.outbound)];
    for ((direction, sa), told) in directions.into_iter().zip(told) {
        let state = state(sa);
        if state <= *told {
            continue;
        }
        *told = state;
        let (name, spi) = (&status.name, sa.parameters.spi);
        match state {
            SaState::Active => {}
            SaState::Expiring => {
                tracing::warn!(sa = name, direction, %spi, "an SA has passed its soft limit: new keys are due");
            }
            SaState::Expired => {
                tracing::error!(sa = name, direction, %spi, "an SA has passed its hard limit: nothing passes");
            }
        }
    }
}

/// The state of one direction.
pub(super) fn state(sa: &SaStatus) -> SaState {
    if sa.counters.refusals().any(|(reason, _)| reason == SealError::SequenceExhausted) {
        return SaState::Expired;
    }
    match sa.lifetime {
        LifetimeState::Fresh => SaState::Active,
        LifetimeState::Soft => SaState::Expiring,
        LifetimeState::Hard => SaState::Expired,
    }
}
