//! Protocols that fail between two nodes: counted as the nodes report them, and over when their time is.

use std::time::Duration;

use tokio::time::sleep;
use twinmesh_control::{NodeId, TunnelReport};

use super::{Mesh, to_the_end};
use crate::clock::now;
use crate::network::FailureChange;
use crate::store::StoreError;

/// How long to wait at most before the clock is looked at again: somebody may set it.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
/// After the store refused.
const STORE_AGAIN: Duration = Duration::from_secs(5);

impl Mesh {
    /// Takes from what a node reported, and what has lasted, the failures that count.
    pub async fn report_failures(&self, id: NodeId, tunnels: &[TunnelReport]) -> Result<(), StoreError> {
        // Most reports tell of none.
        if self.state().counted(id, tunnels, now()).is_empty() {
            return Ok(());
        }
        let (mesh, tunnels) = (self.clone(), tunnels.to_vec());
        to_the_end(async move {
            let _changing = mesh.0.changing.lock().await;
            let changes = mesh.state().counted(id, &tunnels, now());
            mesh.put_failures(changes).await
        })
        .await
    }

    /// Lets protocols be tried again when their time is over; does not end.
    pub async fn end_failures(&self) {
        let mut revisions = self.revisions();
        loop {
            revisions.mark_unchanged();
            let next = self.state().next_end();
            let left = next.map(|at| Duration::from_secs(u64::try_from(at - now()).unwrap_or(0)));
            match left {
                Some(Duration::ZERO) => {
                    let mesh = self.clone();
                    if let Err(error) = to_the_end(async move { mesh.end_failures_now().await }).await {
                        tracing::error!(%error, "protocols that failed are not tried again yet");
                        sleep(STORE_AGAIN).await;
                    }
                }
                // Both only wait.
                left => tokio::select! {
                    changed = revisions.changed() => {
                        if changed.is_err() {
                            return;
                        }
                    }
                    () = sleep(left.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)) => {}
                },
            }
        }
    }

    async fn end_failures_now(&self) -> Result<(), StoreError> {
        let _changing = self.0.changing.lock().await;
        let ended = self.state().ended(now());
        self.put_failures(ended).await
    }

    /// The caller holds the lock of changes.
    async fn put_failures(&self, changes: Vec<FailureChange>) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let revision = self.0.store.store_failures(&changes).await?;
        for FailureChange { pair, failure, is_chosen_otherwise } in &changes {
            let [one, other] = pair.nodes();
            let (protocol, code) = (&failure.protocol, &failure.code);
            let (avoided, times) = (failure.is_avoided, failure.times);
            tracing::info!(%one, %other, %protocol, %code, avoided, times, is_chosen_otherwise, "a protocol failed, or may be tried again");
        }
        self.state_mut().put_failures(changes, revision);
        self.0.revision.send_replace(revision);
        Ok(())
    }
}
