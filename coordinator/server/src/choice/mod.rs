//! Which protocol carries the traffic of a pair of nodes, and why (DESIGN §10). Pure: facts in, a choice out.

#[cfg(test)]
mod tests;

use twinmesh_control::{PeerKind, Preference, Protocol, Reason, ReasonCode};

/// What the choice needs to know of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End<'a> {
    pub name: &'a str,
    pub kind: &'a PeerKind,
    pub preference: &'a Preference,
    /// Whether it has ESP between nodes.
    pub speaks_esp: bool,
}

/// A pair of nodes; the order of the two means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairFacts<'a>(pub End<'a>, pub End<'a>);

/// What carries the pair's traffic, with at least one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub protocol: Protocol,
    pub reasons: Vec<Reason>,
}

/// ESP where both ends can, one asks for it and neither insists on WireGuard; else WireGuard.
pub fn choose(pair: &PairFacts<'_>) -> Choice {
    let unmanaged = ends(pair, |end| *end.kind != PeerKind::Agent);
    if !unmanaged.is_empty() {
        return choice(Protocol::Wireguard, &ReasonCode::UnmanagedPeer, &unmanaged, |name| {
            format!("{name} is a plain WireGuard device")
        });
    }
    let insisting = ends(pair, |end| *end.preference == Preference::Wireguard);
    if !insisting.is_empty() {
        return choice(Protocol::Wireguard, &ReasonCode::PrefersWireguard, &insisting, |name| {
            format!("{name} insists on WireGuard (`up --prefer wireguard`)")
        });
    }
    let asking = ends(pair, |end| *end.preference == Preference::Esp);
    if asking.is_empty() {
        let text = "WireGuard is the default between agents".to_owned();
        return Choice {
            protocol: Protocol::Wireguard,
            reasons: vec![Reason { code: ReasonCode::Default, text }],
        };
    }
    let unable = ends(pair, |end| !end.speaks_esp);
    if !unable.is_empty() {
        return choice(Protocol::Wireguard, &ReasonCode::NoEsp, &unable, |name| {
            format!("{name} runs a version of twinmesh without ESP between nodes")
        });
    }
    choice(Protocol::Esp, &ReasonCode::PrefersEsp, &asking, |name| {
        format!("{name} asks for ESP (`up --prefer esp`)")
    })
}

/// The names of the ends that it is true of, in their own order, so that both ends are told the same.
fn ends<'a>(pair: &PairFacts<'a>, is_so: impl Fn(&End<'a>) -> bool) -> Vec<&'a str> {
    let mut names: Vec<&str> =
        [pair.0, pair.1].into_iter().filter(|end| is_so(end)).map(|end| end.name).collect();
    names.sort_unstable();
    names
}

fn choice(protocol: Protocol, code: &ReasonCode, names: &[&str], text: impl Fn(&str) -> String) -> Choice {
    let reason = |name: &&str| Reason { code: code.clone(), text: text(name) };
    Choice { protocol, reasons: names.iter().map(reason).collect() }
}
