//! Which way the packets to each peer take.

mod status;
mod why;

pub(super) use self::status::reported_as;
