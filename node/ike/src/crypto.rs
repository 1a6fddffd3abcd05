//! The cryptography of IKE: algorithms, key exchange, keys, and the protection of messages.

mod algorithm;
mod key_exchange;
mod keys;
mod prf;
mod protection;
mod suite;

pub use algorithm::{Encryption, Group, Integrity, Prf, UnknownTransform};
pub use key_exchange::{Answer, KeError, KeyExchange, SharedSecret};
pub use keys::{Key, SaKeys, SkeySeed};
pub use protection::{Forged, Protection, Role};
pub use suite::{Suite, SuiteError};

#[cfg(test)]
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}
