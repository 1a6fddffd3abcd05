//! One port at one router, for a time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::pin::pin;
use std::time::Duration;

use crab_nat::{InternetProtocol, PortMappingOptions, PortMappingType, TimeoutConfig, natpmp, pcp};
use igd_next::aio::Gateway;
use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{AddAnyPortError, AddPortError, PortMappingProtocol, SearchOptions};

use super::MappingProtocol;

/// Asked for. Short, so that what nobody gives back is free again soon, and a router that forgot is asked soon.
const LIFETIME_SECONDS: u32 = 20 * 60;
const LIFETIME: Duration = Duration::from_secs(LIFETIME_SECONDS as u64);
/// A router that promises less is still not asked more often.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(30);
/// A router is near: three requests, and an answer after 1.75 s is none. RFC 6887 §8.1.1 would have the first wait 3 s.
const PATIENCE: TimeoutConfig =
    TimeoutConfig { initial_timeout: Duration::from_millis(250), max_retries: 2, max_retry_timeout: None };
/// Devices may take a second to answer a search (UPnP Device Architecture §1.3.3, MX).
const SEARCH: Duration = Duration::from_secs(3);
/// In the router's list of mappings.
const DESCRIPTION: &str = "twinmesh";

/// What is asked of whom, for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lessee {
    pub(super) gateway: Ipv4Addr,
    /// This machine as the router knows it.
    pub(super) client: Ipv4Addr,
    pub(super) port: NonZeroU16,
}

/// A port that the router has promised.
pub(super) struct Lease {
    lessee: Lessee,
    outer: SocketAddr,
    lifetime: Duration,
    grant: Grant,
}

enum Grant {
    Pcp(crab_nat::PortMapping),
    NatPmp(crab_nat::PortMapping),
    /// Boxed: it is large.
    Upnp(Box<Gateway<Tokio>>),
}

impl Lease {
    /// Asks with each protocol; of those that the router speaks, PCP comes first. The error is for a person.
    pub(super) async fn obtain(lessee: Lessee) -> Result<Self, String> {
        let Lessee { gateway, client, port } = lessee;
        let request = pcp::BaseMapRequest::new(gateway.into(), client.into(), InternetProtocol::Udp, port);
        let mut pcp = pin!(pcp::port_mapping(request, None, None, options()));
        // Both only look, and change nothing at the router.
        let mut others = pin!(async {
            tokio::join!(natpmp::external_address(gateway.into(), Some(PATIENCE)), search(gateway))
        });
        let mut looked = None;
        let pcp = loop {
            tokio::select! {
                result = &mut pcp => break result,
                found = &mut others, if looked.is_none() => looked = Some(found),
            }
        };
        let pcp = match pcp
            .map_err(|error| error.to_string())
            .and_then(|mapping| Self::of_router(lessee, mapping, None))
        {
            Ok(lease) => return Ok(lease),
            Err(error) => error,
        };
        let (outer, igd) = match looked {
            Some(looked) => looked,
            None => others.await,
        };
        let nat_pmp = match outer {
            Ok(outer) => match Self::by_nat_pmp(lessee, outer).await {
                Ok(lease) => return Ok(lease),
                Err(error) => error,
            },
            Err(error) => error.to_string(),
        };
        let upnp = match igd {
            Ok(igd) => match Self::by_upnp(lessee, igd, None).await {
                Ok(lease) => return Ok(lease),
                Err(error) => error,
            },
            Err(error) => error,
        };
        Err(format!("the router {gateway} maps no port: PCP: {pcp}; NAT-PMP: {nat_pmp}; UPnP: {upnp}"))
    }

    /// The same port for another while, if the router likes.
    pub(super) async fn renew(self) -> Result<Self, String> {
        let lessee = self.lessee;
        match self.grant {
            Grant::Pcp(mut mapping) => {
                mapping.renew().await.map_err(|error| error.to_string())?;
                Self::of_router(lessee, mapping, None)
            }
            Grant::NatPmp(mut mapping) => {
                mapping.renew().await.map_err(|error| error.to_string())?;
                // The router may have got another address.
                let outer = natpmp::external_address(lessee.gateway.into(), Some(PATIENCE)).await;
                Self::of_router(lessee, mapping, Some(outer.map_err(|error| error.to_string())?))
            }
            Grant::Upnp(igd) => Self::by_upnp(lessee, *igd, Some(self.outer.port())).await,
        }
    }

    /// Gives the port back.
    pub(super) async fn release(self) {
        let released = match self.grant {
            Grant::Pcp(mapping) | Grant::NatPmp(mapping) => {
                mapping.try_drop().await.map_err(|(error, _)| error.to_string())
            }
            Grant::Upnp(igd) => igd
                .remove_port(PortMappingProtocol::UDP, self.outer.port())
                .await
                .map_err(|error| error.to_string()),
        };
        if let Err(error) = released {
            tracing::debug!(error, "the router did not take its port back");
        }
    }

    pub(super) const fn lessee(&self) -> Lessee {
        self.lessee
    }

    pub(super) const fn protocol(&self) -> MappingProtocol {
        match self.grant {
            Grant::Pcp(_) => MappingProtocol::Pcp,
            Grant::NatPmp(_) => MappingProtocol::NatPmp,
            Grant::Upnp(_) => MappingProtocol::Upnp,
        }
    }

    /// Where others reach the port.
    pub(super) const fn outer(&self) -> SocketAddr {
        self.outer
    }

    /// When half of the promised time is over (RFC 6887 §11.2.1), and no later than half of what was asked for: a
    /// router may have restarted meanwhile.
    pub(super) fn renew_in(&self) -> Duration {
        (self.lifetime.min(LIFETIME) / 2).max(SHORTEST_RENEWAL)
    }

    async fn by_nat_pmp(lessee: Lessee, outer: Ipv4Addr) -> Result<Self, String> {
        let mapping =
            natpmp::port_mapping(lessee.gateway.into(), InternetProtocol::Udp, lessee.port, options()).await;
        Self::of_router(lessee, mapping.map_err(|error| error.to_string())?, Some(outer))
    }

    /// `outer`: NAT-PMP tells the router's address in another answer.
    fn of_router(
        lessee: Lessee,
        mapping: crab_nat::PortMapping,
        outer: Option<Ipv4Addr>,
    ) -> Result<Self, String> {
        let port = mapping.external_port().get();
        let lifetime = Duration::from_secs(mapping.lifetime().into());
        let (address, grant) = match (mapping.mapping_type(), outer) {
            (PortMappingType::Pcp { external_ip, .. }, _) => (external_ip, Grant::Pcp(mapping)),
            (PortMappingType::NatPmp, Some(outer)) => (outer.into(), Grant::NatPmp(mapping)),
            (PortMappingType::NatPmp, None) => return Err("the router's address is not known".to_owned()),
        };
        Ok(Self { lessee, outer: SocketAddr::new(usable(address)?, port), lifetime, grant })
    }

    /// `port`: the one that is mapped already.
    async fn by_upnp(lessee: Lessee, igd: Gateway<Tokio>, port: Option<u16>) -> Result<Self, String> {
        let address = usable(igd.get_external_ip().await.map_err(|error| error.to_string())?)?;
        let inner = SocketAddr::new(lessee.client.into(), lessee.port.get());
        let port = match add_port(&igd, port, inner, LIFETIME_SECONDS).await {
            // Of a router that promises for ever only; such a port is given back, or stays.
            Err(AddAnyPortError::OnlyPermanentLeasesSupported) => add_port(&igd, port, inner, 0).await,
            other => other,
        };
        let outer = SocketAddr::new(address, port.map_err(|error| error.to_string())?);
        Ok(Self { lessee, outer, lifetime: LIFETIME, grant: Grant::Upnp(Box::new(igd)) })
    }
}

/// This outer port again, or any.
async fn add_port(
    igd: &Gateway<Tokio>,
    port: Option<u16>,
    inner: SocketAddr,
    seconds: u32,
) -> Result<u16, AddAnyPortError> {
    let udp = PortMappingProtocol::UDP;
    let Some(port) = port else { return igd.add_any_port(udp, inner, seconds, DESCRIPTION).await };
    match igd.add_port(udp, port, inner, seconds, DESCRIPTION).await {
        Ok(()) => Ok(port),
        Err(AddPortError::OnlyPermanentLeasesSupported) => Err(AddAnyPortError::OnlyPermanentLeasesSupported),
        // Another's now.
        Err(_) => igd.add_any_port(udp, inner, seconds, DESCRIPTION).await,
    }
}

fn options() -> PortMappingOptions {
    PortMappingOptions {
        // Any: the data port's own number may be another machine's, or the router's for its own IPsec.
        external_port: None,
        lifetime_seconds: Some(LIFETIME_SECONDS),
        timeout_config: Some(PATIENCE),
    }
}

/// Only the router of the default route: a port of another device is none that this node's packets leave by.
async fn search(gateway: Ipv4Addr) -> Result<Gateway<Tokio>, String> {
    let mut options = SearchOptions::default();
    options.timeout = Some(SEARCH);
    let found = search_gateway(options).await.map_err(|error| error.to_string())?;
    if found.addr.ip() == IpAddr::V4(gateway) {
        Ok(found)
    } else {
        Err(format!("{} answers, which is not the router", found.addr.ip()))
    }
}

/// An address that others could send to; a router without a connection has none.
fn usable(outer: IpAddr) -> Result<IpAddr, String> {
    let outer = outer.to_canonical();
    match outer {
        IpAddr::V4(ipv4)
            if !(ipv4.is_unspecified()
                || ipv4.is_loopback()
                || ipv4.is_link_local()
                || ipv4.is_multicast()
                || ipv4.is_broadcast()) =>
        {
            Ok(outer)
        }
        IpAddr::V4(_) | IpAddr::V6(_) => {
            Err(format!("the router's outer address is {outer}: it has no connection"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outer_address_that_nobody_can_send_to_is_refused() {
        for bad in
            ["0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "255.255.255.255", "::", "2001:db8::1"]
        {
            assert!(usable(bad.parse().unwrap()).is_err(), "{bad}");
        }
        let outer: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(usable(outer), Ok(outer));
        // As PCP writes IPv4 (RFC 6887 §5).
        assert_eq!(usable("::ffff:192.0.2.1".parse().unwrap()), Ok(outer));
    }
}
