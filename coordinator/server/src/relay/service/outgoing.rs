//! What waits to be written to a stream: so much and no more, since whoever reads slowly is the network's affair.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::relay::framing::append;

/// For one stream, in bytes.
const MOST_WAITING: usize = 256 * 1024;
/// For all streams, in bytes.
const MOST_OF_ALL: usize = 64 * 1024 * 1024;

/// Bytes that wait for all streams together.
pub(super) type Waiting = Arc<AtomicUsize>;

#[derive(Debug)]
pub(super) struct Outgoing {
    bytes: Mutex<Vec<u8>>,
    arrived: Notify,
    /// Waiting or being written.
    held: AtomicUsize,
    of_all: Waiting,
}

impl Outgoing {
    pub(super) fn new(of_all: &Waiting) -> Self {
        Self {
            bytes: Mutex::default(),
            arrived: Notify::new(),
            held: AtomicUsize::new(0),
            of_all: of_all.clone(),
        }
    }

    /// Adds a message; false if there is no room for it.
    pub(super) fn push(&self, message: &[u8]) -> bool {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let length = message.len().next_multiple_of(4);
        let full = self.held.load(Ordering::Relaxed) + length > MOST_WAITING
            || self.of_all.load(Ordering::Relaxed) + length > MOST_OF_ALL;
        if full {
            return false;
        }
        append(&mut bytes, message);
        self.held.fetch_add(length, Ordering::Relaxed);
        self.of_all.fetch_add(length, Ordering::Relaxed);
        drop(bytes);
        self.arrived.notify_one();
        true
    }

    /// Waits for bytes and takes all of them, in exchange for an empty buffer. May be dropped and called again.
    pub(super) async fn take(&self, buffer: &mut Vec<u8>) {
        loop {
            {
                let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
                if !bytes.is_empty() {
                    buffer.clear();
                    std::mem::swap(&mut *bytes, buffer);
                    return;
                }
            }
            self.arrived.notified().await;
        }
    }

    /// So many bytes are with the kernel.
    pub(super) fn written(&self, length: usize) {
        self.held.fetch_sub(length, Ordering::Relaxed);
        self.of_all.fetch_sub(length, Ordering::Relaxed);
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.of_all.fetch_sub(self.held.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_reader_gets_the_first_messages_whole_and_the_rest_not() {
        let all = Waiting::default();
        let outgoing = Outgoing::new(&all);
        let pushed = (0..1000).filter(|_| outgoing.push(&[7; 1001])).count();
        assert_eq!(pushed, MOST_WAITING / 1004);
        let mut buffer = Vec::new();
        outgoing.take(&mut buffer).await;
        assert_eq!(buffer.len(), pushed * 1004);
        assert!(!outgoing.push(&[7; 1001]), "what is being written counts");
        outgoing.written(buffer.len());
        assert!(outgoing.push(&[7; 1001]));
        assert_eq!(all.load(Ordering::Relaxed), 1004);
        drop(outgoing);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn all_streams_together_hold_so_much_and_no_more() {
        let all = Waiting::default();
        let streams: Vec<Outgoing> = (0..1000).map(|_| Outgoing::new(&all)).collect();
        for stream in &streams {
            while stream.push(&[0; 16_000]) {}
        }
        assert!((MOST_OF_ALL - 16_000..=MOST_OF_ALL).contains(&all.load(Ordering::Relaxed)));
    }
}
