//! `relay`

use std::net::SocketAddr;

use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::CommandError;
use super::arguments::{RelayArguments, RelayLimits};
use super::serve::start_logging;
use crate::relay::{RelayAt, RelayError, RelaySecret, RelayServer, RelaySettings, TlsAt};

pub(super) fn run(arguments: &RelayArguments) -> Result<(), CommandError> {
    start_logging();
    let secret = RelaySecret::read(&arguments.secret_file)?;
    let at = relay_at(arguments.listen, &arguments.limits)?;
    let fingerprint = secret.fingerprint().map_err(RelayError::from)?;
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *random).map_err(|_| CommandError::Random)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CommandError::Runtime)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CommandError::Signals)?;
        let relay = RelayServer::bind(&at, secret, random, None)?;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            listen = %relay.local_addr(),
            tls = ?relay.tls_addr(),
            addresses = ?at.settings.addresses,
            %fingerprint,
            "the relay serves"
        );
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

/// A relay that listens at `listen`.
pub(super) fn relay_at(listen: SocketAddr, limits: &RelayLimits) -> Result<RelayAt, CommandError> {
    let mut addresses = limits.addresses.clone();
    if addresses.is_empty() && !listen.ip().is_unspecified() {
        addresses.push(listen.ip());
    }
    if addresses.is_empty() {
        return Err(CommandError::NoRelayAddress);
    }
    let settings = RelaySettings {
        addresses,
        node_rate: limits.node_rate.saturating_mul(1_000_000 / 8),
        most_allocations: limits.allocations,
        most_allocations_of_node: limits.node_allocations,
    };
    Ok(RelayAt { listen, tls: limits.tls.unwrap_or(TlsAt::Beside), settings })
}
