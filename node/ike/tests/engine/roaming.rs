//! Peers that keys alone tell from others, as between two nodes of a mesh.

use std::net::SocketAddr;

use twinmesh_ike::config::{ConnectionConfig, Remote};
use twinmesh_ike::{Command, EngineConfig};

use super::pair::{Pair, connection, flip};

/// The right looks for the left where it is not.
fn pair() -> Pair {
    let elsewhere = Remote::Roaming("203.0.113.200:500".parse().unwrap());
    let right = ConnectionConfig { remote: elsewhere, ..flip(&connection()) };
    Pair::of(connection(), right, EngineConfig::default(), 1)
}

#[test]
fn a_roaming_peer_is_answered_from_wherever_it_comes() {
    let mut pair = pair();
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!(pair.right.ike.len(), 1);
}

#[test]
fn a_roaming_peer_is_followed_though_no_nat_was_ever_found() {
    let mut pair = pair();
    pair.initiate();
    pair.run_secs(1);
    assert!(!pair.right.established[0].nat.remote, "the left is behind no NAT");
    pair.nat = Some("203.0.113.9:30400".parse().unwrap());
    pair.left_does(Command::CheckLiveness { ike_sa: pair.left_ike() });
    pair.run_secs(1);
    assert_eq!(pair.right.moved, ["203.0.113.9:30450".parse().unwrap()]);
    pair.right_does(Command::CheckLiveness { ike_sa: pair.right_ike() });
    pair.run_secs(300);
    assert!(pair.left.deleted.is_empty() && pair.right.deleted.is_empty(), "an SA was lost by the move");
}

#[test]
fn a_peer_is_gone_on_with_where_the_caller_has_found_it() {
    let mut pair = pair();
    pair.initiate();
    pair.run_secs(1);
    let gone: SocketAddr = "203.0.113.9:30400".parse().unwrap();
    pair.nat = Some(gone);
    let [local, remote] = [pair.right.address.ip(), gone.ip()];
    let remote = SocketAddr::new(remote, 30450);
    pair.right_does(Command::Lead { connection: "site".into(), local, remote });
    pair.run_secs(1);
    assert_eq!(pair.right.moved, [remote]);
    pair.right_does(Command::Lead { connection: "site".into(), local, remote });
    pair.run_secs(300);
    assert_eq!(pair.right.moved, [remote], "it was there already");
    assert!(pair.left.deleted.is_empty() && pair.right.deleted.is_empty(), "an SA was lost by the move");
}

#[test]
fn an_attempt_goes_on_where_the_caller_has_found_the_peer() {
    let mut pair = pair();
    pair.right_does(Command::Initiate { connection: "site".into() });
    pair.run_secs(1);
    assert!(pair.right.ike.is_empty(), "nobody answers there");
    let (local, remote) = (pair.right.address.ip(), pair.left.address);
    pair.right_does(Command::Lead { connection: "site".into(), local, remote });
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!(pair.right.ike.len(), 1);
}
