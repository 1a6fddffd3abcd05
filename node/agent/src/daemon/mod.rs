//! The daemon `twinmesh agent`: one thread that waits for the coordinator, the local API, the data plane's
//! events, changes of the network, and timers.
//!
//! ```text
//!   local API ───── Call ───►┌───────┐── set_peer … ──► Dataplane (threads of its own)
//!   NetworkWatch ─ Changes ─►│ Agent │── addresses ───► Interface (netlink)
//!   Dataplane ───── Event ──►│       │── frames ──────► Connection (QUIC)
//!   Connection ── messages ─►└───────┘── whole files ─► StateFolder
//! ```

mod agenda;
mod agent;
mod change;
mod explain;
mod history;
mod lifetime;
mod login;
mod logout;
mod manual_sas;
mod netcheck;
mod paths;
mod pending;
mod plane;
mod port_mapping;
mod reach;
mod relays;
mod report;
mod running;
mod sa_routes;
mod sa_status;
mod sites;
mod status;
mod stored;
mod trace;
mod tunnels;
mod uplink;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use twinmesh_dataplane::{Offload, StartError};

use crate::api::{ApiServer, SocketError};
use crate::log::RecentLog;
use crate::network::watch_network;
use crate::state::{StateError, StateFolder};
use agent::Agent;
use lifetime::Lifetimes;
use netcheck::Netcheck;
use relays::Relays;

/// How the daemon runs.
#[derive(Clone, Debug)]
pub struct Settings {
    pub state: PathBuf,
    pub socket: PathBuf,
    pub tun: String,
    /// UDP port of the data plane, 0 for any free one.
    pub port: u16,
    /// 0: one per core.
    pub workers: usize,
    /// What the kernel may do for the data plane.
    pub offload: Offload,
    /// Age at which keys of ESP with other nodes are replaced.
    pub esp_rekey: Duration,
    /// Whether `sa add` is allowed.
    pub allow_manual_sa: bool,
    /// Where the lines of the log are kept for whoever asks.
    pub log: RecentLog,
}

/// The daemon cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("cannot make an identity key: {0}")]
    IdentityKey(#[source] twinmesh_control::KeyError),
    #[error("no random numbers from the operating system")]
    Random,
    #[error("cannot watch the network (netlink): {0}")]
    Netlink(#[source] std::io::Error),
    /// In words with its causes.
    #[error("{}", agent::whole(.0))]
    Dataplane(StartError),
    #[error("cannot catch signals: {0}")]
    Signals(#[source] std::io::Error),
}

impl From<StartError> for DaemonError {
    fn from(error: StartError) -> Self {
        Self::Dataplane(error)
    }
}

/// Requests that may wait for the daemon.
const CALLS: usize = 16;
/// Frames that may wait for the daemon; then the coordinator's connection waits.
const FRAMES: usize = 64;
/// Events of the data plane that may wait; then they are lost.
const EVENTS: usize = 1024;
/// IKE messages from UDP port 500 that may wait; then they are lost.
const PLAIN_MESSAGES: usize = 256;
/// Messages of relays that may wait; then their streams wait.
const RELAY_MESSAGES: usize = 256;
/// Without any timer the loop still looks around now and then.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Runs until SIGTERM or SIGINT; then everything is put back as it was: TUN device, routes, socket.
pub async fn run(settings: Settings) -> Result<(), DaemonError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Signals)?;
    let folder = StateFolder::open(&settings.state)?;
    let (calls_in, mut calls) = mpsc::channel(CALLS);
    let api = ApiServer::start(&settings.socket, calls_in).await?;
    let network = watch_network(&settings.tun).map_err(DaemonError::Netlink)?;
    let mut changes = network.changes.clone();
    let (frames_in, mut frames) = mpsc::channel(FRAMES);
    let (events_in, mut events) = mpsc::channel(EVENTS);
    let (plain_in, mut plain) = mpsc::channel(PLAIN_MESSAGES);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        state = %settings.state.display(),
        socket = %settings.socket.display(),
        "the twinmesh agent runs"
    );
    let (streams_in, mut streams) = mpsc::channel(RELAY_MESSAGES);
    let relays = Relays::new(streams_in, agent::random()?);
    // One measurement at a time.
    let (measured_in, mut measured) = mpsc::channel(1);
    // Nor more than one for each IP version.
    let (lived_in, mut lived) = mpsc::channel(2);
    let lifetimes = Lifetimes::new(lived_in, agent::random()?);
    let netcheck = Netcheck::new(measured_in, agent::random()?, lifetimes);
    let mut agent = Agent::new(
        settings,
        folder,
        network.handle.clone(),
        frames_in,
        events_in,
        plain_in,
        (netcheck, relays),
    )?;
    let mut mapped = agent.mapper.found.clone();
    agent.start(Instant::now()).await?;

    loop {
        let wake = agent.poll_timeout().unwrap_or_else(|| Instant::now() + LONGEST_WAIT);
        // Each branch only receives or sleeps, and so loses nothing when another one wins.
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            Some(call) = calls.recv() => agent.handle_call(call, Instant::now()).await,
            Some((number, event)) = frames.recv() => agent.handle_connection(number, event, Instant::now()),
            Some(event) = events.recv() => agent.handle_dataplane(event, Instant::now()),
            Some(event) = streams.recv() => agent.handle_relay_stream(event, Instant::now()),
            Some(measured) = measured.recv() => agent.handle_measured(measured, Instant::now()),
            Some(lived) = lived.recv() => agent.handle_lifetime(lived),
            // The endpoints are looked at after every branch.
            Ok(()) = mapped.changed() => {}
            Some(message) = plain.recv() => agent.handle_plain_ike(&message, Instant::now()),
            Ok(()) = changes.changed() => {
                let seen = *changes.borrow_and_update();
                agent.handle_network(seen, Instant::now()).await;
            }
            () = tokio::time::sleep_until(wake.into()) => {}
        }
        agent.drive(Instant::now()).await;
    }
    tracing::info!("the twinmesh agent ends");
    drop(api);
    agent.stop().await;
    Ok(())
}
