//! twinmesh-wireguard

mod key;

pub use key::{KEY_LEN, KeyError, PresharedKey, PrivateKey, PublicKey};
