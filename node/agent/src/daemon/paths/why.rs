//! Why a pair is relayed, in words: from what stands before both ends, and how many direct addresses were checked.
//!
//! A packet from Y reaches X at the address that STUN saw of X, if X's NAT keeps that address for all remotes, and lets
//! in what comes from Y. What it lets in is where X has sent to: by the whole address, which X must know beforehand,
//! or by the IP address alone. One of the two ways is enough, since the answer follows the packet.

use std::time::Duration;

use twinmesh_control::{Endpoint, EndpointKind, NatBehaviour, NatClass, NatFiltering, NatReport};

use twinmesh_path::pair::{Checked, Kind, PairStatus};

use crate::api::RelayReason;

/// One end of a pair, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct End<'a> {
    /// As a sentence has it: "this node", or the name of the peer.
    pub(super) name: &'a str,
    pub(super) nat: &'a NatReport,
    /// Where it may be reached.
    pub(super) endpoints: &'a [Endpoint],
}

/// What the checks of direct addresses have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checks {
    /// Whether there is traffic, without which nothing is checked.
    in_use: bool,
    /// So many were asked long enough, and none of these has answered.
    silent: usize,
    answered: bool,
    /// For how long a path must have answered before it is taken, since one died lately.
    hold: Option<Duration>,
}

impl Checks {
    pub(super) fn of(pair: &PairStatus) -> Self {
        let direct = || pair.candidates.iter().filter(|candidate| candidate.candidate.kind != Kind::Relayed);
        Self {
            in_use: pair.in_use,
            silent: direct().filter(|candidate| matches!(candidate.state, Checked::Silent { .. })).count(),
            answered: direct().any(|candidate| matches!(candidate.state, Checked::Answered { .. })),
            hold: pair.hold,
        }
    }

    fn reason(&self) -> RelayReason {
        match self {
            Self { answered: true, hold: Some(hold), .. } => reason(
                "not-stable",
                format!(
                    "a direct path died lately: the next is taken when it has answered for {} s",
                    hold.as_secs()
                ),
            ),
            Self { in_use: false, .. } => {
                reason("idle", "direct paths are looked for when there is traffic".to_owned())
            }
            Self { answered: true, .. } | Self { silent: 0, .. } => {
                reason("checking", "no direct path is proven yet".to_owned())
            }
            Self { silent: 1, .. } => reason(
                "no-answer",
                "the one direct address that was checked does not answer: a firewall may stand between"
                    .to_owned(),
            ),
            Self { silent, .. } => reason(
                "no-answer",
                format!(
                    "none of {silent} direct addresses that were checked answers: a firewall may stand between"
                ),
            ),
        }
    }
}

/// By one IP version.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// The one or the other end has no such address.
    Absent,
    Barred(RelayReason),
    /// Nothing is known that stands in the way.
    Open,
}

/// What decides the outer address of an inner one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mapping {
    Unknown,
    Constant,
    ByDestination,
}

/// What stands in the way of a direct path between the two; at least one sentence.
pub(super) fn why_relayed(here: End<'_>, there: End<'_>, checks: &Checks) -> Vec<RelayReason> {
    let ways = [Version::V4, Version::V6].map(|version| way(version, here, there));
    let mut reasons: Vec<RelayReason> = ways
        .iter()
        .filter_map(|way| if let Way::Barred(why) = way { Some(why.clone()) } else { None })
        .collect();
    if ways.iter().all(|way| *way == Way::Absent) {
        let text = format!("{} and {} have no address of the same IP version", here.name, there.name);
        reasons.push(reason("no-common-ip-version", text));
    }
    if ways.contains(&Way::Open) {
        reasons.push(checks.reason());
        for end in [here, there] {
            if end.nat.ipv4.is_none() && end.nat.ipv6.is_none() {
                let text = format!("what NAT stands before {} is not known", end.name);
                reasons.push(reason("nat-not-known", text));
            }
        }
    }
    reasons
}

fn reason(code: &str, text: String) -> RelayReason {
    RelayReason { code: code.to_owned(), text }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V4,
    V6,
}

impl Version {
    const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

fn way(version: Version, here: End<'_>, there: End<'_>) -> Way {
    if !here.has(version) || !there.has(version) {
        return Way::Absent;
    }
    let barred = |code, text| Way::Barred(reason(code, format!("by {}, {text}", version.name())));
    if let Some(end) = [here, there].into_iter().find(|end| end.is_blocked(version)) {
        return barred("udp-blocked", format!("UDP is blocked before {}", end.name));
    }
    // A port that a router maps is as good as no NAT.
    if here.is_mapped(version) || there.is_mapped(version) {
        return Way::Open;
    }
    match (here.mapping(version), there.mapping(version)) {
        (Mapping::ByDestination, Mapping::ByDestination)
            if !here.admits_all(version) && !there.admits_all(version) =>
        {
            barred(
                "both-map-by-destination",
                "both NATs map by destination; no port mapping is offered".to_owned(),
            )
        }
        (Mapping::ByDestination, Mapping::Constant)
            if there.is_exact(version) && !here.admits_all(version) =>
        {
            barred("maps-by-destination", one_maps(here, there))
        }
        (Mapping::Constant, Mapping::ByDestination)
            if here.is_exact(version) && !there.admits_all(version) =>
        {
            barred("maps-by-destination", one_maps(there, here))
        }
        _ => Way::Open,
    }
}

fn one_maps(mapping: End<'_>, exact: End<'_>) -> String {
    format!(
        "the NAT of {} maps by destination, and that of {} lets in only the very ports that were sent to; no port \
         mapping is offered",
        mapping.name, exact.name
    )
}

impl End<'_> {
    fn has(&self, version: Version) -> bool {
        self.direct(version).next().is_some()
    }

    fn is_mapped(&self, version: Version) -> bool {
        self.direct(version).any(|endpoint| endpoint.kind == EndpointKind::Mapped)
    }

    fn direct(&self, version: Version) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(move |endpoint| {
            endpoint.kind != EndpointKind::Relayed && endpoint.address.is_ipv4() == (version == Version::V4)
        })
    }

    fn behaviour(&self, version: Version) -> Option<&NatBehaviour> {
        match version {
            Version::V4 => self.nat.ipv4.as_ref(),
            Version::V6 => self.nat.ipv6.as_ref(),
        }
    }

    fn is_blocked(&self, version: Version) -> bool {
        self.behaviour(version).is_some_and(|nat| nat.class == NatClass::UdpBlocked)
    }

    fn mapping(&self, version: Version) -> Mapping {
        match self.behaviour(version).map(|nat| &nat.class) {
            Some(NatClass::None | NatClass::EndpointIndependent) => Mapping::Constant,
            Some(NatClass::AddressDependent | NatClass::AddressAndPortDependent) => Mapping::ByDestination,
            Some(NatClass::PortIndependent | NatClass::UdpBlocked | NatClass::Other(_)) | None => {
                Mapping::Unknown
            }
        }
    }

    /// Whoever sends to the address that STUN saw gets in.
    fn admits_all(&self, version: Version) -> bool {
        let filtering = self.behaviour(version).and_then(|nat| nat.filtering.as_ref());
        filtering == Some(&NatFiltering::EndpointIndependent)
    }

    /// Only those addresses and ports get in that were sent to.
    fn is_exact(&self, version: Version) -> bool {
        let filtering = self.behaviour(version).and_then(|nat| nat.filtering.as_ref());
        filtering == Some(&NatFiltering::AddressAndPortDependent)
    }
}

#[cfg(test)]
mod tests;
