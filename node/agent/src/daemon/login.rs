//! `up`: what it begins. [`super::pending`] ends it.

use std::time::{Duration, Instant};

use nix::unistd::gethostname;
use tokio::sync::oneshot;
use twinmesh_control::{JoinToken, Preference};

use super::agent::{Agent, whole};
use super::pending::{JOIN, Pending, What};
use crate::api::{Answer, Up, UpDone, UpHow};
use crate::control::Greeting;
use crate::state::{Config, Coordinator, Wanted};

/// A node with a map is up without its coordinator; so long it may take to say whether that is there.
const COURTESY: Duration = Duration::from_secs(5);
/// Whoever asks for more time than this would overflow a clock, not wait longer.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24);

impl Agent {
    pub(super) async fn up(&mut self, up: Up, answer: oneshot::Sender<Answer>, now: Instant) {
        match self.begin_up(up, now).await {
            Ok(Begun::Done(done)) => {
                answer.send(Answer::ok(&done)).ok();
            }
            Ok(Begun::Waiting { what, until, timeout }) => {
                self.pending = Some(Pending { answer, until, timeout, what });
            }
            Err(reason) => {
                answer.send(Answer::Error(reason)).ok();
            }
        }
    }

    async fn begin_up(&mut self, up: Up, now: Instant) -> Result<Begun, String> {
        match self.pending.as_ref().map(|pending| &pending.what) {
            Some(What::LoggingOut) => return Err("a logout is under way: try again in a moment".to_owned()),
            Some(_) => return Err("another `up` is under way: see `twinmesh status`".to_owned()),
            None => {}
        }
        let timeout = Duration::from_secs(up.timeout_seconds).min(LONGEST_TIMEOUT);
        let address = up.coordinator.as_deref().map(str::parse).transpose();
        let address = address.map_err(|error: crate::control::AddressError| error.to_string())?;
        let preference = up.prefer.unwrap_or_else(|| self.stored.config.preference.clone());
        match (self.stored.config.coordinator.clone(), up.token) {
            (Some(_), None) if self.stored.config.removed.is_some() => {
                Err(format!("this node was removed from the network: to come back, {JOIN}"))
            }
            (Some(mut coordinator), None) => {
                let moved = address.is_some_and(|address| {
                    let moved = address != coordinator.address;
                    coordinator.address = address;
                    moved
                });
                self.begin_again(coordinator, preference, moved, timeout, now).await
            }
            (Some(coordinator), Some(_)) if self.stored.config.removed.is_none() => Err(format!(
                "this node already belongs to a network (its coordinator is {}): `twinmesh up` brings it up; to \
                 join another network, `twinmesh logout` first",
                coordinator.address
            )),
            (_, Some(token)) => {
                let Some(address) = address else {
                    return Err("a token needs its coordinator: --coordinator HOST".to_owned());
                };
                let token: JoinToken =
                    token.parse().map_err(|error: twinmesh_control::TokenError| error.to_string())?;
                let hostname = up.hostname.unwrap_or_else(own_hostname);
                let coordinator = Coordinator { address, fingerprint: token.fingerprint };
                let config = Config {
                    coordinator: Some(coordinator),
                    hostname: Some(hostname),
                    preference,
                    wanted: Wanted::Up,
                    removed: None,
                };
                self.begin_enrolment(config, &token, timeout, now).await
            }
            (None, None) => Err(format!("this node belongs to no network yet: {JOIN}")),
        }
    }

    async fn begin_enrolment(
        &mut self,
        config: Config,
        token: &JoinToken,
        timeout: Duration,
        now: Instant,
    ) -> Result<Begun, String> {
        // A full disk must be known before the token is used up.
        self.folder.store_config(&self.stored.config).map_err(|error| error.to_string())?;
        if self.stored.config.removed.is_some() {
            // Whoever removed the node may have had a reason to distrust its keys.
            self.stored.renew_keys(&self.folder).map_err(|error| error.to_string())?;
        }
        self.wake_sites();
        // Likewise a missing TUN device.
        self.start_plane().await.map_err(|error| whole(&error))?;
        let hostname = config.hostname.clone().unwrap_or_default();
        if let Some(coordinator) = config.coordinator.clone() {
            let greeting = Greeting::Enrol { token: token.secret.clone(), hostname };
            self.open_session(coordinator, greeting, config.preference.clone());
        }
        Ok(Begun::Waiting { what: What::Enrolling(config), until: now + timeout, timeout })
    }

    async fn begin_again(
        &mut self,
        coordinator: Coordinator,
        preference: Preference,
        moved: bool,
        timeout: Duration,
        now: Instant,
    ) -> Result<Begun, String> {
        // A wish is said in the greeting.
        let greets_again = moved || preference != self.stored.config.preference;
        let was_up = self.plane.is_some() && self.session.is_some() && !greets_again;
        self.wake_sites();
        self.start_plane().await.map_err(|error| whole(&error))?;
        let config = Config {
            coordinator: Some(coordinator.clone()),
            preference: preference.clone(),
            wanted: Wanted::Up,
            ..self.stored.config.clone()
        };
        self.folder.store_config(&config).map_err(|error| error.to_string())?;
        self.stored.config = config;
        if greets_again {
            self.close_session();
        }
        if self.session.is_none() {
            self.open_session(coordinator, Greeting::Hello, preference);
        }
        if was_up && let Some(done) = self.up_done(UpHow::AlreadyUp) {
            return Ok(Begun::Done(done));
        }
        let (what, timeout) = match self.stored.map {
            Some(_) => (What::Started, timeout.min(COURTESY)),
            None => (What::AwaitingMap(UpHow::Started), timeout),
        };
        Ok(Begun::Waiting { what, until: now + timeout, timeout })
    }
}

enum Begun {
    Done(UpDone),
    Waiting { what: What, until: Instant, timeout: Duration },
}

/// This machine's name as one DNS label.
fn own_hostname() -> String {
    let name = gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    to_label(&name)
}

fn to_label(name: &str) -> String {
    let first = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let allowed = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    // A DNS label has at most 63 bytes (RFC 1035 §2.3.4).
    let label: String = first.chars().map(allowed).take(63).collect();
    let label = label.trim_matches('-');
    if label.is_empty() { "node".to_owned() } else { label.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_host_name_becomes_a_dns_label() {
        for (name, label) in [
            ("alpha", "alpha"),
            ("Alpha.example.net", "alpha"),
            ("my_host", "my-host"),
            ("-x-", "x"),
            ("", "node"),
        ] {
            assert_eq!(to_label(name), label);
        }
        assert_eq!(to_label(&"a".repeat(80)).len(), 63);
    }
}
