//! The coordinator as nodes, administrators and its own disk see it: QUIC, HTTP, the program, the store.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a failed step of a test is a panic; support is a module"
)]

mod allocation;
mod api;
mod command_line;
mod enrolment;
mod failures;
mod frames;
mod map;
mod map_model;
mod pairs;
mod policy;
mod protocol_choice;
mod reach;
mod relay_tls;
mod relays;
mod store_trouble;
mod support;
