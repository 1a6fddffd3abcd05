//! What relays refuse, and what a node makes of it.

use super::*;

const ALLOCATE: u16 = 3;
const CREATE_PERMISSION: u16 = 8;
const CHANNEL_BIND: u16 = 9;

#[test]
fn a_stale_nonce_is_replaced_without_anybody_noticing() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.until_home(NEAR, Transport::Udp).unwrap();
    let before = world.client.home();
    for nonce in 2..6 {
        world.relay(NEAR).nonce = nonce;
        world.seconds(20);
    }
    assert_eq!(world.client.home().map(|home| home.relayed), before.map(|home| home.relayed));
    assert_eq!(world.troubles(), []);
}

#[test]
fn a_relay_that_was_started_again_gives_another_address() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.use_peer(PEER);
    world.until_home(NEAR, Transport::Udp).unwrap();
    world.seconds(5);
    world.relay(NEAR).allocations.clear();
    world.seconds(2);
    assert_eq!(world.client.home().unwrap().relayed, socket("192.0.2.1:50001"));
    assert_eq!(world.troubles(), [Trouble::Lost]);
    assert!(world.relay(NEAR).only().permissions.contains(&socket(PEER).ip()));
    assert!(matches!(world.carried[&socket(PEER)], Carrier::Channel { .. }));
}

#[test]
fn what_an_earlier_run_left_at_the_relay_is_given_back_first() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.until_home(NEAR, Transport::Udp).unwrap();
    // The agent is started again, with the same port.
    world.client = RelayClient::new(fastrand::Rng::with_seed(2));
    world.client.set_servers([server(NEAR, Transport::Udp)], world.now);
    world.until_home(NEAR, Transport::Udp).unwrap();
    assert_eq!(world.client.home().unwrap().relayed, socket("192.0.2.1:50001"));
    assert_eq!(world.relay(NEAR).allocations.len(), 1);
}

#[test]
fn a_relay_without_room_is_passed_over_for_a_while() {
    for code in [486, 508, 403, 300, 500] {
        let mut world = World::by_udp(&[(NEAR, 10), (FAR, 30)]);
        world.relay(NEAR).refuses.insert(ALLOCATE, code);
        world.until_home(FAR, Transport::Udp).unwrap();
        assert_eq!(world.troubles(), [Trouble::Refused(code)]);
    }
}

#[test]
fn a_refusal_is_repeated_seldom_and_its_end_is_found() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.relay(NEAR).refuses.insert(ALLOCATE, 486);
    world.seconds(600);
    let asked = world.relay(NEAR).count(ALLOCATE);
    assert!(asked < 20, "{asked}");
    world.relay(NEAR).refuses.clear();
    assert!(world.until(Duration::from_mins(6), |world| world.client.home().is_some()).is_some());
}

#[test]
fn a_wrong_credential_is_told_and_a_right_one_used_when_it_comes() {
    let mut world = World::new(&[(NEAR, 10)]);
    let wrong = Credential::new("node".to_owned(), Zeroizing::new("guess".to_owned())).unwrap();
    let relay = RelayServer { credential: wrong, ..server(NEAR, Transport::Udp) };
    world.client.set_servers([relay], world.now);
    world.seconds(1);
    assert_eq!(world.troubles(), [Trouble::Refused(401)]);
    assert!(Trouble::Refused(401).to_string().contains("credential"));
    world.client.set_servers([server(NEAR, Transport::Udp)], world.now);
    assert!(world.until_home(NEAR, Transport::Udp).unwrap() <= Duration::from_secs(6));
}

#[test]
fn a_new_credential_is_used_without_a_new_allocation() {
    for insists in [false, true] {
        let mut world = World::by_udp(&[(NEAR, 10)]);
        world.relay(NEAR).insists = insists;
        world.use_peer(PEER);
        world.until_home(NEAR, Transport::Udp).unwrap();
        let before = world.client.home();
        let renewed = RelayServer { credential: credential("node later"), ..server(NEAR, Transport::Udp) };
        world.client.set_servers([renewed], world.now);
        world.seconds(600);
        assert_eq!(world.client.home().map(|home| home.relayed), before.map(|home| home.relayed));
        assert_eq!((world.troubles(), world.relay(NEAR).allocations.len()), (vec![], 1));
    }
}

#[test]
fn an_address_that_may_not_be_reached_is_told_and_the_others_are() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.relay(NEAR).refuses.insert(CREATE_PERMISSION, 403);
    world.until_home(NEAR, Transport::Udp).unwrap();
    world.seconds(1);
    assert_eq!(world.troubles(), [Trouble::NotPermitted { ip: socket(NEAR).ip(), code: 403 }]);
    world.relay(NEAR).refuses.clear();
    world.seconds(61);
    assert!(world.relay(NEAR).only().permissions.contains(&socket(NEAR).ip()));
}

#[test]
fn without_a_channel_packets_go_in_indications() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.relay(NEAR).refuses.insert(CHANNEL_BIND, 508);
    world.use_peer(PEER);
    world.until_home(NEAR, Transport::Udp).unwrap();
    world.seconds(30);
    assert_eq!(world.carried[&socket(PEER)], Carrier::Indication { server: socket(NEAR) });
    assert_eq!(world.relay(NEAR).count(CHANNEL_BIND), 1, "not again and again");
}

#[test]
fn a_username_that_no_message_can_carry_is_refused() {
    assert!(Credential::new("n".repeat(508), Zeroizing::default()).is_some());
    assert!(Credential::new("n".repeat(509), Zeroizing::default()).is_none());
}
