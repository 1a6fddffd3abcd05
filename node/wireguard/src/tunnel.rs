//! The tunnel of one peer, which exists only while it is of use: `boringtun` keeps eight sessions inline, some 10 KB,
//! and most peers of a large mesh are silent most of the time.
//!
//! ```text
//!   Asleep ── something to send, or an initiation ──► Awake
//!      ▲        (a newly made tunnel is first shown the newest initiation that was accepted)
//!      └─ REJECT_AFTER_TIME after the last handshake message: no session or handshake is left ──┘
//! ```
//!
//! What must outlive the tunnel is the peer's newest timestamp, else an old initiation could be replayed (whitepaper
//! §5.1). `boringtun` neither shows nor takes it, but it reads it from the initiation itself. Our own timestamps are those
//! of the system's clock when the tunnel was made, and of steady time from then on; they increase as long as that clock
//! is not set back by more than the tunnel slept, where others that take each from it bear nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use boringtun::noise::{Tunn, TunnResult};

use crate::device::Identity;
use crate::index::PeerIndex;
use crate::key::{PresharedKey, PublicKey};
use crate::message::{INITIATION_LEN, initiation};

/// Age at which a session is refused (REJECT_AFTER_TIME of the whitepaper §6.1): it is gone then. A cookie that the peer
/// gave is worthless earlier.
pub(crate) const REJECT_AFTER_TIME: Duration = Duration::from_mins(3);

/// What the tunnel is made of, and the tunnel while there is one.
pub(crate) struct Tunnel {
    identity: Arc<Identity>,
    peer: PublicKey,
    index: PeerIndex,
    preshared_key: Option<PresharedKey>,
    /// The newest initiation of the peer's that was accepted.
    newest: Option<Box<[u8; INITIATION_LEN]>>,
    awake: Option<Awake>,
}

struct Awake {
    tunn: Box<Tunn>,
    /// When it was made, or the last handshake message passed.
    last_handshake_message: Instant,
}

impl Tunnel {
    pub(crate) const fn new(
        identity: Arc<Identity>,
        peer: PublicKey,
        index: PeerIndex,
        preshared_key: Option<PresharedKey>,
    ) -> Self {
        Self { identity, peer, index, preshared_key, newest: None, awake: None }
    }

    pub(crate) const fn peer(&self) -> PublicKey {
        self.peer
    }

    pub(crate) const fn index(&self) -> PeerIndex {
        self.index
    }

    /// Takes this key from now on; false if it has it already. With another one all sessions end.
    pub(crate) fn set_preshared_key(&mut self, key: Option<PresharedKey>) -> bool {
        let is_another = self.preshared_key != key;
        if is_another {
            self.preshared_key = key;
            self.awake = None;
        }
        is_another
    }

    pub(crate) const fn is_awake(&self) -> bool {
        self.awake.is_some()
    }

    /// Whether a session to send by stands.
    pub(crate) fn has_session(&self) -> bool {
        self.awake.as_ref().is_some_and(|awake| awake.tunn.time_since_last_handshake().is_some())
    }

    /// The tunnel, if there is one.
    pub(crate) fn awake(&mut self) -> Option<&mut Tunn> {
        self.awake.as_mut().map(|awake| &mut *awake.tunn)
    }

    /// The tunnel, made if there is none: two multiplications on the curve, and four more where an initiation is shown to
    /// it. A handshake costs its responder five.
    pub(crate) fn wake(&mut self, now: Instant) -> &mut Tunn {
        let Self { identity, peer, index, preshared_key, newest, awake } = self;
        let awake = awake.get_or_insert_with(|| Awake {
            tunn: Box::new(made(identity, *peer, *index, preshared_key.as_ref(), newest.as_deref())),
            last_handshake_message: now,
        });
        &mut awake.tunn
    }

    /// A handshake message was made, or one of the peer's was accepted.
    pub(crate) fn handshake_passed(&mut self, now: Instant) {
        if let Some(awake) = &mut self.awake {
            awake.last_handshake_message = now;
        }
    }

    /// This message of the peer's was accepted.
    pub(crate) fn accepted(&mut self, datagram: &[u8], now: Instant) {
        self.handshake_passed(now);
        if let Some(initiation) = initiation(datagram) {
            match &mut self.newest {
                Some(newest) => newest.copy_from_slice(initiation),
                None => self.newest = Some(Box::new(*initiation)),
            }
        }
    }

    /// Whether nothing but unfinished business of the caller's speaks for the tunnel.
    pub(crate) fn is_spent(&self, now: Instant) -> bool {
        self.awake.as_ref().is_some_and(|awake| {
            now.saturating_duration_since(awake.last_handshake_message) >= REJECT_AFTER_TIME
        }) && !self.has_session()
    }

    /// Ends the tunnel until it is of use again.
    pub(crate) fn sleep(&mut self) {
        self.awake = None;
    }
}

/// A tunnel without sessions that accepts only initiations newer than that one.
fn made(
    identity: &Identity,
    peer: PublicKey,
    index: PeerIndex,
    preshared_key: Option<&PresharedKey>,
    newest: Option<&[u8; INITIATION_LEN]>,
) -> Tunn {
    let mut tunn = Tunn::new(
        identity.private.clone(),
        peer.0.into(),
        preshared_key.map(|key| *key.as_bytes()),
        // Ours, since it may change while the tunnel lives.
        None,
        index.get(),
        Some(Arc::clone(&identity.passed)),
    );
    if let Some(newest) = newest {
        // The response goes nowhere: without it nobody has the keys of the session that this makes beside the current
        // one, and `boringtun` forgets it in time.
        let mut response = [0; INITIATION_LEN];
        let known = tunn.decapsulate(None, newest, &mut response);
        debug_assert!(matches!(known, TunnResult::WriteToNetwork(_)), "it was accepted before");
    }
    tunn
}
