//! scapy opens what we seal, and seals what we open: every suite that it has, sequence numbers of 32 and of 64 bits.
#![expect(clippy::unwrap_used, reason = "a failed test may panic, and its helpers too")]

mod ah;
mod esp_transport;
mod esp_tunnel;
mod support;
