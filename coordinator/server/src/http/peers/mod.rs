//! Unmanaged peers: phones and routers that speak only WireGuard.

pub(super) mod add;
pub(super) mod configuration;

pub use add::AddPeer;
pub use configuration::{PeerConfiguration, RemotePeer};
