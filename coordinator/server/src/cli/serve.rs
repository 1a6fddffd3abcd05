//! `serve`

use std::io::{self, IsTerminal as _};

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::arguments::ServeArguments;
use super::{CommandError, output, relay};
use crate::control::{OtherRelay, Speaks};
use crate::serve::{Coordinator, Settings};
use crate::stun::StunSettings;

pub(super) fn run(arguments: ServeArguments) -> Result<(), CommandError> {
    start_logging();
    let relay = match arguments.relay {
        Some(listen) => Some(relay::relay_at(listen, &arguments.relay_limits)?),
        None => None,
    };
    let by_udp =
        arguments.other_relays.into_iter().map(|address| OtherRelay { address, speaks: Speaks::Udp });
    let settings = Settings {
        relay,
        other_relays: by_udp.chain(arguments.other_tls_relays).collect(),
        data: arguments.data.data,
        listen: arguments.listen,
        http: arguments.http,
        http_insecure: arguments.http_insecure,
        stun: StunSettings {
            address: arguments.stun,
            other_port: arguments.stun_other_port,
            other_addresses: arguments.stun_other_address,
        },
        network_name: arguments.network_name,
        advertise: arguments.advertise,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CommandError::Runtime)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CommandError::Signals)?;
        let mut coordinator = Coordinator::start(&settings).await?;
        if let Some(password) = coordinator.first_password.take() {
            output::remark(&format!(
                "\nFirst start. The administrator's account, shown this once:\n\n    name      admin\n    password  {}\n\n\
                 Next: `twinmesh-coordinator token create` lets a node join.\n",
                password.0.as_str()
            ));
        }
        coordinator
            .serve(async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            })
            .await;
        Ok(())
    })
}

/// Text on a terminal, JSON otherwise. `RUST_LOG` says how much.
pub(super) fn start_logging() {
    // The STUN codec warns of each malformed datagram: strangers must not write our log.
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,stun_types=error"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if io::stderr().is_terminal() { log.init() } else { log.json().init() }
}
