//! The form of every state file: one line of text, then the content as it is.
//!
//! ```text
//! twinmesh map 1 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
//! {"revision":7,…}
//! ```
//!
//! The check sum (SHA-256 of the content) tells damage that would still parse, such as a flipped bit in an
//! address, from what was written.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

const MAGIC: &str = "twinmesh";

/// Version of the forms that this program writes.
pub(super) const VERSION: u32 = 1;

/// Bytes that are not a whole state file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EnvelopeError {
    #[error("it does not start with a line of twinmesh")]
    Header,
    #[error("it is a file of another kind, `{0}`")]
    Kind(String),
    #[error("it is of version {0}")]
    Newer(u32),
    #[error("its check sum is wrong: it is cut short or damaged")]
    CheckSum,
}

/// The whole file for a content of that kind.
pub(super) fn wrap(kind: &str, content: &[u8]) -> Vec<u8> {
    let header = format!("{MAGIC} {kind} {VERSION} {}\n", check_sum(content));
    [header.as_bytes(), content].concat()
}

/// The content of a whole file of that kind.
pub(super) fn unwrap<'a>(kind: &str, file: &'a [u8]) -> Result<&'a [u8], EnvelopeError> {
    let end = file.iter().position(|byte| *byte == b'\n').ok_or(EnvelopeError::Header)?;
    let (header, content) = file.split_at_checked(end).ok_or(EnvelopeError::Header)?;
    let header = std::str::from_utf8(header).map_err(|_| EnvelopeError::Header)?;
    let mut words = header.split(' ');
    let (Some(MAGIC), Some(found), Some(version), Some(sum), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(EnvelopeError::Header);
    };
    if found != kind {
        return Err(EnvelopeError::Kind(found.to_owned()));
    }
    // Versions begin with 1: a 0 is a 1 with a flipped bit.
    let version: u32 = version.parse().ok().filter(|version| *version > 0).ok_or(EnvelopeError::Header)?;
    if version > VERSION {
        return Err(EnvelopeError::Newer(version));
    }
    let content = content.strip_prefix(b"\n").unwrap_or(content);
    if check_sum(content) == sum { Ok(content) } else { Err(EnvelopeError::CheckSum) }
}

fn check_sum(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_of_a_newer_version_is_not_called_damaged() {
        let file = String::from_utf8(wrap("map", b"{}")).unwrap().replace("map 1 ", "map 2 ");
        assert_eq!(unwrap("map", file.as_bytes()), Err(EnvelopeError::Newer(2)));
    }

    #[test]
    fn a_damaged_version_is_noticed() {
        let file = String::from_utf8(wrap("map", b"{}")).unwrap().replace("map 1 ", "map 0 ");
        assert_eq!(unwrap("map", file.as_bytes()), Err(EnvelopeError::Header));
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        assert_eq!(unwrap("map", &wrap("config", b"{}")), Err(EnvelopeError::Kind("config".to_owned())));
    }

    proptest! {
        #[test]
        fn what_was_wrapped_reads_back(content in proptest::collection::vec(any::<u8>(), 0..100)) {
            let file = wrap("map", &content);
            prop_assert_eq!(unwrap("map", &file), Ok(content.as_slice()));
        }

        #[test]
        fn any_flipped_bit_or_cut_is_noticed(
            content in proptest::collection::vec(any::<u8>(), 0..100),
            place in any::<prop::sample::Index>(),
            bit in 0..8_u32,
        ) {
            let file = wrap("map", &content);
            let mut flipped = file.clone();
            flipped[place.index(file.len())] ^= 1_u8 << bit;
            prop_assert!(unwrap("map", &flipped).is_err());
            prop_assert!(unwrap("map", &file[..place.index(file.len())]).is_err());
        }

        #[test]
        fn garbage_is_refused(garbage in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(unwrap("map", &garbage).is_err());
        }
    }
}
