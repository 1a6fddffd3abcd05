use proptest::prelude::*;

use super::*;

/// `kind preference engines`, as `agent esp +` for an agent that asks for ESP and has it.
fn end(name: &'static str, text: &str) -> (&'static str, PeerKind, Preference, bool) {
    let [kind, preference, engines] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    (name, PeerKind::from(kind.to_owned()), Preference::from(preference.to_owned()), engines == "+")
}

fn chosen(one: &str, other: &str) -> Choice {
    let ends = [end("alpha", one), end("beta", other)];
    let [one, other] = ends.each_ref().map(|(name, kind, preference, speaks_esp)| End {
        name,
        kind,
        preference,
        speaks_esp: *speaks_esp,
    });
    let choice = choose(&PairFacts(one, other));
    assert_eq!(choice, choose(&PairFacts(other, one)), "the two ends are told different things");
    choice
}

#[test]
fn the_decision_table() {
    use ReasonCode::{Default, NoEsp, PrefersEsp, PrefersWireguard, UnmanagedPeer};
    let (wireguard, esp) = (Protocol::Wireguard, Protocol::Esp);
    for (one, other, protocol, reasons) in [
        ("agent auto +", "agent auto +", &wireguard, vec![(Default, "default between agents")]),
        ("agent auto -", "agent auto +", &wireguard, vec![(Default, "default between agents")]),
        ("agent esp +", "agent auto +", &esp, vec![(PrefersEsp, "alpha asks")]),
        ("agent auto +", "agent esp +", &esp, vec![(PrefersEsp, "beta asks")]),
        ("agent esp +", "agent esp +", &esp, vec![(PrefersEsp, "alpha asks"), (PrefersEsp, "beta asks")]),
        ("agent esp +", "agent wireguard +", &wireguard, vec![(PrefersWireguard, "beta insists")]),
        ("agent auto +", "agent wireguard +", &wireguard, vec![(PrefersWireguard, "beta insists")]),
        ("agent esp +", "agent auto -", &wireguard, vec![(NoEsp, "beta runs a version")]),
        // It asks for what it does not have: a node whose version went back.
        ("agent esp -", "agent auto +", &wireguard, vec![(NoEsp, "alpha runs a version")]),
        ("agent esp +", "agent wireguard -", &wireguard, vec![(PrefersWireguard, "beta insists")]),
        ("agent esp +", "unmanaged auto -", &wireguard, vec![(UnmanagedPeer, "beta is a plain")]),
        // Kinds and wishes of a later version.
        ("agent esp +", "teapot auto +", &wireguard, vec![(UnmanagedPeer, "beta is a plain")]),
        ("agent quic +", "agent auto +", &wireguard, vec![(Default, "default between agents")]),
    ] {
        let choice = chosen(one, other);
        assert_eq!(choice.protocol, *protocol, "{one}, {other}");
        let codes: Vec<_> = choice.reasons.iter().map(|reason| reason.code.clone()).collect();
        assert_eq!(codes, reasons.iter().map(|(code, _)| code.clone()).collect::<Vec<_>>(), "{one}, {other}");
        for (reason, (_, part)) in choice.reasons.iter().zip(reasons) {
            assert!(reason.text.contains(part), "{} without {part}", reason.text);
        }
    }
}

proptest! {
    #[test]
    fn esp_is_chosen_exactly_where_both_can_one_asks_and_neither_refuses(
        one in "(agent|unmanaged) (auto|wireguard|esp) (\\+|-)",
        other in "(agent|unmanaged) (auto|wireguard|esp) (\\+|-)",
    ) {
        let both = [&one, &other];
        let wanted = both.iter().all(|end| end.starts_with("agent") && end.ends_with('+'))
            && both.iter().all(|end| !end.contains("wireguard"))
            && both.iter().any(|end| end.contains("esp"));
        let choice = chosen(&one, &other);
        prop_assert_eq!(choice.protocol == Protocol::Esp, wanted);
        prop_assert!(!choice.reasons.is_empty());
    }
}
