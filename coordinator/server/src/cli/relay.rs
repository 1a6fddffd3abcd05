//! `relay`

use std::net::IpAddr;

use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::CommandError;
use super::arguments::{RelayArguments, RelayLimits};
use super::serve::start_logging;
use crate::relay::{RelaySecret, RelayServer, RelaySettings};

pub(super) fn run(arguments: &RelayArguments) -> Result<(), CommandError> {
    start_logging();
    let secret = RelaySecret::read(&arguments.secret_file)?;
    let settings = settings(arguments.listen.ip(), &arguments.limits)?;
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *random).map_err(|_| CommandError::Random)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CommandError::Runtime)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CommandError::Signals)?;
        let failed = |source| CommandError::Relay { address: arguments.listen, source };
        let relay = RelayServer::bind(arguments.listen, settings.clone(), secret, random, None).map_err(failed)?;
        let listen = relay.local_addr().map_err(failed)?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), %listen, addresses = ?settings.addresses, "the relay serves");
        relay
            .serve_until(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            })
            .await;
        Ok(())
    })
}

/// How a relay serves that listens at `listen`.
pub(super) fn settings(listen: IpAddr, limits: &RelayLimits) -> Result<RelaySettings, CommandError> {
    let mut addresses = limits.addresses.clone();
    if addresses.is_empty() && !listen.is_unspecified() {
        addresses.push(listen);
    }
    if addresses.is_empty() {
        return Err(CommandError::NoRelayAddress);
    }
    Ok(RelaySettings {
        addresses,
        node_rate: limits.node_rate.saturating_mul(1_000_000 / 8),
        most_allocations: limits.allocations,
        most_allocations_of_node: limits.node_allocations,
    })
}
