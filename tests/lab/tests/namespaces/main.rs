//! Labs in real namespaces. As root, or as a user who may make user namespaces.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed step of a test is a panic; all is one crate"
)]

mod changes;
mod command_line;
mod life;
mod links;
mod nat;
mod probe;
mod routers;
mod scenarios;
mod support;
