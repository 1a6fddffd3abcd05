//! The engine's inputs and outputs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Instant, SystemTime};

use twinmesh_ike::{Command, Output, Transmit};

use super::super::agent::Agent;
use crate::network::{PLAIN_IKE_PORT, PlainMessage, source_address};

impl Agent {
    /// From the shared port; `to` is this node's address.
    pub(in crate::daemon) fn handle_ike(
        &mut self,
        from: SocketAddr,
        to: Option<IpAddr>,
        datagram: &[u8],
        now: Instant,
    ) {
        self.ike_called(from, datagram, now);
        if !self.sites.is_idle() {
            let local = SocketAddr::new(local_address(from.ip(), to), self.here.port);
            self.sites.engine.handle_input(now, local, from, datagram, &mut random);
        }
    }

    /// From port 500.
    pub(in crate::daemon) fn handle_plain_ike(&mut self, received: &PlainMessage, now: Instant) {
        let PlainMessage { from, to, message } = received;
        if !self.sites.is_idle() {
            let local = SocketAddr::new(local_address(from.ip(), *to), PLAIN_IKE_PORT);
            self.sites.engine.handle_input(now, local, *from, message, &mut random);
        }
    }

    /// Does what is due, and what the engine wants.
    pub(in crate::daemon) async fn drive_sites(&mut self, now: Instant) {
        if self.sites.is_idle() {
            return;
        }
        // It may have been set meanwhile.
        self.sites.engine.set_wall_clock(now, SystemTime::now());
        self.watch_children(now);
        self.retry_sites(now);
        self.drive_nodes(now);
        self.sites.engine.handle_timeout(now, &mut random);
        self.obey_engine(now);
        if self.sites.reguard {
            self.set_guards();
        }
        if std::mem::take(&mut self.sites.reroute) {
            self.reroute_sas().await;
        }
    }

    /// Takes all outputs.
    pub(super) fn obey_engine(&mut self, now: Instant) {
        while let Some(output) = self.sites.engine.poll_output() {
            match output {
                Output::Transmit(transmit) => self.transmit(&transmit),
                Output::Event(event) => {
                    self.sites.reguard = true;
                    self.handle_ike_event(event, now);
                }
                Output::Trace(trace) => self.sites.traces.trace(*trace, SystemTime::now()),
            }
        }
    }

    /// From the address at which the peer knows this node (RFC 7296 §2.11).
    fn transmit(&self, Transmit { local, remote, datagram }: &Transmit) {
        let from = Some(local.ip()).filter(|from| !from.is_unspecified());
        let sent = match (&self.sites.plain, &self.plane) {
            (Some(plain), _) if local.port() == PLAIN_IKE_PORT => plain.send(from, *remote, datagram),
            (_, Some(plane)) if local.port() != PLAIN_IKE_PORT => {
                plane.dataplane.send_datagram(from, *remote, datagram)
            }
            (None | Some(_), Some(_)) | (_, None) => Ok(()),
        };
        if let Err(error) = sent {
            tracing::debug!(%remote, %error, "an IKE message was not sent");
        }
    }

    pub(super) fn command(&mut self, command: Command, now: Instant) {
        self.sites.engine.handle_command(now, command, &mut random);
    }
}

/// Which of this node's addresses a peer's messages come to.
fn local_address(from: IpAddr, to: Option<IpAddr>) -> IpAddr {
    to.or_else(|| source_address(from).ok()).unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}

/// The operating system's. Where it has none, nothing may be keyed: a daemon that went on would be worse than none.
pub(super) fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gave random numbers when the daemon started");
}
