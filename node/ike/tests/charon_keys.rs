//! SKEYSEED, the keys of an IKE SA and KEYMAT as strongSwan's charon derived them, from its log of four conversations
//! (RFC 7296 §2.13, §2.14, §2.17).

use twinmesh_ike::crypto::{Prf, SaKeys};
use twinmesh_ike::wire::{Message, Payload};

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |place: usize| u8::from_str_radix(&hex[place..place + 2], 16).expect("as charon logged it");
    (0..hex.len()).step_by(2).map(digit).collect()
}

/// The value of a label; nothing if the algorithms have no such key.
fn logged(log: &str, label: &str) -> Vec<u8> {
    let lines = log.lines().filter_map(|line| line.split_once(' '));
    lines.filter(|(key, _)| *key == label).flat_map(|(_, value)| bytes(value)).collect()
}

fn nonce(message: &[u8]) -> Vec<u8> {
    let payloads: Vec<_> = Message::parse(message)
        .expect("as charon logged it")
        .payloads()
        .collect::<Result<_, _>>()
        .expect("as charon logged it");
    let mut nonces =
        payloads.iter().filter_map(|it| if let Payload::Nonce(nonce) = it { Some(*nonce) } else { None });
    nonces.next_back().expect("as charon logged it").to_vec()
}

fn agrees(prf: Prf, log: &str) {
    let of = |label: &str| logged(log, label);
    let (request, response) = (of("request"), of("response"));
    let (ni, nr) = (nonce(&request), nonce(&response));
    let seed = prf.compute(&[ni.clone(), nr.clone()].concat(), &[&of("shared_Diffie_Hellman_secret")]);
    assert_eq!(*seed, of("SKEYSEED"));

    let labels = ["d", "ai", "ar", "ei", "er", "pi", "pr"];
    let keys: Vec<Vec<u8>> = labels.iter().map(|name| of(&format!("Sk_{name}_secret"))).collect();
    let stream = prf.expand(&seed, &[&ni, &nr, &response[..16]], keys.concat().len());
    assert_eq!(*stream, keys.concat());

    let [d, ai, ar, ei, er, pi, pr] = keys.try_into().expect("as charon logged it");
    let [d, ai, ar, ei, er, pi, pr] = [d, ai, ar, ei, er, pi, pr].map(Into::into);
    let sa = SaKeys { d, ai, ar, ei, er, pi, pr };
    let of_side =
        |side: &str| [of(&format!("encryption_{side}_key")), of(&format!("integrity_{side}_key"))].concat();
    let child = [of_side("initiator"), of_side("responder")].concat();
    assert!(child.len() >= 40);
    assert_eq!(*sa.child_keymat(prf, &[], &ni, &nr, child.len()), child);
}

#[test]
fn charon_derived_the_same_keys_for_ike_sas_and_children() {
    agrees(Prf::HmacSha256, include_str!("charon_keys/a.txt"));
    agrees(Prf::HmacSha256, include_str!("charon_keys/b.txt"));
    agrees(Prf::HmacSha512, include_str!("charon_keys/c.txt"));
    agrees(Prf::HmacSha384, include_str!("charon_keys/d.txt"));
}
