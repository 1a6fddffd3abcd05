use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use twinmesh_control::{
    CoordinatorMessage, FEATURE_COMPLIANCE, FEATURE_ESP, Fingerprint, JoinToken, MapDelta, NetworkMap,
    NodeId, NodeMessage, Preference, Refusal, RefusalCode, Revision, Revoked, Welcome, WireguardKey,
};

use super::*;
use crate::testing::{map, peer};

/// A session with the clock and the map that its caller keeps.
struct Node {
    session: Session,
    now: Instant,
    map: Option<NetworkMap>,
}

impl Node {
    fn new(greeting: Greeting) -> Self {
        let session = Session::new(
            greeting,
            WireguardKey([1; 32]),
            Preference::Esp,
            "0.1.0",
            fastrand::Rng::with_seed(1),
        );
        let mut node = Self { session, now: Instant::now(), map: Some(map(5, [peer(2)])) };
        assert_eq!(node.outputs(), [Output::Connect]);
        node
    }

    fn enrolling() -> Self {
        let token = JoinToken::generate(Fingerprint([1; 32])).unwrap().secret;
        Self { map: None, ..Self::new(Greeting::Enrol { token, hostname: "alpha".to_owned() }) }
    }

    /// Welcome, its first report said.
    fn established() -> Self {
        let mut node = Self::new(Greeting::Hello);
        node.connects();
        node.hears(welcome());
        node
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    /// The first message on a new connection.
    fn connects(&mut self) -> NodeMessage {
        self.session.handle_connected(self.now, self.map.as_ref().map(|map| map.revision));
        match self.outputs().as_slice() {
            [Output::Send(message)] => message.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn hears(&mut self, message: impl Into<CoordinatorMessage>) -> Vec<Output> {
        self.session.handle_message(self.now, message.into(), &mut self.map);
        self.outputs()
    }

    fn loses_its_connection(&mut self) -> Vec<Output> {
        self.session.handle_disconnected(self.now);
        self.outputs()
    }

    /// Goes to the next timer.
    fn waits(&mut self) -> (Duration, Vec<Output>) {
        let next = self.session.poll_timeout().unwrap();
        let waited = next.saturating_duration_since(self.now);
        self.now = self.now.max(next);
        self.session.handle_timeout(self.now);
        assert!(
            self.session.poll_timeout().is_none_or(|next| next > self.now),
            "a timer that is over runs on"
        );
        (waited, self.outputs())
    }
}

fn welcome() -> Welcome {
    Welcome {
        id: NodeId(1),
        version: "0.1.0".to_owned(),
        features: BTreeSet::new(),
        stun_port: None,
        stun_other_port: None,
    }
}

fn refusal(code: RefusalCode) -> Refusal {
    Refusal { code, message: "no".to_owned() }
}

fn delta(from: u64, to: u64) -> MapDelta {
    MapDelta {
        from: Revision(from),
        to: Revision(to),
        own: None,
        changed: vec![peer(3)],
        removed: vec![NodeId(2)],
    }
}

fn revision_of(message: &NodeMessage) -> Option<Revision> {
    let NodeMessage::Hello(hello) = message else { panic!("{message:?}") };
    hello.revision
}

#[test]
fn each_greeting_says_what_this_node_can_and_wishes() {
    let expected = (features(), Preference::Esp);
    assert!([FEATURE_ESP, FEATURE_COMPLIANCE].iter().all(|feature| expected.0.contains(*feature)));
    let NodeMessage::Hello(hello) = Node::new(Greeting::Hello).connects() else { panic!("no hello") };
    assert_eq!((hello.features, hello.preference), expected);
    let NodeMessage::Enrol(enrol) = Node::enrolling().connects() else { panic!("no enrol") };
    assert_eq!((enrol.features, enrol.preference), expected);
}

#[test]
fn a_known_node_says_its_revision_takes_changes_and_acknowledges_them_once_stored() {
    let mut node = Node::new(Greeting::Hello);
    assert_eq!(revision_of(&node.connects()), Some(Revision(5)));
    assert_eq!(node.hears(welcome()), [Output::Event(Event::Welcomed(welcome())), Output::SendReport]);
    let change = MapChange::Peers { changed: vec![NodeId(3)], removed: vec![NodeId(2)], own: false };
    assert_eq!(node.hears(delta(5, 6)), [Output::Event(Event::MapChanged(change))]);
    assert_eq!(node.map, Some(map(6, [peer(3)])));
    assert_eq!(node.hears(delta(5, 6)), [], "the same again changes nothing");
    node.session.map_stored(Revision(6));
    assert_eq!(node.outputs(), [Output::Send(Ack { revision: Revision(6) }.into())]);
}

#[test]
fn a_change_that_does_not_fit_leads_to_a_new_connection_and_a_snapshot() {
    let mut node = Node::established();
    let outputs = node.hears(delta(7, 8));
    assert!(
        matches!(&outputs[..], [Output::Event(Event::Trouble { .. }), Output::Disconnect]),
        "{outputs:?}"
    );
    assert_eq!(node.waits().1, [Output::Connect]);
    assert_eq!(revision_of(&node.connects()), None);
    node.hears(welcome());
    assert_eq!(node.hears(map(9, [])), [Output::Event(Event::MapChanged(MapChange::Whole))]);
    node.loses_its_connection();
    node.waits();
    assert_eq!(revision_of(&node.connects()), Some(Revision(9)));
}

#[test]
fn attempts_become_rarer_until_a_connection_has_lasted_or_the_network_changes() {
    let mut node = Node::new(Greeting::Hello);
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        assert_eq!(node.loses_its_connection(), []);
        let (waited, outputs) = node.waits();
        assert_eq!(outputs, [Output::Connect]);
        longest = longest.max(waited);
    }
    assert!(longest > Duration::from_secs(10) && longest <= Duration::from_secs(30), "{longest:?}");
    node.connects();
    node.hears(welcome());
    node.now += GOOD_CONNECTION;
    node.loses_its_connection();
    assert!(node.waits().0 <= Duration::from_millis(500));
    node.loses_its_connection();
    node.session.handle_network_change(node.now);
    assert_eq!(node.outputs(), [Output::Connect], "at once");
    node.session.handle_network_change(node.now);
    assert_eq!(
        node.outputs(),
        [Output::Disconnect, Output::Connect],
        "no waiting for an attempt from a lost address"
    );
}

#[test]
fn a_network_change_probes_the_connection_and_reports_at_once() {
    let mut node = Node::established();
    node.session.handle_network_change(node.now);
    assert_eq!(node.outputs(), [Output::Probe, Output::SendReport]);
}

#[test]
fn new_endpoints_are_reported_sooner_than_new_counters() {
    let mut node = Node::established();
    assert_eq!(node.session.poll_timeout(), None);
    node.session.tunnels_changed();
    assert_eq!(node.waits(), (REPORT_INTERVAL, vec![Output::SendReport]));
    node.session.tunnels_changed();
    node.session.endpoints_changed();
    node.session.tunnels_changed();
    assert_eq!(node.waits(), (ENDPOINT_REPORT_INTERVAL, vec![Output::SendReport]));
}

#[test]
fn a_coordinator_that_does_not_answer_is_given_up() {
    let mut node = Node::new(Greeting::Hello);
    node.connects();
    let (waited, outputs) = node.waits();
    assert_eq!(waited, GREETING_TIMEOUT);
    assert!(
        matches!(&outputs[..], [Output::Event(Event::Trouble { .. }), Output::Disconnect]),
        "{outputs:?}"
    );
}

#[test]
fn a_refused_enrolment_is_over_but_one_that_comes_at_a_bad_time_is_not() {
    let mut node = Node::enrolling();
    assert!(matches!(node.connects(), NodeMessage::Enrol(_)));
    node.hears(refusal(RefusalCode::Unavailable));
    assert_eq!(node.waits().1, [Output::Connect]);
    node.connects();
    let refused = refusal(RefusalCode::TokenExpired);
    let outputs = node.hears(refused.clone());
    assert_eq!(outputs, [Output::Disconnect, Output::Event(Event::EnrolmentRefused(refused))]);
    assert_eq!(node.session.poll_timeout(), None);
}

#[test]
fn a_node_whose_welcome_was_lost_enrols_again() {
    let mut node = Node::enrolling();
    let first = node.connects();
    node.loses_its_connection();
    assert_eq!(node.waits().1, [Output::Connect]);
    assert_eq!(node.connects(), first);
    assert_eq!(node.hears(welcome())[0], Output::Event(Event::Welcomed(welcome())));
    node.loses_its_connection();
    node.waits();
    assert_eq!(revision_of(&node.connects()), None);
}

#[test]
fn a_removed_node_hears_it_at_once_or_at_its_next_greeting() {
    let removed =
        |reason: &str| [Output::Disconnect, Output::Event(Event::Removed { reason: reason.to_owned() })];
    let mut node = Node::established();
    assert_eq!(node.hears(Revoked { reason: "gone".to_owned() }), removed("gone"));
    let mut node = Node::new(Greeting::Hello);
    node.connects();
    assert_eq!(node.hears(refusal(RefusalCode::NodeUnknown)), removed("no"));
    node.session.handle_network_change(node.now);
    assert_eq!((node.outputs(), node.session.poll_timeout()), (Vec::new(), None), "it does not come back");
}

#[test]
fn leaving_is_told_to_the_coordinator_or_given_up_in_time() {
    let left = |leaving| [Output::Disconnect, Output::Event(Event::Left(leaving))];
    let mut node = Node::established();
    node.session.leave(node.now);
    assert_eq!(node.outputs(), [Output::Send(Leave {}.into())]);
    assert_eq!(node.loses_its_connection(), left(Leaving::Told));

    let mut node = Node::new(Greeting::Hello);
    node.session.leave(node.now);
    assert_eq!(node.waits(), (LEAVE_TIMEOUT, left(Leaving::CoordinatorAway).to_vec()));

    let mut node = Node::established();
    node.session.leave(node.now);
    node.outputs();
    let outputs = node.hears(refusal(RefusalCode::Unavailable));
    assert_eq!(outputs, left(Leaving::CoordinatorAway), "its administrator has to remove this node");

    // Connected in the last moment: the coordinator still gets its time to answer.
    let mut node = Node::new(Greeting::Hello);
    node.session.leave(node.now);
    node.now += LEAVE_TIMEOUT.saturating_sub(Duration::from_secs(1));
    node.connects();
    assert_eq!(node.hears(welcome())[1], Output::Send(Leave {}.into()));
    assert_eq!(node.waits(), (LEAVE_ANSWER, left(Leaving::Told).to_vec()));
}
