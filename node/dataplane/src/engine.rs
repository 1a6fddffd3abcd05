//! Which engine carries what is sent to a peer.

use std::sync::atomic::{AtomicU8, Ordering};

/// What seals a peer's packets. What comes in is opened by either engine, whichever sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    WireGuard,
    /// The ESP tunnels that are bound to the peer ([`crate::EspConfig::peer`]).
    Esp,
    /// Nothing may be sent: senders are told so by ICMP.
    Hold,
}

/// The engine of one peer, changed while workers read it.
#[derive(Debug)]
pub(crate) struct EngineCell(AtomicU8);

impl EngineCell {
    pub(crate) const fn new(engine: Engine) -> Self {
        Self(AtomicU8::new(engine as u8))
    }

    pub(crate) fn set(&self, engine: Engine) {
        self.0.store(engine as u8, Ordering::Release);
    }

    pub(crate) fn get(&self) -> Engine {
        match self.0.load(Ordering::Acquire) {
            wireguard if wireguard == Engine::WireGuard as u8 => Engine::WireGuard,
            esp if esp == Engine::Esp as u8 => Engine::Esp,
            _ => Engine::Hold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_holds_what_was_set() {
        let cell = EngineCell::new(Engine::Hold);
        for engine in [Engine::WireGuard, Engine::Esp, Engine::Hold] {
            cell.set(engine);
            assert_eq!(cell.get(), engine);
        }
    }
}
