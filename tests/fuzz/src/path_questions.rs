//! Questions between two nodes (`question`): one asks, one answers, and somebody between them sends again, damages and
//! invents. Nothing but what the two have said is ever taken for it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use twinmesh_path::question::{Answerer, Incoming, MAX_CONTENT, PairKeys, Question, is_question};

use crate::script::Script;

const AGREEMENT: [u8; 32] = [9; 32];
const OWN: [u8; 32] = [1; 32];
const PEER: [u8; 32] = [2; 32];
/// The peer's number in the network.
const ASKER: u64 = 7;
const METHOD: u16 = 0x7a1;
const ATTRIBUTES: [u16; 4] = [0xc7a1, 0xc7a2, 6, 0x1c];
/// Nonce, length, content and tag.
const SEALED_LEN: usize = 12 + 2 + MAX_CONTENT + 16;
/// At most so many places are asked.
const MOST_PLACES: usize = 16;

pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut world = World::new();
    let mut steps = 0;
    while !script.is_over() && steps < 64 {
        steps += 1;
        world.step(&mut script);
    }
}

struct World {
    answerer: Answerer,
    /// The asker's, and what it asked.
    question: Option<(Question, Vec<u8>)>,
    now: Instant,
    asked: Vec<Said>,
    answered: Vec<Said>,
    opens: u64,
    number: u8,
}

/// What was on the wire.
#[derive(Clone)]
struct Said {
    content: Vec<u8>,
    datagram: Vec<u8>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            answerer: Answerer::new(now),
            question: None,
            now,
            asked: Vec::new(),
            answered: Vec::new(),
            opens: 0,
            number: 0,
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 8 {
            0 => self.ask(script),
            1 => self.answer(script),
            2 => {
                let said = of(&self.asked, script);
                let datagram = damaged(said, script);
                self.open(&datagram, script.byte().is_multiple_of(4));
            }
            3 => {
                let said = of(&self.answered, script);
                let datagram = damaged(said, script);
                self.reply(&datagram);
            }
            4 => {
                let datagram = invented(script);
                self.open(&datagram, false);
                self.reply(&datagram);
            }
            5 => {
                let len = usize::from(script.byte());
                let datagram = script.bytes(len).to_vec();
                self.open(&datagram, false);
                self.reply(&datagram);
            }
            6 => self.answerer.forget_keys(),
            _ => {
                self.now += Duration::from_millis(u64::from(script.word()));
                if let Some((question, _)) = &mut self.question {
                    question.handle_timeout(self.now);
                    assert!(question.poll_timeout().is_none_or(|due| due > self.now));
                    assert_eq!(question.is_over(), question.poll_timeout().is_none());
                }
            }
        }
        let counters = self.answerer.counters();
        assert_eq!(counters.opened + counters.forged + counters.limited, self.opens);
    }

    fn ask(&mut self, script: &mut Script<'_>) {
        self.number = self.number.wrapping_add(1);
        let len = usize::from(script.word()) % (MAX_CONTENT + 8);
        let content = content(len, script);
        let places: Vec<SocketAddr> = (0..script.byte() % 20).map(place).collect();
        let random = ([self.number; 12], [!self.number; 12]);
        let question = Question::new(peers_keys(), ASKER, &content, &places, random, self.now);
        assert_eq!(question.is_err(), content.len() > MAX_CONTENT);
        let Ok(mut question) = question else { return };
        let mut copies = 0;
        while let Some((to, datagram)) = question.poll_transmit() {
            assert!(places.contains(&to) && is_question(datagram));
            if copies == 0 {
                self.asked.push(Said { content: content.clone(), datagram: datagram.to_vec() });
            }
            copies += 1;
        }
        assert_eq!(copies, places.len().min(MOST_PLACES));
        self.question = Some((question, content));
    }

    /// As the honest answerer does it.
    fn answer(&mut self, script: &mut Script<'_>) {
        let Said { datagram, .. } = of(&self.asked, script);
        let Some(incoming) = Incoming::read(&datagram) else { return };
        let len = usize::from(script.word()) % (MAX_CONTENT + 8);
        let content = content(len, script);
        self.opens += 1;
        if self.answerer.open(&incoming, &PEER, own_keys, self.now).is_none() {
            return;
        }
        let keys = self.answerer.keys(&incoming).expect("whose question was opened is known");
        let answer = incoming.answer(keys, &content, [script.byte(); 12]);
        assert_eq!(answer.is_err(), content.len() > MAX_CONTENT);
        if let Ok(answer) = answer {
            assert!(answer.len() <= datagram.len(), "nobody is sent more than was asked with");
            self.answered.push(Said { content, datagram: answer });
        }
    }

    /// `renamed`: the asker's number belongs to another node, with another key.
    fn open(&mut self, datagram: &[u8], renamed: bool) {
        let Some(incoming) = Incoming::read(datagram) else { return };
        assert!(is_question(datagram));
        self.opens += 1;
        if renamed {
            let stranger = [3; 32];
            let keys = || PairKeys::new(&AGREEMENT, &OWN, &stranger);
            assert!(self.answerer.open(&incoming, &stranger, keys, self.now).is_none());
            return;
        }
        if let Some(content) = self.answerer.open(&incoming, &PEER, own_keys, self.now) {
            assert_eq!(incoming.asker(), ASKER);
            assert!(self.asked.iter().any(|said| said.content == *content), "nobody asked that");
        }
    }

    fn reply(&mut self, datagram: &[u8]) {
        let Some((question, _)) = &mut self.question else { return };
        let was_over = question.is_over();
        if let Some(reply) = question.handle_datagram(place(1), datagram, self.now) {
            assert!(!was_over && question.is_over() && question.poll_transmit().is_none());
            assert!(self.answered.iter().any(|said| said.content == *reply.content), "nobody answered that");
        } else {
            assert_eq!(question.is_over(), was_over, "what is no answer ends nothing");
        }
    }
}

fn peers_keys() -> PairKeys {
    PairKeys::new(&AGREEMENT, &PEER, &OWN)
}

fn own_keys() -> PairKeys {
    PairKeys::new(&AGREEMENT, &OWN, &PEER)
}

fn place(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 4500))
}

/// A long one of few bytes.
fn content(len: usize, script: &mut Script<'_>) -> Vec<u8> {
    let few = usize::from(script.byte() % 8).min(len);
    let some = script.bytes(few).to_vec();
    let fill = script.byte();
    some.into_iter().chain(std::iter::repeat(fill)).take(len).collect()
}

fn of(said: &[Said], script: &mut Script<'_>) -> Said {
    let at = usize::from(script.byte());
    let none = Said { content: Vec::new(), datagram: Vec::new() };
    at.checked_rem(said.len()).and_then(|at| said.get(at)).cloned().unwrap_or(none)
}

fn damaged(said: Said, script: &mut Script<'_>) -> Vec<u8> {
    let mut datagram = said.datagram;
    for _ in 0..script.byte() % 4 {
        let (at, byte) = (usize::from(script.word()), script.byte());
        if let Some(at) = at.checked_rem(datagram.len()) {
            datagram[at] ^= byte;
        }
    }
    let cut = usize::from(script.byte() % 16);
    datagram
        .truncate(datagram.len() - cut.min(datagram.len()) * usize::from(script.byte().is_multiple_of(8)));
    datagram
}

/// A question or answer in form, of somebody without the keys.
fn invented(script: &mut Script<'_>) -> Vec<u8> {
    let class = script.of(&[0, 0x100, 0x010, 0x110]);
    // The bits of method and class are mixed (RFC 8489 §5).
    let method = (METHOD & 0xf) | ((METHOD & 0x70) << 1) | ((METHOD & 0xf80) << 2);
    let mut message = (method | class).to_be_bytes().to_vec();
    message.extend([0, 0, 0x21, 0x12, 0xa4, 0x42]);
    message.extend([script.byte() % 4; 12]);
    for _ in 0..script.byte() % 5 {
        let kind = script.of(&ATTRIBUTES);
        let odd = usize::from(script.byte());
        let len = script.of(&[8, SEALED_LEN, odd]);
        let value = content(len, script);
        message.extend(kind.to_be_bytes());
        message.extend(u16::try_from(len).expect("attributes are short").to_be_bytes());
        message.extend(&value);
        message.resize(message.len().next_multiple_of(4), 0);
    }
    let len = u16::try_from(message.len() - 20).expect("messages are short");
    message[2..4].copy_from_slice(&len.to_be_bytes());
    message
}
