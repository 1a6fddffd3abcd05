//! The limits by message count, which only the inside can lower.

use super::*;
use crate::device::{Admission, MAX_REPLY_LEN};
use crate::index::IndexAllocator;
use crate::key::PrivateKey;

const PACKET: [u8; 20] = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, last], 4500))
}

/// Two peers of each other with a session, the first having begun it.
fn session(now: Instant) -> (Peer, Peer, Device) {
    let mut indices = IndexAllocator::default();
    let [ours, theirs] = [(); 2].map(|()| Device::new(&PrivateKey::generate().unwrap()));
    let mut peer = |device: &Device, of: &Device, at: u8| {
        let settings = PeerSettings { candidates: vec![address(at)], ..PeerSettings::default() };
        Peer::new(device, of.public_key(), indices.allocate(now).unwrap(), settings, now)
    };
    let (mut a, mut b) = (peer(&ours, &theirs, 2), peer(&theirs, &ours, 1));
    let (mut to_b, mut to_a) = ([0; 256], [0; 256]);
    let Sealed::Waiting(Some(init)) = a.seal(&PACKET, &mut to_b, now) else { panic!("no initiation") };
    let (Opened::Answer(response), _) = b.open(address(1), init.datagram, &mut to_a, now) else {
        panic!("no response")
    };
    let mut out = [0; 256];
    let (Opened::Answer(keepalive), change) = a.open(address(2), response.datagram, &mut out, now) else {
        panic!("no keepalive")
    };
    assert_eq!(change, Some(Change::Up(address(2))));
    assert_eq!(b.open(address(1), keepalive.datagram, &mut to_a, now).1, Some(Change::Up(address(1))));
    assert!(a.next_waiting(&mut out, now).is_some());
    (a, b, theirs)
}

#[test]
fn a_session_is_renewed_after_its_messages_and_refused_after_its_last() {
    let now = Instant::now();
    let (mut a, mut b, device_b) = session(now);
    // Two messages are out: the keepalive and the packet that waited.
    a.limits = MessageLimits { rekey_after: 3, reject_after: 6 };
    let (mut to_b, mut out) = ([0; 256], [0; 256]);
    for _ in 2..3 {
        assert!(matches!(a.seal(&PACKET, &mut to_b, now), Sealed::Send(_)));
    }
    assert_eq!(a.tick(&mut to_b, now), None);
    for _ in 3..6 {
        assert!(matches!(a.seal(&PACKET, &mut to_b, now), Sealed::Send(_)));
    }
    assert_eq!(a.seal(&PACKET, &mut to_b, now), Sealed::Dropped(DropReason::CounterExhausted));

    // An initiation must be newer than the last.
    #[cfg(feature = "mock-clock")]
    mock_instant::MockClock::advance(Duration::from_millis(1));
    let init = a.tick(&mut to_b, now).expect("the new session is due");
    let mut cookie = [0; MAX_REPLY_LEN];
    let admission = device_b.admit(address(1).ip(), init.datagram, &mut cookie);
    assert!(matches!(admission, Admission::Initiation(_)));
    let (Opened::Answer(response), _) = b.open(address(1), init.datagram, &mut out, now) else {
        panic!("no response")
    };
    assert!(matches!(a.open(address(2), response.datagram, &mut to_b, now).0, Opened::Answer(_)));
    assert!(matches!(a.seal(&PACKET, &mut to_b, now), Sealed::Send(_)));
}

#[test]
fn a_counter_beyond_the_last_message_is_refused_before_any_work() {
    let now = Instant::now();
    let (mut a, _, _) = session(now);
    for counter in [u64::MAX, u64::MAX - 1, u64::MAX - (1 << 13)] {
        let mut datagram = [0; 48];
        datagram[0] = 4;
        datagram[8..16].copy_from_slice(&counter.to_le_bytes());
        let mut out = [0; 256];
        assert_eq!(
            a.open(address(2), &datagram, &mut out, now).0,
            Opened::Dropped(DropReason::CounterExhausted)
        );
    }
}
