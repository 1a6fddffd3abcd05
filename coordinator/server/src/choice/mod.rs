//! Which protocol carries the traffic of a pair of nodes, and why (DESIGN §10). Pure: facts and a policy in, a choice
//! out. `docs/choice.md` has the decision table.

mod age;
mod failure;
mod policy;
#[cfg(test)]
mod tests;

use twinmesh_control::{NodeId, PeerKind, Preference, Protocol, Reason, ReasonCode};

use crate::clock::Time;
pub use age::{PolicyAge, RuleAge};
pub use failure::{Failure, counted};
use policy::Demands;
pub use policy::{Demand, DemandError, Pair, Policy, Rule, Source};

/// What an agent says that it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// ESP between nodes.
    pub esp: bool,
    /// It can keep to approved algorithms, and carry nothing where told so.
    pub compliance: bool,
    /// Its processor has AES instructions.
    pub aes: bool,
}

/// What the choice needs to know of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End<'a> {
    pub id: NodeId,
    pub name: &'a str,
    pub kind: &'a PeerKind,
    pub tags: &'a [String],
    pub preference: &'a Preference,
    pub abilities: Abilities,
}

/// A pair of nodes; the order of the two means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairFacts<'a> {
    pub ends: [End<'a>; 2],
    /// At most one for each protocol.
    pub failures: &'a [Failure],
}

/// What carries the pair's traffic, with at least one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub protocol: Protocol,
    /// Whether only approved algorithms may protect it.
    pub compliance: bool,
    pub reasons: Vec<Reason>,
}

/// How far a rule leaves room for the other protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Firmness {
    /// Somebody demands this one, or the ends have no other.
    Demanded,
    /// It is only the better one.
    Preferred,
}

/// The first rule that fits: compliance, what the ends are, the policy's protocol, the ends' wishes, throughput,
/// WireGuard. What the rule prefers gives way to the other protocol for as long as it is avoided for a failure.
pub fn choose(pair: &PairFacts<'_>, policy: &Policy) -> Choice {
    let (wanted, firmness) = by_rules(pair, policy);
    let Some(failure) = avoided(pair, &wanted.protocol) else { return wanted };
    let stand_in = failure::other(&wanted.protocol).filter(|_| {
        firmness == Firmness::Preferred && unmanaged(pair).is_empty() && without_esp(pair).is_empty()
    });
    match stand_in.map(|protocol| (avoided(pair, &protocol).is_some(), protocol)) {
        Some((false, protocol)) => by_failure(pair, wanted, failure, protocol),
        Some((true, other)) => {
            let why = format!("{} failed as well", name(&other));
            kept(pair, wanted, failure, &why)
        }
        None => kept(pair, wanted, failure, "nothing else may be used"),
    }
}

fn avoided<'a>(pair: &PairFacts<'a>, protocol: &Protocol) -> Option<&'a Failure> {
    pair.failures.iter().find(|failure| failure.is_avoided && failure.protocol == *protocol)
}

/// The other protocol while the wanted one is avoided.
fn by_failure(pair: &PairFacts<'_>, wanted: Choice, failure: &Failure, protocol: Protocol) -> Choice {
    let text = format!("{}: {} until {}", observed(pair, failure), name(&protocol), Time(failure.until));
    let mut reasons = wanted.reasons;
    // That WireGuard is the default says nothing of ESP.
    reasons.retain(|reason| reason.code != ReasonCode::Default);
    reasons.push(Reason { code: ReasonCode::Failed, text });
    Choice { protocol, reasons, ..wanted }
}

/// The wanted protocol although it failed.
fn kept(pair: &PairFacts<'_>, mut wanted: Choice, failure: &Failure, why: &str) -> Choice {
    let text = format!("{}, but {why}", observed(pair, failure));
    wanted.reasons.push(Reason { code: ReasonCode::FailedKept, text });
    wanted
}

fn observed(pair: &PairFacts<'_>, failure: &Failure) -> String {
    let reporter = pair.ends.iter().find(|end| end.id == failure.reporter);
    let by = reporter.map_or(String::new(), |end| format!("{}: ", end.name));
    format!("{} failed between the two ({by}{})", name(&failure.protocol), failure.words())
}

fn name(protocol: &Protocol) -> &str {
    match protocol {
        Protocol::Wireguard => "WireGuard",
        Protocol::Esp => "ESP",
        Protocol::None | Protocol::Other(_) => protocol.as_str(),
    }
}

fn by_rules(pair: &PairFacts<'_>, policy: &Policy) -> (Choice, Firmness) {
    let demands = policy.of(pair);
    if !demands.compliance.is_empty() {
        return (compliant(pair, &demands), Firmness::Demanded);
    }
    let unmanaged = unmanaged(pair);
    if !unmanaged.is_empty() {
        return (choice(Protocol::Wireguard, unmanaged), Firmness::Demanded);
    }
    match demands.protocol {
        Demand::Wireguard => {
            let by = said(&ReasonCode::Policy, &demands.protocol_by, "asks for WireGuard");
            (choice(Protocol::Wireguard, by), Firmness::Demanded)
        }
        Demand::Esp => {
            let by = said(&ReasonCode::Policy, &demands.protocol_by, "asks for ESP");
            (esp_if_able(pair, by), Firmness::Demanded)
        }
        Demand::Auto => by_wishes(pair).unwrap_or_else(|| (by_speed(pair, &demands), Firmness::Preferred)),
    }
}

/// ESP with approved algorithms, or nothing: no wish and no other rule stands against it.
fn compliant(pair: &PairFacts<'_>, demands: &Demands<'_>) -> Choice {
    let mut reasons = said(
        &ReasonCode::Compliance,
        &demands.compliance,
        "allows only approved algorithms (ESP with AES-GCM)",
    );
    let mut obstacles = unmanaged(pair);
    if obstacles.is_empty() {
        obstacles = without_esp(pair);
    }
    if obstacles.is_empty() {
        obstacles = ends(
            pair,
            &ReasonCode::NoCompliance,
            |end| !end.abilities.compliance,
            |name| format!("{name} runs a version of twinmesh that cannot keep to approved algorithms"),
        );
    }
    let protocol = if obstacles.is_empty() { Protocol::Esp } else { Protocol::None };
    reasons.extend(obstacles);
    Choice { protocol, compliance: true, reasons }
}

/// What the nodes' own administrators wish, if they do.
fn by_wishes(pair: &PairFacts<'_>) -> Option<(Choice, Firmness)> {
    let insisting = ends(
        pair,
        &ReasonCode::PrefersWireguard,
        |end| *end.preference == Preference::Wireguard,
        |name| format!("{name} insists on WireGuard (`up --prefer wireguard`)"),
    );
    if !insisting.is_empty() {
        return Some((choice(Protocol::Wireguard, insisting), Firmness::Demanded));
    }
    let asking = ends(
        pair,
        &ReasonCode::PrefersEsp,
        |end| *end.preference == Preference::Esp,
        |name| format!("{name} asks for ESP (`up --prefer esp`)"),
    );
    (!asking.is_empty()).then(|| (esp_if_able(pair, asking), Firmness::Preferred))
}

/// ESP where it is the faster one and speed is asked for; else WireGuard.
fn by_speed(pair: &PairFacts<'_>, demands: &Demands<'_>) -> Choice {
    if demands.throughput.is_empty() {
        let text = "WireGuard is the default between agents".to_owned();
        return choice(Protocol::Wireguard, vec![Reason { code: ReasonCode::Default, text }]);
    }
    let slow = ends(
        pair,
        &ReasonCode::NoAes,
        |end| !end.abilities.aes,
        |name| format!("{name} has no AES instructions, without which ESP is not faster"),
    );
    if !slow.is_empty() {
        return choice(Protocol::Wireguard, slow);
    }
    let by = said(
        &ReasonCode::Throughput,
        &demands.throughput,
        "asks for throughput, and both ends have AES instructions",
    );
    esp_if_able(pair, by)
}

fn esp_if_able(pair: &PairFacts<'_>, reasons: Vec<Reason>) -> Choice {
    let unable = without_esp(pair);
    if unable.is_empty() { choice(Protocol::Esp, reasons) } else { choice(Protocol::Wireguard, unable) }
}

fn unmanaged(pair: &PairFacts<'_>) -> Vec<Reason> {
    ends(
        pair,
        &ReasonCode::UnmanagedPeer,
        |end| *end.kind != PeerKind::Agent,
        |name| format!("{name} is a plain WireGuard device"),
    )
}

fn without_esp(pair: &PairFacts<'_>) -> Vec<Reason> {
    ends(
        pair,
        &ReasonCode::NoEsp,
        |end| !end.abilities.esp,
        |name| format!("{name} runs a version of twinmesh without ESP between nodes"),
    )
}

fn choice(protocol: Protocol, reasons: Vec<Reason>) -> Choice {
    Choice { protocol, compliance: false, reasons }
}

/// One reason for each end that it is true of, in the order of their names, so that both are told the same.
fn ends(
    pair: &PairFacts<'_>,
    code: &ReasonCode,
    is_so: impl Fn(&End<'_>) -> bool,
    text: impl Fn(&str) -> String,
) -> Vec<Reason> {
    let mut names: Vec<&str> = pair.ends.iter().filter(|end| is_so(end)).map(|end| end.name).collect();
    names.sort_unstable();
    names.into_iter().map(|name| Reason { code: code.clone(), text: text(name) }).collect()
}

/// One reason for each rule of the policy that says so.
fn said(code: &ReasonCode, by: &[Source<'_>], what: &str) -> Vec<Reason> {
    by.iter().map(|source| Reason { code: code.clone(), text: format!("{source} {what}") }).collect()
}
