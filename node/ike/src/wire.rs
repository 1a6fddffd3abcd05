//! The wire format of IKEv2: RFC 7296 §3, with the encrypted fragment of RFC 7383.
//!
//! ```text
//!   datagram ─► Message::parse ─► header · payloads() ─► Payload::{SecurityAssociation, KeyExchange, …}
//!                                                └─► Payload::Encrypted: opened by `crypto`
//!   opened bytes ─► Payloads::inner(first, bytes) ─► Payload …
//!
//!   Payload … ─► MessageWriter (in the clear), or ChainWriter ─► sealed ─► ProtectedWriter
//! ```
//!
//! Parsing borrows from the datagram, never panics, and consumes input at each step of each loop; a payload is
//! checked as a whole before it is handed out, so that what it lists can be walked without errors.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod authentication;
mod certificate;
mod chain;
mod configuration;
mod delete;
mod error;
mod header;
mod identification;
mod key_exchange;
mod marker;
mod message;
mod notify;
mod notify_type;
mod payload;
mod proposal;
mod protected;
mod reader;
mod registry;
mod security_association;
mod spi;
mod traffic_selector;
mod traffic_selectors;
mod transform;
mod writer;

pub use authentication::Authentication;
pub use certificate::{Certificate, CertificateRequest};
pub use chain::Payloads;
pub use configuration::{Configuration, ConfigurationAttribute};
pub use delete::Delete;
pub use error::{WireError, WireErrorKind, WriteError};
pub use header::{Flags, Header, MessageId};
pub use identification::Identification;
pub use key_exchange::KeyExchange;
pub use marker::{NON_ESP_MARKER, strip_non_esp_marker, with_non_esp_marker};
pub use message::Message;
pub use notify::Notify;
pub use notify_type::NotifyType;
pub use payload::{Encrypted, EncryptedFragment, Payload};
pub use proposal::Proposal;
pub use protected::{ENCRYPTED_PREFIX, FRAGMENT_PREFIX, ProtectedWriter, plain_octets};
pub use registry::{
    AuthMethod, CertificateEncoding, ConfigurationType, ExchangeType, IdType, PayloadType, ProtocolId,
    TransformType, TsType,
};
pub use security_association::SecurityAssociation;
pub use spi::{IkeSpi, SaSpi};
pub use traffic_selector::TrafficSelector;
pub use traffic_selectors::TrafficSelectors;
pub use transform::Transform;
pub use writer::{Chain, ChainWriter, MessageWriter};
