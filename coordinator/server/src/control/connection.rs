//! One node's connection: greeting, then its map's changes to it and its reports from it.

use std::collections::BTreeSet;
use std::time::Duration;

use quinn::{ReadError, WriteError};
use tokio::time::{Instant, sleep_until, timeout};
use twinmesh_control::{
    CoordinatorMessage, FrameError, NodeId, NodeMessage, RefusalCode, Report, Revision, Revoked, Welcome,
};

use super::arrival::Arrival;
use super::doubts::Doubts;
use super::greeting::{admit, greet, refusal, unavailable};
use super::pace::Pace;
use super::relays::RENEWAL;
use super::stream::Stream;
use super::{GREETING_TIMEOUT, Greetings};
use crate::clock::now;
use crate::mesh::Mesh;
use crate::network::Update;
use crate::store::Reach;

/// Changes that come this close together go to a node as one delta.
const GATHER: Duration = Duration::from_millis(25);
/// How long after a failure to try again to store where a node can be reached.
const STORE_AGAIN: Duration = Duration::from_secs(5);

/// Why a connection ended. All of it is the node's affair or the network's.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("no greeting within {} s", GREETING_TIMEOUT.as_secs())]
    Silent,
    #[error("the node showed no identity key")]
    NoIdentity,
    #[error("{0}")]
    Connection(#[from] quinn::ConnectionError),
    #[error("reading: {0}")]
    Read(#[from] ReadError),
    #[error("writing: {0}")]
    Write(#[from] WriteError),
    #[error("TLS: {0}")]
    Tls(std::io::Error),
    #[error("the node does not read what it is told")]
    Stuck,
    #[error("the node's first message was neither hello nor enrol")]
    NoGreeting,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("refused: {0}")]
    Refused(RefusalCode),
    #[error("the node hung up before its first message")]
    Finished,
    #[error("the stream ends within a message")]
    CutShort,
}

impl ConnectionError {
    /// Whether the node speaks our protocol wrongly, and is told so.
    pub(super) fn is_fault(&self) -> bool {
        matches!(self, Self::Frame(_) | Self::CutShort)
    }
}

/// Serves one node until its connection ends.
pub(super) async fn serve(arrival: Arrival, greetings: Greetings) -> Result<(), ConnectionError> {
    let remote = arrival.remote();
    let greeting = async {
        let (identity, mut stream, unproven) = arrival.open().await?;
        let first = match stream.receive().await {
            Ok(Some(first)) => first,
            Ok(None) => return Err(ConnectionError::Finished),
            Err(error) => return Err(stream.blame(error).await),
        };
        Ok((identity, stream, first, unproven))
    };
    let (identity, mut stream, first, unproven) =
        timeout(GREETING_TIMEOUT, greeting).await.map_err(|_| ConnectionError::Silent)??;

    let greeted = match first {
        NodeMessage::Hello(hello) => {
            let have = hello.revision;
            greet(&greetings.mesh, identity, hello).await.map(|id| (id, have))
        }
        NodeMessage::Enrol(enrol) => admit(&greetings.mesh, identity, enrol).await.map(|id| (id, None)),
        NodeMessage::Report(_)
        | NodeMessage::Ack(_)
        | NodeMessage::Leave(_)
        | NodeMessage::Unknown(_)
        | _ => Err(refusal(RefusalCode::ProtocolViolation, ConnectionError::NoGreeting.to_string())),
    };
    let (id, have) = match greeted {
        Ok(greeted) => greeted,
        Err(refusal) => {
            tracing::info!(%remote, identity = %identity.fingerprint(), code = %refusal.code, "a node was refused");
            let code = refusal.code.clone();
            stream.last_word(refusal.into()).await;
            return Err(ConnectionError::Refused(code));
        }
    };

    drop(unproven);
    stream.greeted();
    tracing::debug!(node = %id, %remote, "a node is connected");
    let presence = Present::new(&greetings.mesh, id);
    let welcome = Welcome {
        id,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        features: BTreeSet::new(),
        stun_port: Some(greetings.stun_port),
        stun_other_port: greetings.stun_other_port,
    };
    let served = match stream.send(&welcome.into()).await {
        Ok(()) => converse(&mut stream, &greetings, id, have).await,
        Err(error) => Err(error),
    };
    stream.close();
    presence.end().await;
    served
}

/// Counts a node as connected for as long as it lives, also if the task is dropped.
struct Present {
    mesh: Mesh,
    id: NodeId,
    ended: bool,
}

impl Present {
    fn new(mesh: &Mesh, id: NodeId) -> Self {
        mesh.connected(id);
        Self { mesh: mesh.clone(), id, ended: false }
    }

    async fn end(mut self) {
        self.ended = true;
        self.mesh.disconnected(self.id).await;
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        if !self.ended {
            self.mesh.hung_up(self.id);
        }
    }
}

/// Tells the node what changes and hears its reports, until it hangs up, leaves or is removed.
async fn converse(
    stream: &mut Stream,
    Greetings { mesh, relays, .. }: &Greetings,
    id: NodeId,
    mut have: Option<Revision>,
) -> Result<(), ConnectionError> {
    let mut revisions = mesh.revisions();
    let mut told = Instant::now();
    // The first update is due now.
    let mut due = Some(told);
    let mut pace = Pace::default();
    let mut held: Option<Held> = None;
    let mut doubts = Doubts::default();
    let mut renewal = told;
    loop {
        // Each branch only receives or sleeps, and so loses nothing when another one wins.
        tokio::select! {
            changed = revisions.changed(), if due.is_none() => {
                if changed.is_err() {
                    return Ok(());
                }
                due = Some(Instant::now().max(told + GATHER));
            }
            () = sleep_until(due.unwrap_or(told)), if due.is_some() => {
                due = None;
                revisions.mark_unchanged();
                let (message, now_at) = match mesh.update(id, have) {
                    None => {
                        let reason = "it was removed from the network by an administrator".to_owned();
                        stream.last_word(Revoked { reason }.into()).await;
                        return Ok(());
                    }
                    Some(Update::Nothing) => continue,
                    Some(Update::Delta(delta)) => {
                        let to = delta.to;
                        (CoordinatorMessage::from(delta), to)
                    }
                    Some(Update::Snapshot(map)) => {
                        let revision = map.revision;
                        (CoordinatorMessage::from(map), revision)
                    }
                };
                stream.send(&message).await?;
                have = Some(now_at);
                told = Instant::now();
            }
            // After the map, if both are due.
            () = sleep_until(renewal), if due.is_none() => {
                if let Some(relays) = relays.of(id, now()) {
                    stream.send(&relays.into()).await?;
                }
                renewal = Instant::now() + RENEWAL;
            }
            () = sleep_until(held.as_ref().map_or(told, |held| held.due)), if held.is_some() => {
                if let Some(Held { reach, .. }) = held.take() {
                    held = store_reach(mesh, id, reach, &mut pace).await;
                }
            }
            () = sleep_until(doubts.next().unwrap_or(told)), if doubts.next().is_some() => {
                let lasting = doubts.lasting(Instant::now());
                if let Err(error) = mesh.report_failures(id, &lasting).await {
                    // The node repeats what goes on.
                    tracing::error!(%error, node = %id, "what failed between nodes is not stored");
                }
            }
            received = stream.receive() => match received {
                Ok(Some(NodeMessage::Report(Report { endpoints, tunnels, nat }))) => {
                    doubts.hear(&tunnels, Instant::now());
                    mesh.report(id, tunnels);
                    let reach = Reach { endpoints, nat };
                    let now = Instant::now();
                    held = match pace.next(now) {
                        due if due > now => Some(Held { reach, due }),
                        _ => store_reach(mesh, id, reach, &mut pace).await,
                    };
                }
                Ok(Some(NodeMessage::Leave(_))) => {
                    match mesh.remove(id).await {
                        Ok(_) => tracing::info!(node = %id, "a node has left"),
                        Err(error) => {
                            stream.last_word(unavailable(&error).into()).await;
                        }
                    }
                    return Ok(());
                }
                Ok(Some(NodeMessage::Ack(ack))) => tracing::trace!(node = %id, revision = %ack.revision, "acknowledged"),
                Ok(Some(NodeMessage::Hello(_) | NodeMessage::Enrol(_))) => {
                    let again = refusal(RefusalCode::ProtocolViolation, "a second greeting on one connection".to_owned());
                    stream.last_word(again.into()).await;
                    return Err(ConnectionError::Refused(RefusalCode::ProtocolViolation));
                }
                // Words of a later version that this one does not know.
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(stream.blame(error).await),
            },
        }
    }
}

/// Where a node can be reached, to be stored later: it says so once only.
struct Held {
    reach: Reach,
    due: Instant,
}

async fn store_reach(mesh: &Mesh, id: NodeId, reach: Reach, pace: &mut Pace) -> Option<Held> {
    match mesh.report_reach(id, reach.clone()).await {
        Ok(is_told) => {
            if is_told {
                pace.spend(Instant::now());
            }
            None
        }
        Err(error) => {
            tracing::error!(%error, node = %id, "where a node can be reached is not stored yet");
            Some(Held { reach, due: Instant::now() + STORE_AGAIN })
        }
    }
}
