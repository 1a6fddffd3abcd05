//! What a site's file means, in words, and what in it is doubtful.

use std::net::SocketAddr;
use std::time::Duration;

use twinmesh_ike::auth::{LocalCredential, RemoteCredential};
use twinmesh_ike::config::{
    ChildConfig, ConnectionConfig, Legacy, Lifetime, Mode, Narrowing, Proposal, Remote, StartAction,
    TrafficSelector,
};

use super::{AfterLoss, Site};

/// The answer to `twinmesh site check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What will happen.
    pub meaning: Vec<String>,
    /// What works, but may not be what was meant, or is weak.
    pub warnings: Vec<String>,
}

/// Somebody else's traffic: a name for messages, and both sides' selectors.
pub struct OtherTraffic {
    pub name: String,
    pub local: Vec<TrafficSelector>,
    pub remote: Vec<TrafficSelector>,
}

impl Site {
    /// From this address of this node; `others`: what further sites carry.
    pub fn explain(&self, local: SocketAddr, others: &[OtherTraffic]) -> Explanation {
        let (connection, preset) = self.connection(local);
        let mut meaning = self.ends(&connection);
        meaning.extend(preset.iter().map(|set| format!("by its vendor: {set}")));
        meaning.push(format!("IKE: {}; {}", list(&connection.proposals), renewed(&connection.lifetime)));
        meaning.push(self.watched());
        let mut warnings: Vec<String> =
            self.weakness.iter().map(|weakness| format!("psk: {weakness}")).collect();
        warnings.extend(connection.proposals.iter().filter_map(|proposal| weak("IKE", proposal)));
        for child in &connection.children {
            meaning.push(self.child_meaning(child, connection.quirks.narrowing));
            warnings.extend(child_warnings(child));
        }
        warnings.extend(overlaps(&connection.children, others));
        Explanation { meaning, warnings }
    }

    fn ends(&self, connection: &ConnectionConfig) -> Vec<String> {
        let how = match &self.credentials.local {
            LocalCredential::PreSharedKey(_) => "the pre-shared key",
            LocalCredential::RawKey(_) => "its key",
            LocalCredential::Certificate(_) => "its certificate",
            _ => "a proof of its own",
        };
        let peer = match &self.credentials.remote {
            RemoteCredential::PreSharedKey(_) => "the pre-shared key",
            RemoteCredential::RawKeys(_) => "the key that is known here",
            RemoteCredential::Certificates(_) => "a certificate of one of the authorities",
            _ => "a proof of its own",
        };
        let place = match self.remote {
            Remote::At(remote) => format!("at {}, UDP port {}", remote.ip(), remote.port()),
            Remote::Anywhere | Remote::Roaming(_) => "from any address".to_owned(),
        };
        vec![
            format!("the site `{}`: IKEv2 with a peer {place}", self.name),
            format!("this node is {} and proves it by {how}", connection.local_identity),
            format!("the peer has to be {} and proves it by {peer}", self.remote_identity),
        ]
    }

    fn watched(&self) -> String {
        let Some(delay) = self.dpd_delay else {
            return "a peer that is dead is not noticed until a rekey (dpd_delay = \"off\")".to_owned();
        };
        let after = match self.after_loss {
            AfterLoss::Restart => "this node begins again",
            AfterLoss::Trap => "traffic makes this node begin again",
            AfterLoss::Clear => "this node waits for it",
        };
        format!(
            "after {} of silence the peer is asked for a sign of life; if it gives none, {after}",
            span(delay)
        )
    }

    fn child_meaning(&self, child: &ChildConfig, narrowing: Narrowing) -> String {
        let mode = match child.mode {
            Mode::Tunnel => "tunnel mode",
            Mode::Transport => "transport mode",
        };
        let begin = match child.start {
            StartAction::Start => "this node begins",
            StartAction::Trap => "the first packet begins, and waits for it",
            StartAction::None => "the peer begins",
        };
        let pairs = child.selectors.local.len() * child.selectors.remote.len();
        let apart = match narrowing {
            Narrowing::SinglePair if pairs > 1 => {
                format!(", as {pairs} pairs of subnets with SAs of their own")
            }
            Narrowing::SinglePair | Narrowing::Whole => String::new(),
        };
        let routed =
            self.child(&child.name).map(|known| known.destinations(&known.guarded(None, self.remote).remote));
        let routes: Vec<String> = routed.iter().flatten().map(ToString::to_string).collect();
        format!(
            "child `{}`: {mode}, {}{apart}; {begin}; {}; {}; routed into the TUN device: {}; nothing of it leaves \
             unprotected",
            child.name,
            child.selectors,
            list(&child.proposals),
            renewed(&child.lifetime),
            if routes.is_empty() { "nothing".to_owned() } else { routes.join(", ") },
        )
    }
}

fn list(proposals: &[Proposal]) -> String {
    proposals.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

fn renewed(lifetime: &Lifetime) -> String {
    match lifetime.rekey {
        Some(rekey) => format!("new keys every {}", span(rekey)),
        None => "new keys when the peer wants them".to_owned(),
    }
}

fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        _ if seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

/// What is only taken because `allow_legacy` is set.
fn weak(whose: &str, proposal: &Proposal) -> Option<String> {
    let text = proposal.to_string();
    let error = Proposal::parse(proposal.protocol(), &text, Legacy::Refused).err()?;
    Some(format!("{whose}: `{text}` is weak: {error}"))
}

fn child_warnings(child: &ChildConfig) -> Vec<String> {
    let whose = format!("child `{}`", child.name);
    let mut warnings: Vec<String> =
        child.proposals.iter().filter_map(|proposal| weak(&whose, proposal)).collect();
    if child.proposals.iter().any(|proposal| proposal.first_key_exchange().is_none()) {
        warnings.push(format!(
            "{whose}: without a key exchange in each of its proposals (such as `-x25519`) new keys can follow from old \
             ones: no perfect forward secrecy"
        ));
    }
    warnings
}

fn overlaps(children: &[ChildConfig], others: &[OtherTraffic]) -> Vec<String> {
    let own = |child: &ChildConfig| OtherTraffic {
        name: format!("child `{}`", child.name),
        local: child.selectors.local.clone(),
        remote: child.selectors.remote.clone(),
    };
    let own: Vec<OtherTraffic> = children.iter().map(own).collect();
    let mut warnings = Vec::new();
    for (place, child) in own.iter().enumerate() {
        let later = own.iter().skip(place + 1);
        for other in later.filter(|other| child.meets(other)) {
            warnings.push(format!(
                "{} and {} overlap: the first has what both could carry",
                child.name, other.name
            ));
        }
        for other in others.iter().filter(|other| child.meets(other)) {
            warnings.push(format!(
                "{} overlaps with {}: whichever was added first has what both could carry",
                child.name, other.name
            ));
        }
    }
    warnings
}

impl OtherTraffic {
    fn meets(&self, other: &Self) -> bool {
        let meet = |one: &[TrafficSelector], two: &[TrafficSelector]| {
            one.iter().any(|one| two.iter().any(|two| one.intersection(two).is_some()))
        };
        meet(&self.local, &other.local) && meet(&self.remote, &other.remote)
    }
}
