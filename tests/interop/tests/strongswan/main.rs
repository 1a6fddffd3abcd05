//! twinmesh and strongSwan's charon join sites in the lab.

mod among_charons;
mod changes;
mod debug;
mod key_exchanges;
mod messages;
#[cfg(feature = "forky")]
mod ml_kem;
mod moves;
mod moves_of_ours;
mod ours;
mod pair;
mod paths;
mod policies;
mod refusals;
mod tunnels;
