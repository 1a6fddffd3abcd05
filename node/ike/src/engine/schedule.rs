//! What SAs have before them, for those who look.

use super::Engine;
use crate::output::{ChildSaId, IkeSaId, Schedule};

impl Engine {
    /// Of an IKE SA; nothing of one that is gone or not yet established.
    pub fn ike_schedule(&self, ike_sa: IkeSaId) -> Schedule {
        let mut sessions = self.shared.sessions.values();
        let found =
            sessions.find(|session| session.core.id == ike_sa).and_then(|session| session.established());
        found.map_or_else(Schedule::default, |it| {
            let (expiry, reauth) = (it.expires_at.into_iter().chain(it.reauth.until).min(), it.reauth.at);
            Schedule { rekey: it.rekey_at, expiry, reauth }
        })
    }

    pub fn child_schedule(&self, child_sa: ChildSaId) -> Schedule {
        let established = self.shared.sessions.values().filter_map(|session| session.established());
        let found = established.into_iter().find_map(|it| it.children.by_id(child_sa));
        found.map_or_else(Schedule::default, |it| Schedule {
            rekey: it.rekey_at,
            expiry: it.expires_at,
            reauth: None,
        })
    }
}
