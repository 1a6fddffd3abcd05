//! SKEYSEED, the keys of an IKE SA and KEYMAT as strongSwan's charon derived them, from its log of four conversations
//! (RFC 7296 §2.13, §2.14, §2.17, §2.18).

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

    let sa = same_keys(prf, log, "", &seed, [&ni, &nr, &response[..16]]);
    let of_side =
        |side: &str| [of(&format!("encryption_{side}_key")), of(&format!("integrity_{side}_key"))].concat();
    let child = [of_side("initiator"), of_side("responder")].concat();
    assert!(child.len() >= 40);
    assert_eq!(*sa.child_keymat(prf, &[], &ni, &nr, child.len()), child);

    // RFC 7296 §2.18: the IKE SA that came after it.
    let of = |label: &str| logged(log, &format!("rekey_{label}"));
    let (ni, nr, spis) = (of("Ni"), of("Nr"), [of("SPIi"), of("SPIr")].concat());
    let seed = prf.compute(&sa.d, &[&of("shared_Diffie_Hellman_secret"), &ni, &nr]);
    assert_eq!(*seed, of("SKEYSEED"));
    same_keys(prf, log, "rekey_", &seed, [&ni, &nr, &spis]);
}

/// prf+(SKEYSEED, Ni | Nr | SPIi | SPIr) (RFC 7296 §2.14).
fn same_keys(prf: Prf, log: &str, prefix: &str, seed: &[u8], input: [&[u8]; 3]) -> SaKeys {
    let labels = ["d", "ai", "ar", "ei", "er", "pi", "pr"];
    let keys = labels.map(|name| logged(log, &format!("{prefix}Sk_{name}_secret")));
    assert!(keys[0].len() == prf.output_len());
    assert_eq!(*prf.expand(seed, &input, keys.concat().len()), keys.concat());
    let [d, ai, ar, ei, er, pi, pr] = keys.map(Into::into);
    SaKeys { d, ai, ar, ei, er, pi, pr }
}

#[test]
fn charon_derived_the_same_keys_for_ike_sas_their_successors_and_children() {
    agrees(Prf::HmacSha256, include_str!("charon_keys/a.txt"));
    agrees(Prf::HmacSha256, include_str!("charon_keys/b.txt"));
    agrees(Prf::HmacSha512, include_str!("charon_keys/c.txt"));
    agrees(Prf::HmacSha384, include_str!("charon_keys/d.txt"));
}
