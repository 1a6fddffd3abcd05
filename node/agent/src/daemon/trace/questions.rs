//! Questions and their answers on the data port.

use std::net::SocketAddr;
use std::time::Instant;

use twinmesh_control::NodeId;
use twinmesh_dataplane::PublicKey;
use twinmesh_path::question::{Incoming, PairKeys, is_question};

use super::Far;
use super::far::{FarAnswer, FarQuestion};
use crate::daemon::agent::Agent;

impl Agent {
    /// Of this node and that peer.
    pub(super) fn question_keys(&self, peer: &PublicKey) -> PairKeys {
        let own = &self.stored.wireguard;
        PairKeys::new(&own.agree(peer), &own.public_key().0, &peer.0)
    }

    /// Answers a question, or takes the answer to one. False: the datagram is neither.
    pub(in crate::daemon) fn handle_question_stun(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> bool {
        if !is_question(datagram) {
            return false;
        }
        match Incoming::read(datagram) {
            Some(incoming) => self.answer_question(from, &incoming, now),
            None => self.handle_answer(from, datagram, now),
        }
        true
    }

    fn handle_answer(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        for (open, _) in &mut self.traces.open {
            let reply = open.question.as_mut().and_then(|ours| ours.handle_datagram(from, datagram, now));
            let Some(reply) = reply else { continue };
            open.far = FarAnswer::from_bytes(&reply.content).map(|answer| Far {
                from: reply.from,
                after: reply.after,
                answer,
            });
            return;
        }
    }

    /// Only a peer of the map is answered: nobody else's question can be opened.
    fn answer_question(&mut self, from: SocketAddr, incoming: &Incoming, now: Instant) {
        let asker = self.stored.map.as_ref().and_then(|map| map.peers.get(&NodeId(incoming.asker())));
        let Some(peer) = asker.filter(|_| self.plane.is_some()).cloned() else { return };
        let key = PublicKey(peer.wireguard_key.0);
        let own = &self.stored.wireguard;
        let agree = || PairKeys::new(&own.agree(&key), &own.public_key().0, &key.0);
        let Some(content) = self.traces.answerer.open(incoming, &key.0, agree, now) else { return };
        let Some(question) = FarQuestion::from_bytes(&content) else { return };
        let answer = self.far_answer(&peer, &question).to_bytes();
        let mut nonce = [0; 12];
        let (Some(keys), Ok(())) = (self.traces.answerer.keys(incoming), getrandom::fill(&mut nonce)) else {
            return;
        };
        let sent =
            incoming.answer(keys, &answer, nonce).map_err(|error| error.to_string()).and_then(|answer| {
                let plane = self.plane.as_ref().ok_or("the tunnels are down")?;
                plane.dataplane.send_datagram(None, from, &answer).map_err(|error| error.to_string())
            });
        if let Err(error) = sent {
            tracing::debug!(%from, error, "a question was not answered");
        }
    }
}
