//! ESP and AH, without sockets: security associations that seal and open packets in the caller's buffers.
//!
//! ```text
//!   IP packet ─► Spd ─► OutboundSa::seal ─► SPI │ sequence │ IV │ ciphertext │ ICV
//!                        suite · counter · lifetime · TFC
//!   SPI │ … │ ICV ─► Sadb ─► InboundSa::open ─► IP packet, of one of the SA's selectors
//!                        replay window · ESN · suite
//! ```
//!
//! RFC 4301 (architecture), 4303 (ESP), 4302 (AH), 4106, 4543, 7634, 4868, 3602, 3686 (suites), 3948 (UDP
//! encapsulation), 6040 (ECN), 8221 (requirements). Time comes in as an argument; nothing here allocates for a
//! packet, and no input makes it panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod ah;
mod cipher;
mod counters;
mod inbound;
mod keys;
mod lifetime;
mod nat;
mod next_header;
mod outbound;
mod outer;
mod parameters;
mod path_mtu;
mod reason;
mod replay;
mod sadb;
mod selector;
mod spd;
mod spi;
mod suite;
mod transport;

pub use ah::{AhInboundSa, AhOpened, AhOutboundSa, AhParameters, AhSuite, ah_spi};
pub use counters::{Counters, CountersSnapshot};
pub use inbound::{Addresses, Content, InboundSa, Opened};
pub use keys::{KeyError, KeyMaterial, Keyed};
pub use lifetime::{Lifetime, LifetimeState, Limits};
pub use nat::{OriginalAddresses, repair_checksum};
pub use outbound::{OutboundSa, Run};
pub use outer::{
    Copied, DfPolicy, DscpPolicy, EcnPolicy, FlowLabelPolicy, OuterHeader, OuterPolicy, decapsulate_ecn,
    outer_fields, write_ip_header, write_udp_header,
};
pub use parameters::{Mode, SaParameters};
pub use path_mtu::{Fit, PathMtu, TooBig, fit, parse_too_big, parse_too_big_v6};
pub use reason::{DropReason, SealError};
pub use replay::ReplayWindow;
pub use sadb::{Sadb, SpiAllocator, SpiTaken};
pub use selector::{Flow, IpRange, PortRange, Ports, SelectorError, Selectors, TrafficSelector};
pub use spd::{Action, Policy, Spd};
pub use spi::Spi;
pub use suite::{Encryption, Integrity, Suite, SuiteClass, SuiteError};
pub use transport::{TransportHeader, rewrite_header, split_transport, write_transport_packet};
