//! Sessions: a name and password become a bearer token.

pub(super) mod create;
pub(super) mod end;

pub use create::{CreateSession, SessionView};
