//! The algorithms and their names.

use super::super::Protocol;
use super::{Transform, TransformKind};
use Class::{Default as Sound, Legacy};
use TransformKind::{AdditionalKeyExchange, Encryption, Integrity, KeyExchange, Prf, SequenceNumbers};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Default,
    Legacy,
}

/// In which SAs an algorithm can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Ike,
    Esp,
    Both,
}

pub(super) struct Row {
    pub(super) name: &'static str,
    transform: Transform,
    pub(super) class: Class,
    used: Use,
}

const fn row(name: &'static str, kind: TransformKind, id: u16, class: Class, used: Use) -> Row {
    Row { name, transform: Transform::new(kind, id), class, used }
}

const fn cipher(name: &'static str, id: u16, key_bits: u16, used: Use) -> Row {
    let transform = Transform { kind: Encryption, id, key_bits: Some(key_bits) };
    Row { name, transform, class: Class::Default, used }
}

/// Numbers from IANA's registry "Internet Key Exchange Version 2 (IKEv2) Parameters". Of two lines with the same
/// transform the first gives its name.
const TABLE: &[Row] = &[
    cipher("aes128gcm16", 20, 128, Use::Both),
    cipher("aes256gcm16", 20, 256, Use::Both),
    row("chacha20poly1305", Encryption, 28, Sound, Use::Both),
    cipher("aes192gcm16", 20, 192, Use::Esp),
    cipher("aes128gcm12", 19, 128, Use::Esp),
    cipher("aes192gcm12", 19, 192, Use::Esp),
    cipher("aes256gcm12", 19, 256, Use::Esp),
    cipher("aes128gcm8", 18, 128, Use::Esp),
    cipher("aes192gcm8", 18, 192, Use::Esp),
    cipher("aes256gcm8", 18, 256, Use::Esp),
    cipher("aes128", 12, 128, Use::Both),
    cipher("aes192", 12, 192, Use::Both),
    cipher("aes256", 12, 256, Use::Both),
    cipher("aes128ctr", 13, 128, Use::Esp),
    cipher("aes192ctr", 13, 192, Use::Esp),
    cipher("aes256ctr", 13, 256, Use::Esp),
    row("3des", Encryption, 3, Legacy, Use::Both),
    row("sha256", Integrity, 12, Sound, Use::Both),
    row("sha384", Integrity, 13, Sound, Use::Both),
    row("sha512", Integrity, 14, Sound, Use::Both),
    row("sha1", Integrity, 2, Legacy, Use::Both),
    row("prfsha256", Prf, 5, Sound, Use::Ike),
    row("prfsha384", Prf, 6, Sound, Use::Ike),
    row("prfsha512", Prf, 7, Sound, Use::Ike),
    row("prfsha1", Prf, 2, Legacy, Use::Ike),
    row("x25519", KeyExchange, 31, Sound, Use::Both),
    row("ecp256", KeyExchange, 19, Sound, Use::Both),
    row("ecp384", KeyExchange, 20, Sound, Use::Both),
    row("ecp521", KeyExchange, 21, Sound, Use::Both),
    row("modp2048", KeyExchange, 14, Sound, Use::Both),
    row("modp3072", KeyExchange, 15, Sound, Use::Both),
    row("modp4096", KeyExchange, 16, Sound, Use::Both),
    row("mlkem768", KeyExchange, 36, Sound, Use::Both),
    row("modp1536", KeyExchange, 5, Legacy, Use::Both),
    row("modp1024", KeyExchange, 2, Legacy, Use::Both),
    row("noesn", SequenceNumbers, 0, Sound, Use::Esp),
    row("esn", SequenceNumbers, 1, Sound, Use::Esp),
    // Other words for the same.
    cipher("aes128gcm128", 20, 128, Use::Both),
    cipher("aes256gcm128", 20, 256, Use::Both),
    cipher("aes", 12, 128, Use::Both),
    row("curve25519", KeyExchange, 31, Sound, Use::Both),
    row("sha", Integrity, 2, Legacy, Use::Both),
    row("sha2_256", Integrity, 12, Sound, Use::Both),
    row("sha2_384", Integrity, 13, Sound, Use::Both),
    row("sha2_512", Integrity, 14, Sound, Use::Both),
];

/// The PRF that goes with an integrity algorithm where a proposal names none, as strongSwan has it.
pub(in crate::config) fn prf_beside(integrity: Transform) -> Option<Transform> {
    let id = match integrity.id {
        12 => 5,
        13 => 6,
        14 => 7,
        2 => 2,
        _ => return None,
    };
    Some(Transform::new(Prf, id))
}

/// The transform that a word names in proposals of this protocol: `x25519`, or with its round `ke1_mlkem768`.
pub(in crate::config) fn of_name(word: &str, protocol: Protocol) -> Option<Transform> {
    if let Some((round, method)) = word.strip_prefix("ke").and_then(|rest| rest.split_once('_')) {
        let round = (1..=7).find(|number: &u8| number.to_string() == round)?;
        let exchange = of_name(method, protocol).filter(|it| it.kind == KeyExchange)?;
        return Some(Transform { kind: AdditionalKeyExchange(round), ..exchange });
    }
    if matches!(word, "none" | "modpnone") {
        return Some(Transform::new(KeyExchange, 0));
    }
    let allowed = |used: Use| match protocol {
        Protocol::Ike => used != Use::Esp,
        Protocol::Esp => used != Use::Ike,
    };
    TABLE.iter().find(|row| row.name == word && allowed(row.used)).map(|row| row.transform)
}

pub(super) fn row_of(transform: Transform) -> Option<&'static Row> {
    let wanted = if let AdditionalKeyExchange(_) = transform.kind {
        Transform { kind: KeyExchange, ..transform }
    } else {
        transform
    };
    TABLE.iter().find(|row| row.transform == wanted)
}

/// Names of what peers may offer although this crate does not take it, so that a diagnosis can be read.
pub(super) fn unsupported_name(kind: TransformKind, id: u16) -> Option<&'static str> {
    let kind = if let AdditionalKeyExchange(_) = kind { KeyExchange } else { kind };
    Some(match (kind, id) {
        (Encryption, 2) => "des",
        (Encryption, 5) => "cast",
        (Encryption, 7) => "blowfish",
        (Encryption, 11) => "null",
        (Encryption, 12) => "aes",
        (Encryption, 13) => "aesctr",
        (Encryption, 14) => "aesccm8",
        (Encryption, 15) => "aesccm12",
        (Encryption, 16) => "aesccm16",
        (Encryption, 18) => "aesgcm8",
        (Encryption, 19) => "aesgcm12",
        (Encryption, 20) => "aesgcm16",
        (Encryption, 21) => "aesgmac",
        (Encryption, 23) => "camellia",
        (Prf, 1) => "prfmd5",
        (Prf, 4) => "prfaesxcbc",
        (Prf, 8) => "prfaescmac",
        (Integrity, 1) => "md5",
        (Integrity, 5) => "aesxcbc",
        (Integrity, 8) => "aescmac",
        (KeyExchange, 1) => "modp768",
        (KeyExchange, 17) => "modp6144",
        (KeyExchange, 18) => "modp8192",
        (KeyExchange, 22) => "modp1024s160",
        (KeyExchange, 23) => "modp2048s224",
        (KeyExchange, 24) => "modp2048s256",
        (KeyExchange, 25) => "ecp192",
        (KeyExchange, 26) => "ecp224",
        (KeyExchange, 27) => "ecp224bp",
        (KeyExchange, 28) => "ecp256bp",
        (KeyExchange, 29) => "ecp384bp",
        (KeyExchange, 30) => "ecp512bp",
        (KeyExchange, 32) => "x448",
        (KeyExchange, 35) => "mlkem512",
        (KeyExchange, 37) => "mlkem1024",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_itself() {
        for row in TABLE {
            let protocol = if row.used == Use::Ike { Protocol::Ike } else { Protocol::Esp };
            let read = of_name(row.name, protocol).unwrap();
            assert_eq!(read, row.transform, "{}", row.name);
            assert_eq!(of_name(&read.to_string(), protocol), Some(read), "{}", row.name);
        }
    }

    #[test]
    fn words_of_the_other_protocol_are_no_words() {
        assert_eq!(of_name("prfsha256", Protocol::Esp), None);
        assert_eq!(of_name("esn", Protocol::Ike), None);
    }

    #[test]
    fn additional_key_exchanges_are_named_with_their_round() {
        let first = Transform::new(AdditionalKeyExchange(1), 36);
        assert_eq!(of_name("ke1_mlkem768", Protocol::Ike), Some(first));
        assert_eq!(of_name("ke7_none", Protocol::Esp), Some(Transform::new(AdditionalKeyExchange(7), 0)));
        assert_eq!(of_name("ke2_ecp384", Protocol::Esp).unwrap().to_string(), "ke2_ecp384");
        for word in
            ["ke0_x25519", "ke8_x25519", "ke01_x25519", "ke_x25519", "ke1_aes128", "ke1_ke2_x25519", "ke1_"]
        {
            assert_eq!(of_name(word, Protocol::Ike), None, "{word}");
        }
    }
}
