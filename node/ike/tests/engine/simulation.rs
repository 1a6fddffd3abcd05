//! Two ends that do whatever comes to mind over a bad link: after quiet they hold the same SAs with the same keys.

use twinmesh_ike::config::{ConnectionConfig, Protocol};
use twinmesh_ike::{Command, EngineConfig, Retransmission};

use crate::pair::{Dice, Link, Node, Pair, connection, flip, proposals, voice};

const SEEDS: u64 = 700;
const SEEDS_WITH_FURTHER_KEY_EXCHANGES: u64 = 200;

fn random_command(dice: &mut Dice, node: &Node) -> Option<Command> {
    let pick = |dice: &mut Dice, count: usize| usize::try_from(dice.below(count as u64)).unwrap();
    let ike = |dice: &mut Dice| (!node.ike.is_empty()).then(|| node.ike[pick(dice, node.ike.len())]);
    let child = |dice: &mut Dice| {
        let children: Vec<_> = node.esp.keys().copied().collect();
        (!children.is_empty()).then(|| children[pick(dice, children.len())])
    };
    Some(match dice.below(11) {
        0 => Command::RekeyIke { ike_sa: ike(dice)? },
        1..=4 => Command::RekeyChild { child_sa: child(dice)? },
        5 | 6 => Command::TerminateChild { child_sa: child(dice)? },
        7 | 8 => {
            let child = if dice.below(2) == 0 { "lan" } else { "voice" };
            Command::CreateChild { connection: "site".into(), child: child.into(), trigger: None }
        }
        9 => Command::Reauthenticate { ike_sa: ike(dice)? },
        _ => Command::CheckLiveness { ike_sa: ike(dice)? },
    })
}

/// The left's configuration, and the right's.
fn plain() -> (ConnectionConfig, ConnectionConfig) {
    let mut left = connection();
    left.mobike = true;
    left.children.push(voice());
    (left.clone(), flip(&left))
}

/// With additional key exchanges, which the right leaves out where it is asked and may.
fn with_further_key_exchanges() -> (ConnectionConfig, ConnectionConfig) {
    let (mut left, _) = plain();
    let ike = "aes128gcm16-prfsha256-x25519-ke1_mlkem768-ke1_none-ke2_ecp256";
    left.proposals = proposals(Protocol::Ike, ike);
    left.children[0].proposals = proposals(Protocol::Esp, "aes128gcm16-x25519-ke1_mlkem768");
    left.children[1].proposals =
        proposals(Protocol::Esp, "aes128gcm16-x25519-modpnone-ke1_mlkem768-ke1_none-ke3_ecp256-ke3_none");
    let mut right = flip(&left);
    right.proposals =
        proposals(Protocol::Ike, "aes128gcm16-prfsha256-x25519-ke1_none-ke1_mlkem768-ke2_ecp256");
    right.children[1].proposals =
        proposals(Protocol::Esp, "aes128gcm16-x25519-modpnone-ke1_none-ke1_mlkem768-ke3_none");
    (left, right)
}

fn simulate((left, right): (ConnectionConfig, ConnectionConfig), seed: u64) {
    // Patient enough that no exchange is ever given up.
    let retransmission = Retransmission { tries: 30, ..Retransmission::default() };
    let config = EngineConfig { retransmission, ..EngineConfig::default() };
    let mut pair = Pair::of(left, right, config, seed);
    pair.initiate();
    pair.run_secs(1);
    let mut dice = Dice::new(seed ^ 0x5eed);
    pair.link = Link { loss: dice.below(30), duplication: dice.below(30), ..Link::BAD };
    // RFC 4555 §1.3: one end at a time.
    let left_moves = dice.below(2) == 0;
    for _ in 0..12 {
        if dice.below(6) == 0 {
            let host = 10 + dice.below(5);
            if left_moves {
                pair.move_left(&format!("192.0.2.{host}"));
            } else {
                pair.move_right(&format!("198.51.100.{host}"));
            }
        }
        for by_left in [true, false] {
            if dice.below(3) == 0 {
                continue;
            }
            let node = if by_left { &pair.left } else { &pair.right };
            let Some(command) = random_command(&mut dice, node) else { continue };
            if by_left {
                pair.left_does(command);
            } else {
                pair.right_does(command);
            }
        }
        let pause = std::time::Duration::from_millis(dice.below(8_000));
        pair.run(pause);
    }
    pair.link = Link::GOOD;
    pair.run_secs(4_000);
    pair.assert_agreed();
    assert!(pair.left.ike.len() == 1, "one IKE SA is left, not {}", pair.left.ike.len());
    let path = |node: &Node| node.paths.get(node.ike.last()?).copied();
    let at = |ip, port| Some(std::net::SocketAddr::new(ip, port));
    let (left, right) = (pair.left.address.ip(), pair.right.address.ip());
    assert_eq!(path(&pair.left), at(left, 4500).zip(at(right, 4500)), "ESP goes where the ends are");
    assert_eq!(path(&pair.right), at(right, 4500).zip(at(left, 4500)));
    pair.assert_at_rest();
}

#[test]
fn after_quiet_both_ends_hold_the_same_sas_with_the_same_keys() {
    for seed in 1..=SEEDS {
        let outcome = std::panic::catch_unwind(|| simulate(plain(), seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

#[test]
fn after_quiet_both_ends_hold_the_same_sas_whatever_key_exchanges_follow() {
    for seed in 1..=SEEDS_WITH_FURTHER_KEY_EXCHANGES {
        let outcome = std::panic::catch_unwind(|| simulate(with_further_key_exchanges(), seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
