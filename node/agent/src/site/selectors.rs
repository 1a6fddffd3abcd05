//! Traffic selectors, between the words of IKE and those of ESP.

use twinmesh_dataplane::esp::{IpRange, PortRange, TrafficSelector as EspSelector};
use twinmesh_ike::config::TrafficSelector as IkeSelector;

/// As the engine sends it. `None` never happens: both have two ends of one family, in order.
pub(crate) fn to_ike(selector: &EspSelector) -> Option<IkeSelector> {
    let range = IkeSelector::new(selector.addresses.first(), selector.addresses.last())?;
    let (first, last) = (selector.ports.first(), selector.ports.last());
    Some(range.with_protocol(selector.protocol.unwrap_or(0), first, last))
}

/// As the data plane checks it; `None` where its ports are in the wrong order.
pub(crate) fn to_esp(selector: &IkeSelector) -> Option<EspSelector> {
    let addresses = IpRange::new(selector.first(), selector.last())?;
    let ports = PortRange::new(selector.start_port, selector.end_port)?;
    Some(EspSelector { addresses, protocol: Some(selector.protocol).filter(|number| *number != 0), ports })
}
