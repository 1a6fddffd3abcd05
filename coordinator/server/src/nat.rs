//! What a node says of its NAT, in words that may be stored and shown.

use twinmesh_control::{NatBehaviour, NatReport};

use crate::name::is_word;

/// The report without what is no word, also not of a later version.
pub(crate) fn legible(report: NatReport) -> NatReport {
    NatReport { ipv4: report.ipv4.and_then(behaviour), ipv6: report.ipv6.and_then(behaviour) }
}

fn behaviour(nat: NatBehaviour) -> Option<NatBehaviour> {
    let filtering = nat.filtering.filter(|filtering| is_word(filtering.as_str()));
    is_word(nat.class.as_str()).then_some(NatBehaviour { filtering, ..nat })
}

#[cfg(test)]
mod tests {
    use twinmesh_control::{NatClass, NatFiltering};

    use super::*;

    fn nat(class: &str, filtering: &str) -> NatBehaviour {
        let filtering = Some(NatFiltering::from(filtering.to_owned()));
        NatBehaviour { class: NatClass::from(class.to_owned()), filtering, hairpin: Some(true) }
    }

    #[test]
    fn words_of_a_later_version_are_kept_and_what_is_no_word_is_not() {
        let later = NatReport { ipv4: Some(nat("moody", "address-dependent")), ipv6: None };
        assert_eq!(legible(later.clone()), later);
        let bad = NatReport {
            ipv4: Some(nat("none", "\u{1b}[2J")),
            ipv6: Some(nat(&"long".repeat(100), "address-dependent")),
        };
        let ipv4 = Some(NatBehaviour { filtering: None, ..nat("none", "") });
        assert_eq!(legible(bad), NatReport { ipv4, ipv6: None });
    }
}
