//! What nodes are told of relays, and that the relay in the coordinator takes it.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use stun_types::attribute::{ErrorCode, Nonce, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageWrite as _, MessageWriteExt as _,
    MessageWriteVec,
};
use turn_types::attribute::{RequestedTransport, XorRelayedAddress};
use turn_types::message::ALLOCATE;
use twinmesh_control::{CoordinatorMessage, Fingerprint, RelayAccess, RelayTransport};
use twinmesh_coordinator::control::{OtherRelay, Speaks};
use twinmesh_coordinator::relay::{REALM, RelayAt, RelaySecret, RelayServer, RelaySettings, TlsAt};
use zeroize::Zeroizing;

use crate::support::{DEADLINE, Hub, Session, run};

async fn relays(session: &mut Session) -> Vec<RelayAccess> {
    match session.hear().await {
        Some(CoordinatorMessage::Relays(relays)) => relays.relays,
        other => panic!("no relays: {other:?}"),
    }
}

fn relay_at(listen: &str) -> RelayAt {
    let settings = RelaySettings {
        addresses: vec!["127.0.0.1".parse().unwrap()],
        node_rate: 1_000_000,
        most_allocations: 10,
        most_allocations_of_node: 2,
    };
    RelayAt { listen: listen.parse().unwrap(), tls: TlsAt::Beside, settings }
}

/// Asks for a relayed port with a credential.
#[expect(clippy::unwrap_in_result, reason = "a failed step of a test is a panic; a refusal is an answer")]
fn allocate(relay: &RelayAccess) -> Result<SocketAddr, u16> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let ask = |request: &[u8]| {
        socket.send_to(request, relay.address).unwrap();
        let mut answer = vec![0; 1500];
        let length = socket.recv(&mut answer).unwrap();
        answer.truncate(length);
        answer
    };
    let challenge = ask(&Message::builder_request(ALLOCATE, MessageWriteVec::new()).finish());
    let challenge = Message::from_bytes(&challenge).unwrap();
    let mut request = Message::builder_request(ALLOCATE, MessageWriteVec::new());
    request.add_attribute(&RequestedTransport::new(RequestedTransport::UDP)).unwrap();
    request.add_attribute(&Username::new(&relay.username).unwrap()).unwrap();
    request.add_attribute(&challenge.attribute::<Realm>().unwrap()).unwrap();
    request.add_attribute(&challenge.attribute::<Nonce>().unwrap()).unwrap();
    let (username, password) = (relay.username.clone(), relay.password.0.clone());
    let credentials = LongTermKeyCredentials::new(username, password, REALM.to_owned());
    request.add_message_integrity(&credentials.into(), IntegrityAlgorithm::Sha1).unwrap();
    let answer = ask(&request.finish());
    let answer = Message::from_bytes(&answer).unwrap();
    match answer.attribute::<ErrorCode>() {
        Ok(error) => Err(error.code()),
        Err(_) => Ok(answer.attribute::<XorRelayedAddress>().unwrap().addr(answer.transaction_id())),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_is_told_the_relays_and_gets_a_port_with_its_own_credential() {
    let others = [
        OtherRelay { address: "192.0.2.9:3478".parse().unwrap(), speaks: Speaks::Udp },
        OtherRelay { address: "192.0.2.9:443".parse().unwrap(), speaks: Speaks::Tls },
        OtherRelay {
            address: "192.0.2.8:443".parse().unwrap(),
            speaks: Speaks::TlsWith(Fingerprint([7; 32])),
        },
    ];
    let hub = Hub::start_with(|settings| {
        settings.relay = Some(relay_at("127.0.0.1:0"));
        settings.other_relays = others.to_vec();
    })
    .await;
    let (_alpha_node, mut alpha) = hub.joined("alpha").await;
    let (_beta_node, mut beta) = hub.joined("beta").await;
    let told = relays(&mut alpha).await;
    let [own, own_tls, told_others @ ..] = <[_; 5]>::try_from(told).unwrap();
    let secret = RelaySecret::read(&hub.database().with_file_name("relay-secret")).unwrap();
    let derived = secret.fingerprint().unwrap();
    let keys = [None, Some(derived), Some(Fingerprint([7; 32]))];
    for ((told, there), key) in told_others.iter().zip(&others).zip(keys) {
        let transport = if key.is_some() { RelayTransport::Tls } else { RelayTransport::Udp };
        assert_eq!((told.address, told.fingerprint, &told.transport), (there.address, key, &transport));
    }
    assert_eq!((own.transport.clone(), own.valid_for), (RelayTransport::Udp, 6 * 3600));
    assert_eq!(
        (own_tls.address, own_tls.fingerprint),
        (own.address, Some(derived)),
        "the same number, in TCP"
    );
    let places = format!(":{}:127.0.0.1,192.0.2.9,192.0.2.8", alpha.id.0);
    assert!(own.username.ends_with(&places), "{}", own.username);
    assert!(!format!("{own:?}").contains(&own.password.0), "a password in a log");

    let of_beta = relays(&mut beta).await.swap_remove(0);
    assert_ne!((&own.username, &own.password), (&of_beta.username, &of_beta.password));
    // A relay alone needs the secret and nothing else.
    let alone = relay_at("127.0.0.1:0");
    let alone = RelayServer::bind(&alone, secret, Zeroizing::new([7; 32]), None).unwrap();
    let alone_at = alone.local_addr();
    let alone = tokio::spawn(async move { alone.serve_until(std::future::pending()).await });

    let ports = tokio::task::spawn_blocking(move || {
        let wrong = RelayAccess { password: of_beta.password.clone(), ..own.clone() };
        assert_eq!(allocate(&wrong), Err(401));
        [own.clone(), RelayAccess { address: alone_at, ..own }].map(|relay| allocate(&relay))
    });
    for relayed in ports.await.unwrap() {
        let relayed = relayed.unwrap();
        assert!(relayed.ip().is_loopback() && relayed.port() >= 49_152, "{relayed}");
    }
    alone.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_gets_no_port_from_the_coordinators_relay_though_its_credential_is_good_for_hours() {
    let hub = Hub::start_with(|settings| settings.relay = Some(relay_at("127.0.0.1:0"))).await;
    let (_node, mut alpha) = hub.joined("alpha").await;
    let own = relays(&mut alpha).await.swap_remove(0);
    let ask = async |relay: &RelayAccess| {
        let relay = relay.clone();
        tokio::task::spawn_blocking(move || allocate(&relay)).await.unwrap()
    };
    ask(&own).await.unwrap();
    hub.remove(alpha.id).await;
    assert_eq!(ask(&own).await, Err(403));
}

#[tokio::test]
async fn without_a_relay_nodes_hear_of_none() {
    let hub = Hub::start().await;
    let (_node, mut alpha) = hub.joined("alpha").await;
    let heard = tokio::time::timeout(Duration::from_millis(300), alpha.hear()).await;
    assert!(heard.is_err(), "{heard:?}");
}

#[test]
fn a_relay_without_address_or_secret_says_what_to_give() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("relay-secret");
    let secret = file.to_str().unwrap();
    let fails = |arguments: &[&str]| {
        let output = run(&[&["relay", "--secret-file", secret], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(fails(&["--listen", "127.0.0.1:0"]).contains("cannot read"));
    std::fs::write(&file, "short\n").unwrap();
    assert!(fails(&["--listen", "127.0.0.1:0"]).contains("copy `relay-secret`"));
    std::fs::write(&file, "a secret that is long enough\n").unwrap();
    assert!(fails(&["--listen", "[::]:0"]).contains("--relay-address"));
}
