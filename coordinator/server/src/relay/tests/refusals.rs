//! What a relay does not do.

use turn_types::AddressFamily;
use turn_types::attribute::{DontFragment, EvenPort, RequestedAddressFamily};

use super::*;

#[test]
fn wrong_forged_and_expired_credentials_get_401_and_leave_nothing() {
    let mut world = World::new();
    let good = Credential { until: UNIX + 60, node: NodeId(1), places: vec![Place::Relay(RELAY)] };
    let username = good.username();
    let password = secret().password(&username);
    let other = RelaySecret::new(Zeroizing::new("another network's secret".to_owned())).unwrap();
    let late = Credential { until: UNIX, ..good.clone() }.username();
    let wider = format!("{username},203.0.113.9");
    for (username, password) in [
        (&*username, "guessed"),
        (&*username, &**other.password(&username)),
        // Its own password, but of yesterday.
        (&*late, &**secret().password(&late)),
        // A place more than the password vouches for.
        (&*wider, &**password),
        ("admin", &**secret().password("admin")),
        ("1:2", &**secret().password("1:2")),
    ] {
        let client = Client::proving(&mut world, "198.51.100.1:4500", username, password);
        assert_eq!(client.try_allocate(&mut world), Err(401), "{username}");
    }
    assert_eq!(world.relay.counters().unauthorized, 6);
    assert!(world.relay.is_empty() && world.ports.open.is_empty());
    let client = Client::proving(&mut world, "198.51.100.1:4500", &username, &password);
    client.allocate(&mut world);
}

#[test]
fn a_nonce_is_good_for_one_client_and_an_hour() {
    let mut world = World::new();
    let alpha = Client::new(&mut world, "198.51.100.1:4500", 1, &[]);
    let thief = Client { address: socket("198.51.100.2:4500"), ..alpha.clone() };
    assert_eq!(thief.try_allocate(&mut world), Err(438));
    let made_up = Client { nonce: "0000ffffffffffff00".to_owned(), ..alpha.clone() };
    assert_eq!(made_up.try_allocate(&mut world), Err(438));
    world.pass(Duration::from_hours(1));
    assert_eq!(alpha.try_allocate(&mut world), Err(438));
}

#[test]
fn nobody_but_the_node_touches_its_allocation() {
    let mut world = World::new();
    let alpha = Client::new(&mut world, "198.51.100.1:4500", 1, &["192.0.2.1"]);
    alpha.allocate(&mut world);
    // Another node behind the same address, as after a NAT gave the mapping to someone else.
    let beta = Client::new(&mut world, "198.51.100.1:4500", 2, &["192.0.2.1"]);
    assert_eq!(beta.refresh(&mut world, 0), Err(441));
    assert_eq!(beta.permit(&mut world, "192.0.2.1:0"), Err(441));
    assert_eq!(world.relay.len(), 1);
}

#[test]
fn permissions_and_channels_stay_within_the_credential() {
    let mut world = World::new();
    let places = ["192.0.2.1", "203.0.113.9:51820", "2001:db8::9"];
    let alpha = Client::new(&mut world, "198.51.100.1:4500", 1, &places);
    alpha.allocate(&mut world);
    for foreign in ["198.51.100.9:0", "127.0.0.1:0", "10.0.0.1:0"] {
        assert_eq!(alpha.permit(&mut world, foreign), Err(403), "{foreign}");
        assert_eq!(alpha.bind(&mut world, 0x4000, socket(foreign)), Err(403), "{foreign}");
    }
    assert_eq!(alpha.bind(&mut world, 0x4000, socket("203.0.113.9:53")), Err(403));
    assert_eq!(alpha.permit(&mut world, "[2001:db8::9]:0"), Err(443), "an IPv4 allocation");
    assert_eq!(world.relay.counters().forbidden, 7);
    alpha.bind(&mut world, 0x4000, socket("203.0.113.9:51820")).unwrap();
}

#[test]
fn a_relays_own_address_leads_to_nodes_only() {
    let mut world = World::new();
    let alpha = Client::new(&mut world, "198.51.100.1:4500", 1, &["192.0.2.1"]);
    alpha.allocate(&mut world);
    // The coordinator's control port, on the same machine.
    alpha.bind(&mut world, 0x4000, socket("192.0.2.1:7443")).unwrap();
    assert_eq!(world.sends(alpha.address, &channel_data(0x4000, b"x")), None);
    assert_eq!(world.relay.counters().not_permitted, 1);
}

#[test]
fn a_channel_has_one_peer_and_a_peer_one_channel() {
    let mut world = World::new();
    let alpha = Client::new(&mut world, "198.51.100.1:4500", 1, &["203.0.113.9"]);
    alpha.allocate(&mut world);
    let (one, two) = (socket("203.0.113.9:50000"), socket("203.0.113.9:50001"));
    alpha.bind(&mut world, 0x4000, one).unwrap();
    alpha.bind(&mut world, 0x4000, one).unwrap();
    assert_eq!(alpha.bind(&mut world, 0x4000, two), Err(400));
    assert_eq!(alpha.bind(&mut world, 0x4001, one), Err(400));
    for number in [0x3fff, 0x7fff, 0xffff] {
        assert_eq!(alpha.bind(&mut world, number, two), Err(400), "{number:#x}");
    }
}

#[test]
fn what_is_asked_for_and_not_there_has_its_own_error() {
    let mut world = World::with(|settings| settings.addresses.truncate(1));
    let alpha = Client::new(&mut world, "198.51.100.1:4500", 1, &[]);
    let udp = RequestedTransport::new(RequestedTransport::UDP);
    let tcp = RequestedTransport::new(RequestedTransport::TCP);
    let ipv6 = RequestedAddressFamily::new(AddressFamily::IPV6);
    let pair = EvenPort::new(true);
    let cases: [(&[&dyn AttributeWrite], u16); 5] = [
        (&[], 400),
        (&[&tcp], 442),
        (&[&udp, &ipv6], 440),
        (&[&udp, &pair], 508),
        (&[&udp, &DontFragment::new()], 420),
    ];
    for (attributes, code) in cases {
        let request = alpha.request(ALLOCATE, attributes);
        assert_eq!(world.answer(alpha.address, &request), Some(Err(code)));
    }
    assert_eq!(alpha.refresh(&mut world, 600), Err(437));
    assert_eq!(alpha.permit(&mut world, "192.0.2.1:0"), Err(437));
}

#[test]
fn usernames_say_what_went_into_them_and_fit_into_a_message() {
    let places: Vec<Place> = (0..100).map(|n| Place::Relay([2001, 0xdb8, 0, 0, 0, 0, 0, n].into())).collect();
    let credential = Credential { until: UNIX + 1, node: NodeId(u64::MAX), places };
    let username = credential.username();
    assert!((460..=508).contains(&username.len()), "{}", username.len());
    let read = Credential::read(&username, UNIX).unwrap();
    assert!(credential.places.starts_with(&read.places) && read.places.len() > 20);
    assert_eq!((read.until, read.node), (credential.until, credential.node));
    assert_eq!(Credential::read(&username, UNIX + 1), Err(CredentialError::Expired));
    for malformed in ["", "1:", "x:1:", "9999999999:1", "9999999999:-1:", "9999999999:1:example.net"] {
        assert_eq!(Credential::read(malformed, UNIX), Err(CredentialError::Malformed), "{malformed}");
    }
    assert_eq!(Credential::read("9999999999:1:", UNIX).unwrap().places, []);
}
