//! Who may send next where all cannot: deficit round robin among nodes (Shreedhar and Varghese, 1995). Without sockets.

use std::collections::{HashMap, VecDeque};

use twinmesh_control::NodeId;

/// What a node may send at each turn, in bytes: as much as one item has at most.
const QUANTUM: usize = 65_536;
/// What may wait of one node, in bytes.
const MOST_OF_NODE: usize = 512 * 1024;
/// What may wait of all nodes, in bytes.
const MOST: usize = 32 * 1024 * 1024;

/// Items that wait, by the node that they are charged to.
#[derive(Debug)]
pub(super) struct Fair<T> {
    queues: HashMap<NodeId, Queue<T>>,
    /// Each node that has something once.
    turns: VecDeque<NodeId>,
    /// Bytes.
    waiting: usize,
}

#[derive(Debug)]
struct Queue<T> {
    items: VecDeque<(usize, T)>,
    bytes: usize,
    deficit: usize,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self { queues: HashMap::new(), turns: VecDeque::new(), waiting: 0 }
    }
}

impl<T> Fair<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Adds an item of so many bytes; false if there is no room for it.
    pub(super) fn push(&mut self, node: NodeId, bytes: usize, item: T) -> bool {
        let of_node = self.queues.get(&node).map_or(0, |queue| queue.bytes);
        if of_node + bytes > MOST_OF_NODE || self.waiting + bytes > MOST {
            return false;
        }
        let queue = self.queues.entry(node).or_insert_with(|| {
            self.turns.push_back(node);
            Queue { items: VecDeque::new(), bytes: 0, deficit: 0 }
        });
        queue.items.push_back((bytes, item));
        queue.bytes += bytes;
        self.waiting += bytes;
        true
    }

    /// The item whose turn it is.
    pub(super) fn front(&mut self) -> Option<&T> {
        loop {
            let node = *self.turns.front()?;
            let queue = self.queues.get_mut(&node)?;
            let &(bytes, _) = queue.items.front()?;
            if queue.deficit >= bytes {
                break;
            }
            queue.deficit += QUANTUM;
            self.turns.rotate_left(1);
        }
        let queue = self.queues.get(self.turns.front()?)?;
        queue.items.front().map(|(_, item)| item)
    }

    /// Removes what [`Self::front`] has shown.
    pub(super) fn pop(&mut self) {
        let Some(node) = self.turns.front().copied() else { return };
        let Some(queue) = self.queues.get_mut(&node) else { return };
        if let Some((bytes, _)) = queue.items.pop_front() {
            queue.deficit = queue.deficit.saturating_sub(bytes);
            queue.bytes -= bytes;
            self.waiting -= bytes;
        }
        // Who has nothing to send saves nothing up.
        if queue.items.is_empty() {
            self.queues.remove(&node);
            self.turns.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn next(fair: &mut Fair<(u64, usize)>) -> Option<(u64, usize)> {
        let item = fair.front().copied()?;
        fair.pop();
        Some(item)
    }

    #[test]
    fn a_node_that_sends_a_hundred_times_as_much_gets_no_more_than_the_others() {
        let mut fair = Fair::default();
        let mut served = HashMap::new();
        let mut accepted = HashMap::new();
        for _ in 0..2000 {
            for (node, items) in [(1, 100), (2, 1), (3, 1)] {
                for _ in 0..items {
                    *accepted.entry(node).or_insert(0) +=
                        i32::from(fair.push(NodeId(node), 1200, (node, 1200)));
                }
            }
            // The link takes three of the 102 packets.
            for _ in 0..3 {
                let (node, _) = next(&mut fair).unwrap();
                *served.entry(node).or_insert(0) += 1;
            }
        }
        assert_eq!((accepted[&2], accepted[&3]), (2000, 2000), "nothing of the modest ones is lost");
        assert!(served[&2] > 1900 && served[&3] > 1900, "{served:?}");
    }

    #[test]
    fn so_much_waits_and_no_more() {
        let mut fair = Fair::default();
        let of_one = (0..10_000).filter(|_| fair.push(NodeId(0), 1000, ())).count();
        assert_eq!(of_one, MOST_OF_NODE / 1000);
        let all = (1..1000).flat_map(|node| [node; 1000]);
        let more = all.filter(|node| fair.push(NodeId(*node), 1000, ())).count();
        assert_eq!(of_one + more, MOST / 1000);
        while fair.front().is_some() {
            fair.pop();
        }
        assert!(fair.is_empty() && fair.queues.is_empty());
        assert_eq!(fair.waiting, 0);
    }

    proptest! {
        #[test]
        fn nodes_that_always_have_something_get_equal_shares_whatever_their_packets_are_like(
            sizes in proptest::collection::vec(1_usize..=QUANTUM, 2..6),
        ) {
            let mut fair = Fair::default();
            let mut served = vec![0; sizes.len()];
            for _ in 0..1000 {
                for (node, size) in sizes.iter().enumerate() {
                    while fair.push(NodeId(node as u64), *size, (node as u64, *size)) {}
                }
                let (node, size) = next(&mut fair).unwrap();
                served[usize::try_from(node).unwrap()] += size;
            }
            let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
            prop_assert!(most - least <= 2 * QUANTUM, "{:?}", served);
        }

        #[test]
        fn each_nodes_packets_keep_their_order(nodes in proptest::collection::vec(0_u64..4, 0..200)) {
            let mut fair = Fair::default();
            for (number, node) in nodes.iter().enumerate() {
                fair.push(NodeId(*node), 100, (*node, number));
            }
            let mut seen = Vec::new();
            while let Some(item) = next(&mut fair) {
                seen.push(item);
            }
            prop_assert_eq!(seen.len(), nodes.len());
            for node in 0..4 {
                prop_assert!(seen.iter().filter(|(of, _)| *of == node).is_sorted());
            }
        }
    }
}
