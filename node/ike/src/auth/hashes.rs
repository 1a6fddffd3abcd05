/// Hash of a signature, with its number in "IKEv2 Hash Algorithms" (RFC 7427 §7, RFC 8420 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum SignatureHash {
    Sha1 = 1,
    Sha2_256 = 2,
    Sha2_384 = 3,
    Sha2_512 = 4,
    /// The message goes into the signature unhashed: Ed25519.
    Identity = 5,
}

impl SignatureHash {
    pub(crate) const ALL: [Self; 5] =
        [Self::Sha1, Self::Sha2_256, Self::Sha2_384, Self::Sha2_512, Self::Identity];

    /// IANA's.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha2_256 => "SHA2-256",
            Self::Sha2_384 => "SHA2-384",
            Self::Sha2_512 => "SHA2-512",
            Self::Identity => "Identity",
        }
    }

    const fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// The hashes of a SIGNATURE_HASH_ALGORITHMS notification. A peer that sends none knows only the old methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignatureHashes(u8);

impl SignatureHashes {
    /// A peer without RFC 7427.
    pub const NONE: Self = Self(0);

    /// What we verify. SHA-1 is not among them: RFC 8247 §3.2.2 forbids it here.
    pub const SUPPORTED: Self = Self(
        SignatureHash::Sha2_256.bit()
            | SignatureHash::Sha2_384.bit()
            | SignatureHash::Sha2_512.bit()
            | SignatureHash::Identity.bit(),
    );

    /// From the data of the notification; unknown numbers and an odd octet at the end are ignored.
    pub fn from_notify_data(data: &[u8]) -> Self {
        let (numbers, _) = data.as_chunks::<2>();
        numbers.iter().map(|number| u16::from_be_bytes(*number)).fold(Self::NONE, |set, number| {
            SignatureHash::ALL
                .into_iter()
                .find(|hash| *hash as u16 == number)
                .map_or(set, |hash| Self(set.0 | hash.bit()))
        })
    }

    pub fn notify_data(self) -> Vec<u8> {
        SignatureHash::ALL
            .into_iter()
            .filter(|hash| self.contains(*hash))
            .flat_map(|hash| (hash as u16).to_be_bytes())
            .collect()
    }

    pub const fn contains(self, hash: SignatureHash) -> bool {
        self.0 & hash.bit() != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notification_lists_each_hash_once_and_ignores_what_is_unknown() {
        assert_eq!(SignatureHashes::SUPPORTED.notify_data(), [0, 2, 0, 3, 0, 4, 0, 5]);
        let peer = SignatureHashes::from_notify_data(&[0, 1, 0, 2, 0, 2, 9, 9, 0, 6, 7]);
        assert!(peer.contains(SignatureHash::Sha1) && peer.contains(SignatureHash::Sha2_256));
        assert!(!peer.contains(SignatureHash::Sha2_384) && !peer.contains(SignatureHash::Identity));
        assert!(SignatureHashes::from_notify_data(&[0]).is_empty());
    }
}
