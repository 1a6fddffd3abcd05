//! A port of the router's own that leads to the data port: others reach it without a hole, whatever the router's NAT
//! does. Asked for with PCP (RFC 6887), NAT-PMP (RFC 6886) or UPnP's Internet Gateway Device, by IPv4.

mod gateway;
mod lease;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use rtnetlink::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::gateway::default_gateway;
use self::lease::{Lease, Lessee};
use super::source_address;

/// Who has no router that maps ports may get one, or its owner may allow it.
const RETRY: Duration = Duration::from_mins(5);
/// How long the end of the daemon may wait for the router to take its port back.
const PARTING: Duration = Duration::from_secs(1);

/// What a router was asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MappingProtocol {
    Pcp,
    NatPmp,
    Upnp,
}

impl MappingProtocol {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pcp => "pcp",
            Self::NatPmp => "nat-pmp",
            Self::Upnp => "upnp",
        }
    }
}

/// What the router says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PortMapping {
    /// It was not asked, or has not answered yet.
    #[default]
    Unknown,
    Mapped {
        protocol: MappingProtocol,
        outer: SocketAddr,
    },
    /// In words.
    Refused(String),
}

/// Which port to map; none: no mapping is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wish {
    port: Option<NonZeroU16>,
    /// Asks the router again when it counts up.
    round: u64,
}

/// Has a port mapped, and keeps it so. Ends when dropped, and then leaves the port to its lease.
pub struct PortMapper {
    wish: watch::Sender<Wish>,
    /// What came of it.
    pub found: watch::Receiver<PortMapping>,
    task: JoinHandle<()>,
}

impl Drop for PortMapper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PortMapper {
    /// In the network namespace of the calling thread.
    pub fn start(handle: Handle) -> Self {
        let (wish, wishes) = watch::channel(Wish::default());
        let (tell, found) = watch::channel(PortMapping::default());
        Self { wish, found, task: tokio::spawn(keep(handle, wishes, tell)) }
    }

    /// Has this port mapped from now on; none: gives the port back.
    pub fn want(&self, port: Option<NonZeroU16>) {
        self.wish.send_if_modified(|wish| std::mem::replace(&mut wish.port, port) != port);
    }

    /// The router may be another one, or have forgotten: asks it at once.
    pub fn ask_again(&self) {
        self.wish.send_modify(|wish| wish.round += 1);
    }

    /// Gives the port back, if the router answers at once.
    pub async fn stop(mut self) {
        self.want(None);
        let mut found = self.found.clone();
        // What cannot be given back ends with its lease.
        timeout(PARTING, found.wait_for(|found| *found == PortMapping::Unknown)).await.ok();
        self.task.abort();
        (&mut self.task).await.ok();
    }
}

/// One question at a time, each answered within seconds.
async fn keep(handle: Handle, mut wishes: watch::Receiver<Wish>, tell: watch::Sender<PortMapping>) {
    let mut held: Option<Lease> = None;
    loop {
        let wish = *wishes.borrow_and_update();
        let pause = match wish.port {
            None => {
                if let Some(lease) = held.take() {
                    lease.release().await;
                }
                tell.send_replace(PortMapping::Unknown);
                None
            }
            Some(port) => {
                let (found, pause) = match ask(&handle, port, held.take()).await {
                    Ok(lease) => {
                        let lease = held.insert(lease);
                        let found = PortMapping::Mapped { protocol: lease.protocol(), outer: lease.outer() };
                        (found, lease.renew_in())
                    }
                    Err(error) => (PortMapping::Refused(error), RETRY),
                };
                let is_new = tell.send_if_modified(|told| {
                    let is_new = *told != found;
                    *told = found;
                    is_new
                });
                if is_new {
                    tracing::info!(found = ?*tell.borrow(), "what the router says of a port for this node");
                }
                Some(pause)
            }
        };
        // Both only wait.
        tokio::select! {
            changed = wishes.changed() => if changed.is_err() { return },
            () = sleep(pause.unwrap_or_default()), if pause.is_some() => {}
        }
    }
}

/// Renews what is held, or asks for a port anew; the error is for a person.
async fn ask(handle: &Handle, port: NonZeroU16, held: Option<Lease>) -> Result<Lease, String> {
    let gateway = default_gateway(handle).await?;
    let client = match source_address(gateway.into()) {
        Ok(IpAddr::V4(client)) => client,
        Ok(IpAddr::V6(_)) => return Err(format!("there is no IPv4 way to the router {gateway}")),
        Err(error) => return Err(format!("there is no way to the router {gateway}: {error}")),
    };
    let lessee = Lessee { gateway, client, port };
    // Of another network's router nobody gives anything back.
    if let Some(held) = held.filter(|held| held.lessee() == lessee) {
        match held.renew().await {
            Ok(renewed) => return Ok(renewed),
            Err(error) => tracing::debug!(error, "the router does not renew a port"),
        }
    }
    Lease::obtain(lessee).await
}
