//! Fragments until their message is whole (RFC 7383 §2.6), bounded in number, bytes and time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::wire::{MessageId, PayloadType};

/// Enough for a chain of large certificates.
const MOST_FRAGMENTS: u16 = 64;
const MOST_BYTES: usize = 65_536;
const PATIENCE: Duration = Duration::from_secs(30);

/// One opened SKF payload.
pub(crate) struct Fragment {
    pub(crate) number: u16,
    pub(crate) total: u16,
    /// Said by the first alone.
    pub(crate) first: PayloadType,
    pub(crate) content: Zeroizing<Vec<u8>>,
}

/// The fragments of one request and of one response at most: the windows hold no more messages.
#[derive(Default)]
pub(crate) struct Reassembly {
    request: Option<Partial>,
    response: Option<Partial>,
}

struct Partial {
    id: MessageId,
    total: u16,
    since: Instant,
    first: PayloadType,
    parts: BTreeMap<u16, Zeroizing<Vec<u8>>>,
    bytes: usize,
}

impl Reassembly {
    fn slot(&mut self, response: bool) -> &mut Option<Partial> {
        if response { &mut self.response } else { &mut self.request }
    }

    pub(crate) fn drop_message(&mut self, id: MessageId, response: bool) {
        let slot = self.slot(response);
        if slot.as_ref().is_some_and(|partial| partial.id == id) {
            *slot = None;
        }
    }

    /// The whole message, once its last fragment is here.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        id: MessageId,
        response: bool,
        fragment: Fragment,
    ) -> Option<(PayloadType, Zeroizing<Vec<u8>>)> {
        let slot = self.slot(response);
        let stale = |partial: &Partial| {
            partial.id != id
                // RFC 7383 §2.6: split anew into smaller ones, the old are of no use.
                || partial.total < fragment.total
                || now.saturating_duration_since(partial.since) > PATIENCE
        };
        if slot.as_ref().is_some_and(stale) {
            *slot = None;
        }
        if fragment.total > MOST_FRAGMENTS {
            return None;
        }
        let partial = slot.get_or_insert_with(|| Partial {
            id,
            total: fragment.total,
            since: now,
            first: PayloadType::NoNextPayload,
            parts: BTreeMap::new(),
            bytes: 0,
        });
        if fragment.total != partial.total || partial.parts.contains_key(&fragment.number) {
            return None;
        }
        partial.bytes = partial.bytes.saturating_add(fragment.content.len());
        if partial.bytes > MOST_BYTES {
            *slot = None;
            return None;
        }
        if fragment.number == 1 {
            partial.first = fragment.first;
        }
        partial.parts.insert(fragment.number, fragment.content);
        if partial.parts.len() < usize::from(partial.total) {
            return None;
        }
        let whole = slot.take()?;
        let content = whole.parts.values().flat_map(|part| part.iter().copied()).collect();
        Some((whole.first, Zeroizing::new(content)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(number: u16, total: u16) -> Fragment {
        let first = if number == 1 { PayloadType::Notify } else { PayloadType::NoNextPayload };
        Fragment { number, total, first, content: Zeroizing::new(vec![number.to_be_bytes()[1]; 2]) }
    }

    const ID: MessageId = MessageId(3);

    #[test]
    fn a_message_is_whole_whatever_the_order_and_the_repetitions() {
        let (mut reassembly, now) = (Reassembly::default(), Instant::now());
        for number in [3, 1, 3, 1] {
            assert!(reassembly.add(now, ID, false, fragment(number, 3)).is_none());
        }
        let (first, content) = reassembly.add(now, ID, false, fragment(2, 3)).unwrap();
        assert_eq!((first, content.as_slice()), (PayloadType::Notify, &[1, 1, 2, 2, 3, 3][..]));
    }

    #[test]
    fn trap_7_a_larger_total_number_begins_anew_and_a_smaller_one_is_dropped() {
        let (mut reassembly, now) = (Reassembly::default(), Instant::now());
        assert!(reassembly.add(now, ID, false, fragment(1, 2)).is_none());
        assert!(reassembly.add(now, ID, false, fragment(2, 3)).is_none());
        assert!(reassembly.add(now, ID, false, fragment(2, 2)).is_none());
        assert!(reassembly.add(now, ID, false, fragment(1, 3)).is_none());
        assert!(reassembly.add(now, ID, false, fragment(3, 3)).is_some());
    }

    #[test]
    fn trap_7_number_bytes_and_time_are_bounded() {
        let (mut reassembly, now) = (Reassembly::default(), Instant::now());
        assert!(reassembly.add(now, ID, false, fragment(1, 65)).is_none());
        assert!(reassembly.request.is_none());
        let huge = |number| Fragment { content: Zeroizing::new(vec![0; 40_000]), ..fragment(number, 3) };
        assert!(reassembly.add(now, ID, false, huge(1)).is_none());
        assert!(reassembly.add(now, ID, false, huge(2)).is_none());
        assert!(reassembly.request.is_none());
        assert!(reassembly.add(now, ID, false, fragment(1, 2)).is_none());
        let late = now + Duration::from_secs(31);
        assert!(reassembly.add(late, ID, false, fragment(2, 2)).is_none());
        assert!(reassembly.add(late, ID, false, fragment(1, 2)).is_some());
    }
}
