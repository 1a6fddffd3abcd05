//! Whose the messages are that a step has sent or received, and the keys that it has made.

use std::sync::Arc;

use super::Engine;
use crate::output::{IkeSaId, Output};
use crate::session::{Path, Session};
use crate::trace::{Discarded, Trace, Traced, Tracing};
use crate::wire::Header;

/// Whose a message is.
#[derive(Clone)]
pub(super) struct Owner {
    connection: Option<Arc<str>>,
    ike_sa: IkeSaId,
}

impl Engine {
    /// What is told from now on. Off at first, and then it costs nothing.
    pub fn set_tracing(&mut self, tracing: Tracing) {
        if tracing.keys && !self.shared.tracing.keys {
            let secures = self.shared.sessions.values_mut().filter_map(Session::secure);
            secures.for_each(|secure| secure.told = true);
        }
        self.shared.tracing = tracing;
    }

    /// The keys of all IKE SAs that there are.
    pub fn keys(&mut self) -> Vec<Trace> {
        self.shared.sessions.values_mut().filter_map(keys_of).collect()
    }

    pub(super) fn owner(&self, session: &Session) -> Option<Owner> {
        let owner = || Owner { connection: session.connection().map(Arc::from), ike_sa: session.core.id };
        self.shared.tracing.messages.then(owner)
    }

    /// Of the outputs from this place on. A peer may have become known meanwhile.
    pub(super) fn own(&mut self, from: usize, before: Option<Owner>, after: Option<Owner>) {
        let Some(owner) = after.or_else(|| before.clone()) else { return };
        let connection = owner.connection.or_else(|| before.and_then(|before| before.connection));
        for output in self.shared.outputs.range_mut(from..) {
            if let Output::Trace(trace) = output {
                trace.connection = trace.connection.take().or_else(|| connection.clone());
                trace.ike_sa = trace.ike_sa.or(Some(owner.ike_sa));
            }
        }
    }

    pub(super) fn dropped(&mut self, path: Path, header: Option<Header>, reason: Discarded) {
        if self.shared.tracing.messages {
            let Path { local, remote } = path;
            let what = Traced::Dropped { header, reason };
            let trace = Trace { connection: None, ike_sa: None, local, remote, what };
            self.shared.outputs.push_back(Output::Trace(Box::new(trace)));
        }
    }
}

/// Once for each set of keys.
pub(super) fn new_keys(session: &mut Session) -> Option<Trace> {
    let secure = session.secure().filter(|secure| !secure.told)?;
    secure.told = true;
    keys_of(session)
}

fn keys_of(session: &mut Session) -> Option<Trace> {
    let spis = session.core.spis();
    let keys = session.secure()?.ike_keys(spis);
    let Path { local, remote } = session.core.path;
    let connection = session.connection().map(Arc::from);
    let ike_sa = Some(session.core.id);
    Some(Trace { connection, ike_sa, local, remote, what: Traced::Keys(Box::new(keys)) })
}
