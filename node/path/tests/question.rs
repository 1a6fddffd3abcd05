//! Questions and answers between two nodes, in memory.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use twinmesh_path::question::{
    Answerer, Counters, GIVE_UP, Incoming, MAX_CONTENT, PairKeys, Question, TooLong, is_question,
};

const AGREEMENT: [u8; 32] = [7; 32];
const ALPHA: [u8; 32] = [1; 32];
const BETA: [u8; 32] = [2; 32];
/// Alpha's number in the network.
const ASKER: u64 = 11;

fn alphas() -> PairKeys {
    PairKeys::new(&AGREEMENT, &ALPHA, &BETA)
}

fn betas() -> PairKeys {
    PairKeys::new(&AGREEMENT, &BETA, &ALPHA)
}

fn place(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 4500))
}

/// Alpha asks; the number makes its random bytes.
fn asked(content: &[u8], number: u8, now: Instant) -> Question {
    let random = ([number; 12], [number ^ 0xff; 12]);
    Question::new(alphas(), ASKER, content, &[place(1), place(2)], random, now).unwrap()
}

fn sent(question: &mut Question) -> Vec<(SocketAddr, Vec<u8>)> {
    std::iter::from_fn(|| question.poll_transmit().map(|(to, datagram)| (to, datagram.to_vec()))).collect()
}

fn datagram(content: &[u8], number: u8, now: Instant) -> Vec<u8> {
    sent(&mut asked(content, number, now)).remove(0).1
}

fn opened(answerer: &mut Answerer, datagram: &[u8], now: Instant) -> Option<Vec<u8>> {
    let incoming = Incoming::read(datagram)?;
    answerer.open(&incoming, &ALPHA, betas, now).map(|content| content.to_vec())
}

fn answer(datagram: &[u8], content: &[u8]) -> Vec<u8> {
    Incoming::read(datagram).unwrap().answer(&betas(), content, [9; 12]).unwrap()
}

#[test]
fn a_question_is_opened_by_its_peer_and_answered_to_its_asker() {
    let now = Instant::now();
    let mut question = asked(b"what do you know of me?", 1, now);
    let copies = sent(&mut question);
    assert_eq!(copies.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [place(1), place(2)]);
    let copy = &copies[1].1;
    assert!(is_question(copy) && !copy.windows(4).any(|window| window == b"what"));

    let mut beta = Answerer::new(now);
    assert_eq!(opened(&mut beta, copy, now).unwrap(), b"what do you know of me?");
    let incoming = Incoming::read(copy).unwrap();
    let answer = incoming.answer(beta.keys(&incoming).unwrap(), b"nothing", [9; 12]).unwrap();
    let later = now + Duration::from_millis(30);
    let reply = question.handle_datagram(place(2), &answer, later).unwrap();
    assert_eq!((reply.from, reply.content.as_slice()), (place(2), b"nothing".as_slice()));
    assert_eq!(reply.after, Duration::from_millis(30));
    assert!(question.is_over() && question.poll_timeout().is_none());
    assert!(question.handle_datagram(place(2), &answer, later).is_none(), "a second answer is none");
}

#[test]
fn all_places_are_asked_five_times_and_then_nobody_answers_any_more() {
    let start = Instant::now();
    let mut question = asked(b"?", 1, start);
    let mut rounds = Vec::new();
    let mut now = start;
    loop {
        let copies = sent(&mut question);
        if !copies.is_empty() {
            rounds.push(((now - start).as_millis(), copies.len()));
        }
        let Some(next) = question.poll_timeout() else { break };
        now = next;
        question.handle_timeout(now);
    }
    assert_eq!(rounds, [(0, 2), (250, 2), (500, 2), (1000, 2), (2000, 2)]);
    assert_eq!((now - start, question.is_over()), (GIVE_UP, true));
    let late = answer(&datagram(b"?", 1, start), b"late");
    assert!(question.handle_datagram(place(1), &late, now).is_none());
}

#[test]
fn a_place_that_is_learnt_while_the_question_is_open_is_asked_at_once_and_from_then_on() {
    let start = Instant::now();
    let mut question = asked(b"?", 1, start);
    sent(&mut question);
    question.aim(place(3));
    question.aim(place(1));
    let places = |question: &mut Question| sent(question).into_iter().map(|(to, _)| to).collect::<Vec<_>>();
    assert_eq!(places(&mut question), [place(3)], "the other is asked already");
    question.handle_timeout(start + Duration::from_millis(250));
    assert_eq!(places(&mut question), [1, 2, 3].map(place));
    for last in 0..=u8::MAX {
        question.aim(place(last));
    }
    assert_eq!(places(&mut question).len(), 13, "16 places in all");
    question.handle_timeout(start + GIVE_UP);
    question.aim(place(77));
    assert!(question.poll_transmit().is_none(), "it is over");
}

#[test]
fn questions_and_answers_have_one_length_whatever_they_say() {
    let now = Instant::now();
    let long = vec![b'x'; MAX_CONTENT];
    let (short, full) = (datagram(b"", 1, now), datagram(&long, 2, now));
    assert_eq!(short.len(), full.len());
    assert!(full.len() < 1200, "it fits every path: {}", full.len());
    assert!(answer(&short, &long).len() <= short.len());
    assert_eq!(opened(&mut Answerer::new(now), &full, now).unwrap(), long);
    let random = ([1; 12], [2; 12]);
    let error = Question::new(alphas(), ASKER, &vec![0; MAX_CONTENT + 1], &[], random, now).err();
    assert_eq!(error, Some(TooLong(MAX_CONTENT + 1)));
    let incoming = Incoming::read(&short).unwrap();
    assert_eq!(incoming.answer(&betas(), &vec![0; 70_000], [0; 12]), Err(TooLong(70_000)));
}

#[test]
fn nobody_else_can_ask_or_answer_and_nothing_serves_twice() {
    let now = Instant::now();
    let copy = datagram(b"?", 1, now);
    let mut beta = Answerer::new(now);
    // Under another agreement, and of another node's name.
    let other = || PairKeys::new(&[8; 32], &BETA, &ALPHA);
    let incoming = Incoming::read(&copy).unwrap();
    assert!(Answerer::new(now).open(&incoming, &ALPHA, other, now).is_none());
    let random = ([1; 12], [0xfe; 12]);
    let mut renamed = Question::new(alphas(), ASKER + 1, b"?", &[place(1)], random, now).unwrap();
    let mut mixed = copy.clone();
    // The asker's number is the first attribute's value.
    mixed[24..32].copy_from_slice(&(ASKER + 1).to_be_bytes());
    assert!(opened(&mut beta, &mixed, now).is_none());
    assert!(opened(&mut beta, &sent(&mut renamed)[0].1, now).is_some(), "so it would be under that name");
    // A question sent back is neither an answer nor a question of beta's.
    let mut question = asked(b"?", 1, now);
    assert!(question.handle_datagram(place(1), &copy, now).is_none());
    assert!(Answerer::new(now).open(&incoming, &BETA, alphas, now).is_none());
    // The answer to another question.
    assert!(question.handle_datagram(place(1), &answer(&datagram(b"?", 2, now), b"!"), now).is_none());
    assert!(question.handle_datagram(place(1), &answer(&copy, b"!"), now).is_some());
    assert_eq!(beta.counters(), Counters { opened: 1, forged: 1, limited: 0 });
}

#[test]
fn floods_are_bounded_and_forgeries_cost_the_honest_asker_nothing() {
    let now = Instant::now();
    let mut beta = Answerer::new(now);
    let copy = datagram(b"?", 1, now);
    let mut forged = copy.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!((0..10_000).all(|_| opened(&mut beta, &forged, now).is_none()));
    assert!(opened(&mut beta, &copy, now).is_some());
    let answered = (0..1_000).filter(|_| opened(&mut beta, &copy, now).is_some()).count();
    assert_eq!(answered, 63);
    assert!(opened(&mut beta, &copy, now + Duration::from_millis(100)).is_some(), "the bucket fills");
    assert!(beta.counters().limited >= 900);

    // Names of ever other askers: each would cost an agreement of keys.
    let mut agreements = 0;
    for number in 0..10_000_u64 {
        let mut named = copy.clone();
        named[24..32].copy_from_slice(&(1_000 + number).to_be_bytes());
        let incoming = Incoming::read(&named).unwrap();
        let agree = || {
            agreements += 1;
            betas()
        };
        beta.open(&incoming, &ALPHA, agree, now);
    }
    assert!(agreements <= 32, "{agreements}");
}

#[test]
fn a_peer_with_a_new_key_is_asked_for_new_keys() {
    let now = Instant::now();
    let mut beta = Answerer::new(now);
    let copy = datagram(b"?", 1, now);
    assert!(opened(&mut beta, &copy, now).is_some());
    let incoming = Incoming::read(&copy).unwrap();
    let renewed = || PairKeys::new(&[8; 32], &BETA, &[3; 32]);
    assert!(beta.open(&incoming, &[3; 32], renewed, now).is_none());
    beta.forget_keys();
    assert!(opened(&mut beta, &copy, now).is_some());
}

proptest! {
    #[test]
    fn content_reads_back(content in proptest::collection::vec(any::<u8>(), 0..=MAX_CONTENT), number: u8) {
        let now = Instant::now();
        let copy = datagram(&content, number, now);
        prop_assert_eq!(opened(&mut Answerer::new(now), &copy, now), Some(content.clone()));
        let reply = asked(b"?", number, now).handle_datagram(place(1), &answer(&copy, &content), now).unwrap();
        prop_assert_eq!(reply.content.as_slice(), content);
    }

    #[test]
    fn a_cut_message_is_none(place in any::<prop::sample::Index>()) {
        let now = Instant::now();
        let copy = datagram(b"?", 1, now);
        let cut = &copy[..place.index(copy.len())];
        prop_assert!(Incoming::read(cut).is_none() && !is_question(cut));
    }

    #[test]
    fn a_flipped_bit_changes_no_content(place in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let now = Instant::now();
        let mut copy = datagram(b"what", 1, now);
        let mut back = answer(&copy, b"that");
        let (at, back_at) = (place.index(copy.len()), place.index(back.len()));
        copy[at] ^= 1_u8 << bit;
        back[back_at] ^= 1_u8 << bit;
        // STUN's length and padding are not sealed, and nothing is read from them.
        let question = opened(&mut Answerer::new(now), &copy, now);
        prop_assert!(question.is_none_or(|question| question.as_slice() == b"what"));
        let reply = asked(b"what", 1, now).handle_datagram(self::place(1), &back, now);
        prop_assert!(reply.is_none_or(|reply| reply.content.as_slice() == b"that"));
    }

    #[test]
    fn garbage_is_none(garbage in proptest::collection::vec(any::<u8>(), 0..1_200)) {
        prop_assert!(Incoming::read(&garbage).is_none());
        let now = Instant::now();
        prop_assert!(asked(b"?", 1, now).handle_datagram(place(1), &garbage, now).is_none());
    }
}
