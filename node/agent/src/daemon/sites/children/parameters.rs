//! A child SA as the data plane takes it.

use std::net::SocketAddr;

use twinmesh_dataplane::esp::{
    KeyMaterial, Lifetime, Limits, Mode, OriginalAddresses, OuterPolicy, SaParameters, Selectors, Spi, Suite,
    TrafficSelector,
};
use twinmesh_dataplane::{Encapsulation as EspEncapsulation, EspConfig, EspPath};
use twinmesh_ike::config::{Mode as IkeMode, TrafficSelector as IkeSelector};
use twinmesh_ike::{ChildSaEstablished, Encapsulation};

use crate::sa::needs_alignment_of_8;
use crate::site::{SiteChild, to_esp};

/// Sequence numbers of 32 bits: new keys well before they end (trap 2).
const SOFT_PACKETS: u64 = 3 << 30;

/// # Errors
/// What of it the data plane cannot do.
pub(super) fn esp_config(
    event: ChildSaEstablished,
    name: String,
    follows: Option<String>,
    child: &SiteChild,
    follow_remote: bool,
) -> Result<EspConfig, String> {
    let spi = |value| Spi::new(value).ok_or_else(|| format!("the SPI {value:08x} is reserved"));
    let selectors = |side: &[IkeSelector]| -> Result<Vec<TrafficSelector>, &str> {
        side.iter().map(|one| to_esp(one).ok_or("a selector's ports are in the wrong order")).collect()
    };
    let mode = match event.mode {
        IkeMode::Tunnel => Mode::Tunnel,
        IkeMode::Transport => Mode::Transport,
    };
    let path = esp_path(event.local, event.remote, event.encapsulation);
    let inbound = SaParameters {
        spi: spi(event.spis.inbound)?,
        suite: event.suite.parse::<Suite>().map_err(|error| format!("{}: {error}", event.suite))?,
        mode,
        esn: event.esn,
        selectors: Selectors { local: selectors(&event.local_ts)?, remote: selectors(&event.remote_ts)? },
        lifetime: lifetime(child, event.esn),
        replay_window: child.replay_window,
        tfc_multiple: 0,
        tfc_limit: 0,
        align_8: needs_alignment_of_8(&path),
    };
    let mut keys = event.keys;
    let key = |bytes: &mut Vec<u8>| KeyMaterial::new(std::mem::take(bytes));
    Ok(EspConfig {
        name,
        outbound: SaParameters { spi: spi(event.spis.outbound)?, ..inbound.clone() },
        inbound,
        inbound_key: key(&mut keys.inbound),
        outbound_key: key(&mut keys.outbound),
        path,
        follow_remote,
        original: event
            .original
            .map(|original| OriginalAddresses { source: original.source, destination: original.destination }),
        follows,
        guard: None,
        peer: None,
        outer: OuterPolicy::default(),
        path_mtu: child.path_mtu,
        partial_checksums: false,
    })
}

/// As the engine tells it.
pub(super) fn esp_path(local: SocketAddr, remote: SocketAddr, encapsulation: Encapsulation) -> EspPath {
    EspPath {
        local: Some(local.ip()).filter(|local| !local.is_unspecified()),
        remote,
        encapsulation: match encapsulation {
            Encapsulation::Udp => EspEncapsulation::Udp,
            Encapsulation::None => EspEncapsulation::Raw,
        },
    }
}

/// Time is the engine's affair.
fn lifetime(child: &SiteChild, esn: bool) -> Lifetime {
    let packets = (!esn).then_some(SOFT_PACKETS);
    let soft = Limits { bytes: child.rekey_bytes, packets, time: None };
    let hard = Limits {
        bytes: child.rekey_bytes.map(|bytes| bytes.saturating_add(bytes / 10)),
        ..Limits::default()
    };
    Lifetime { soft, hard }
}
