//! The router of this machine's IPv4 default route.

use std::net::Ipv4Addr;

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType};
use rtnetlink::{Handle, RouteMessageBuilder};

use crate::network::interface::words;

/// The error is for a person.
pub(super) async fn default_gateway(handle: &Handle) -> Result<Ipv4Addr, String> {
    let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let mut routes = handle.route().get(all).execute();
    let mut best: Option<(u32, Ipv4Addr)> = None;
    loop {
        match routes.try_next().await {
            Ok(Some(route)) => best = [best, default_route(&route)].into_iter().flatten().min(),
            Ok(None) => break,
            Err(error) => {
                return Err(format!("the routes of this machine cannot be read: {}", words(&error)));
            }
        }
    }
    best.map(|(_, gateway)| gateway).ok_or_else(|| "this machine has no IPv4 default route".to_owned())
}

/// Metric and router of a default route, as most programs take it.
fn default_route(route: &RouteMessage) -> Option<(u32, Ipv4Addr)> {
    let header = &route.header;
    if header.destination_prefix_length != 0
        || header.kind != RouteType::Unicast
        || header.table != RouteHeader::RT_TABLE_MAIN
    {
        return None;
    }
    let metric = route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Priority(metric) = attribute { Some(*metric) } else { None }
    });
    route.attributes.iter().find_map(|attribute| {
        let RouteAttribute::Gateway(RouteAddress::Inet(gateway)) = attribute else { return None };
        Some((metric.unwrap_or(0), *gateway))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(length: u8, gateway: &str, metric: Option<u32>) -> RouteMessage {
        let builder =
            RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(Ipv4Addr::UNSPECIFIED, length);
        let mut route = builder.gateway(gateway.parse().unwrap()).build();
        route.attributes.extend(metric.map(RouteAttribute::Priority));
        route
    }

    #[test]
    fn only_a_default_route_of_the_main_table_leads_to_the_router() {
        let gateway = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(default_route(&route(0, "192.0.2.1", None)), Some((0, gateway)));
        assert_eq!(default_route(&route(0, "192.0.2.1", Some(600))), Some((600, gateway)));
        assert_eq!(default_route(&route(8, "192.0.2.1", None)), None);
        let mut other_table = route(0, "192.0.2.1", None);
        other_table.header.table = 7;
        assert_eq!(default_route(&other_table), None);
    }
}
