//! The way by relays: a TURN client (RFC 8656) for a network that has several relays. No sockets, no clock.
//!
//! ```text
//!   Latency ─ how near each relay is ─► Choice ─► home, 30 s of former homes
//!                                                   │
//!   Client   one allocation each: 401/438, 437, Refresh, permissions, channels
//!                                                   │
//!   Carriers ◄─ addresses of peers at relays ───────┘ ─► by what each is reached
//! ```
//!
//! [`RelayClient`] is all of it. The home relay is the nearest by UDP, spoken to from the shared port, so that its
//! answers keep one NAT mapping alive; where no UDP passes it is spoken to by TLS, and UDP is tried again now and then.
//! A home that has not answered for 1.8 s is replaced; it is asked every second while packets go by it, else every 15 s.
//! After a change the former home serves 30 s more: peers learn of the new one by the network map.
//!
//! Nothing need be signalled to reach a peer: its address at its relay is in the map, permissions (which know no ports)
//! for all relays stand from the first moment, and both sides send through their own allocations.

mod carriers;
mod channels;
mod choice;
mod client;
mod credential;
mod exchange;
mod home;
mod latency;
mod message;
mod permissions;
mod relay_client;
mod server_list;
mod steering;
mod stream;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use credential::Credential;
pub use message::{data_indication, send_indication};
pub use relay_client::RelayClient;
pub use server_list::MAX_RELAYS;
pub use stream::{NotTurn, StreamReader};

/// How a relay is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    Udp,
    /// TLS over TCP (RFC 8656 §3.1).
    Tls,
}

/// A relay that this node may use; one that speaks by both transports is two of them.
#[derive(Clone)]
pub struct RelayServer {
    pub address: SocketAddr,
    pub transport: Transport,
    pub credential: Credential,
}

/// The relay in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    pub server: SocketAddr,
    pub transport: Transport,
    /// Where peers reach this node.
    pub relayed: SocketAddr,
    /// Of its newest answer that tells.
    pub round_trip: Option<Duration>,
    /// False: it is silent, and no other relay has taken its place yet.
    pub answers: bool,
}

/// By what an address at a relay is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Send indications (RFC 8656 §11) from the shared port.
    Indication { server: SocketAddr },
    /// Channel data (RFC 8656 §12) from the shared port.
    Channel { server: SocketAddr, number: u16 },
    /// [`send_indication`]s by the stream.
    Stream { server: SocketAddr },
}

/// A message to send: from the shared port, or by the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    pub server: SocketAddr,
    pub transport: Transport,
    pub message: Vec<u8>,
}

/// What the caller has to do or to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Home is another one, is seen elsewhere, answers no longer or again, or there is none.
    Home(Option<Home>),
    /// What goes to this address is carried so from now on.
    Carry { peer: SocketAddr, carrier: Carrier },
    /// The address is carried no longer.
    Forget { peer: SocketAddr },
    /// A stream is wanted: answer with [`RelayClient::handle_connected`] or [`RelayClient::handle_disconnected`].
    Connect { server: SocketAddr },
    /// The stream is wanted no longer; no answer is expected.
    Disconnect { server: SocketAddr },
    /// Something is wrong with a relay.
    Trouble { server: SocketAddr, trouble: Trouble },
}

/// What is wrong with a relay; in words for a person by `Display`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It does not answer.
    Silent,
    /// It refuses this node, with this code (RFC 8656 §19).
    Refused(u16),
    /// It has forgotten this node's allocation, or a NAT has given this node another port.
    Lost,
    /// It lets this node send nothing to that address, with this code.
    NotPermitted { ip: IpAddr, code: u16 },
    /// No stream to it, or it has ended.
    Disconnected,
}

/// What a datagram or a message of a stream was.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// Nothing for a relay's client.
    Foreign,
    Taken,
    /// A peer's datagram; `from` is its address at its relay.
    Data {
        from: SocketAddr,
        payload: &'a [u8],
    },
}

impl Transport {
    /// The stable word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tls => "tls",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("it does not answer"),
            Self::Refused(401 | 441) => f.write_str(
                "it does not take this node's credential: does it have the coordinator's relay secret?",
            ),
            Self::Refused(code @ (486 | 508)) => {
                write!(f, "it has no room for another allocation of this node's (error {code})")
            }
            Self::Refused(code) => write!(f, "it refuses to serve this node (error {code})"),
            Self::Lost => f.write_str("it no longer knows this node's address; another one is asked for"),
            Self::NotPermitted { ip, code } => {
                write!(f, "it lets nothing through to {ip} (error {code})")
            }
            Self::Disconnected => f.write_str("no connection to it by TLS"),
        }
    }
}
