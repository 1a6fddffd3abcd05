//! Names of nodes and tags, and words that nodes say.

/// A DNS label has at most 63 bytes (RFC 1035 §2.3.4).
pub(crate) const MAX_LABEL: usize = 63;

/// Bytes of a word that this version does not know.
const MAX_WORD: usize = 32;

/// Why a name cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no DNS label: letters, digits and hyphens, not at the ends, at most 63")]
pub(crate) struct NameError(String);

/// The name in lower case, if it is a DNS label (RFC 1123 §2.1).
pub(crate) fn check_label(name: &str) -> Result<String, NameError> {
    let allowed = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let at_ends = name.starts_with('-') || name.ends_with('-');
    if name.is_empty() || name.len() > MAX_LABEL || !allowed || at_ends {
        return Err(NameError(name.chars().take(MAX_LABEL + 1).collect()));
    }
    Ok(name.to_ascii_lowercase())
}

/// Whether a word of a node's, maybe one of a later version, may be stored and written to a terminal.
pub(crate) fn is_word(word: &str) -> bool {
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain && !word.is_empty() && word.len() <= MAX_WORD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels_in_lower_case() {
        assert_eq!(check_label("Alpha-1").as_deref(), Ok("alpha-1"));
        for bad in ["", "-a", "a-", "a.b", "a b", "ä", "a_b", &"a".repeat(64)] {
            assert!(check_label(bad).is_err(), "{bad}");
        }
    }
}
