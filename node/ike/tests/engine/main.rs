//! The engine against itself, in memory, under a clock and a link of our own.

#[cfg(test)]
mod authentication;
#[cfg(test)]
mod diagnosis;
#[cfg(test)]
mod followup;
#[cfg(test)]
mod fragments;
#[cfg(test)]
mod handshake;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod key_exchanges;
#[cfg(test)]
mod mobike;
#[cfg(test)]
mod pair;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod postquantum;
#[cfg(test)]
mod reauth;
#[cfg(test)]
mod rekey;
#[cfg(test)]
mod roaming;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod selectors;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod trace;
#[cfg(test)]
mod transport;
#[cfg(test)]
mod traps;
#[cfg(test)]
mod unique;
