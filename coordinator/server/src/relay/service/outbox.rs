//! Datagrams for one receiver, joined on their way out: the kernel takes many with one call.

use std::net::SocketAddr;
use std::sync::Arc;

use twinmesh_control::NodeId;

use super::socket::{Socket, Way};

/// The kernel's bound (UDP_MAX_SEGMENTS was 64 until Linux 6.9).
const MOST_SEGMENTS: usize = 64;
/// Below 65,535 with all headers.
const MOST_BYTES: usize = 65_000;
/// Runs after which it is time to send.
const MANY: usize = 64;

/// Where a run leaves.
#[derive(Debug)]
pub(super) enum Exit {
    /// The port that clients speak to. Data is charged to a node, answers are not.
    Clients(Option<NodeId>),
    Relayed(Arc<Socket>),
}

/// Datagrams of `size` bytes one behind the other; the last one may be shorter.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) exit: Exit,
    pub(super) way: Way,
    pub(super) size: usize,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    runs: Vec<Run>,
    /// Buffers of runs that are sent.
    spare: Vec<Vec<u8>>,
}

impl Outbox {
    /// Adds a datagram to a client, charged to a node.
    pub(super) fn add_for_client(&mut self, node: NodeId, way: Way, datagram: &[u8]) {
        let same = |exit: &Exit| matches!(exit, Exit::Clients(Some(other)) if *other == node);
        if !self.extend(same, &way, datagram) {
            self.start(Exit::Clients(Some(node)), way, datagram);
        }
    }

    /// Adds an answer to a client.
    pub(super) fn add_answer(&mut self, way: Way, datagram: &[u8]) {
        self.start(Exit::Clients(None), way, datagram);
    }

    /// Adds a datagram that leaves from a relayed port; its socket is looked for only if need be.
    pub(super) fn add_for_peer(
        &mut self,
        relayed: SocketAddr,
        way: Way,
        datagram: &[u8],
        socket: impl FnOnce() -> Option<Arc<Socket>>,
    ) {
        // Ports of both IP versions with one number have different peers.
        let same =
            |exit: &Exit| matches!(exit, Exit::Relayed(socket) if socket.local.port() == relayed.port());
        if !self.extend(same, &way, datagram)
            && let Some(socket) = socket()
        {
            self.start(Exit::Relayed(socket), way, datagram);
        }
    }

    pub(super) fn is_large(&self) -> bool {
        self.runs.len() >= MANY
    }

    /// Gives all runs away, in the order in which they began.
    pub(super) fn drain(&mut self, mut send: impl FnMut(&Run)) {
        for mut run in self.runs.drain(..) {
            send(&run);
            run.bytes.clear();
            self.spare.push(run.bytes);
        }
    }

    fn extend(&mut self, same: impl Fn(&Exit) -> bool, way: &Way, datagram: &[u8]) -> bool {
        // The latest only: one before it has ended, and order is kept.
        let Some(run) = self.runs.iter_mut().rev().find(|run| run.way == *way && same(&run.exit)) else {
            return false;
        };
        let full = run.size == 0
            || datagram.is_empty()
            || datagram.len() > run.size
            || !run.bytes.len().is_multiple_of(run.size)
            || run.bytes.len() / run.size >= MOST_SEGMENTS
            || run.bytes.len() + datagram.len() > MOST_BYTES;
        if !full {
            run.bytes.extend_from_slice(datagram);
        }
        !full
    }

    fn start(&mut self, exit: Exit, way: Way, datagram: &[u8]) {
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.extend_from_slice(datagram);
        self.runs.push(Run { exit, way, size: datagram.len(), bytes });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn way(to: u16) -> Way {
        Way { from: None, to: SocketAddr::from(([192, 0, 2, 1], to)), ecn: None }
    }

    #[test]
    fn datagrams_of_one_length_go_together_until_a_shorter_one_ends_the_run() {
        let mut outbox = Outbox::default();
        for (to, length) in [(1, 1000), (2, 500), (1, 1000), (1, 10), (1, 1000), (2, 501), (2, 0)] {
            outbox.add_for_client(NodeId(7), way(to), &vec![7; length]);
        }
        let mut runs = Vec::new();
        outbox.drain(|run| runs.push((run.way.to.port(), run.size, run.bytes.len())));
        assert_eq!(runs, [(1, 1000, 2010), (2, 500, 500), (1, 1000, 1000), (2, 501, 501), (2, 0, 0)]);
    }

    proptest! {
        #[test]
        fn each_receiver_gets_its_datagrams_as_they_were_and_in_order(
            datagrams in proptest::collection::vec((1_u16..4, 0_u64..3, 0_usize..2000, any::<u8>()), 0..200),
        ) {
            let mut outbox = Outbox::default();
            let mut expected = vec![Vec::new(); 16];
            for (to, node, length, byte) in datagrams {
                let datagram = vec![byte; length];
                outbox.add_for_client(NodeId(node), way(to), &datagram);
                expected[usize::from(to) * 4 + usize::try_from(node).unwrap()].push(datagram);
            }
            let mut got = vec![Vec::new(); 16];
            outbox.drain(|run| {
                assert!(run.bytes.len() <= MOST_BYTES);
                let Exit::Clients(Some(node)) = run.exit else { panic!("no port was asked") };
                let got = &mut got[usize::from(run.way.to.port()) * 4 + usize::try_from(node.0).unwrap()];
                if run.bytes.is_empty() {
                    got.push(Vec::new());
                }
                got.extend(run.bytes.chunks(run.size.max(1)).map(<[u8]>::to_vec));
            });
            prop_assert_eq!(got, expected);
        }
    }
}
