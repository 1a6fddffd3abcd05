//! Of several IKE SAs of a site the one that it goes by: the newest, until the engine says otherwise.

use twinmesh_ike::IkeSaId;

use super::Standing;

/// The engine keeps `new`, and `old` goes: `old` gives way if the site goes by it.
pub(super) fn replace(
    current: &mut Option<Standing>,
    beside: &mut Vec<Standing>,
    old: IkeSaId,
    new: IkeSaId,
) {
    if current.as_ref().is_some_and(|standing| standing.id == old)
        && let Some(at) = beside.iter().position(|standing| standing.id == new)
    {
        let stays = beside.remove(at);
        // It is about to go.
        beside.splice(..0, current.replace(stays));
    }
}

/// An IKE SA is gone; if the site went by it, the newest of the others takes its place. False if it was another's.
pub(super) fn remove(current: &mut Option<Standing>, beside: &mut Vec<Standing>, gone: IkeSaId) -> bool {
    if current.take_if(|standing| standing.id == gone).is_some() {
        *current = beside.pop();
        return true;
    }
    beside.retain(|standing| standing.id != gone);
    false
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::SocketAddr;
    use std::time::Instant;

    use twinmesh_ike::auth::{Credentials, LocalCredential, PreSharedKey, RemoteCredential};
    use twinmesh_ike::config::{ConnectionConfig, Remote};
    use twinmesh_ike::trace::Tracing;
    use twinmesh_ike::{Command, Engine, EngineConfig, IkeSaEstablished, Nat, Output};

    use super::*;

    /// As only an engine gives them.
    fn ids() -> Vec<IkeSaId> {
        let key = PreSharedKey::parse("uT7.kQ_2mVx9eR4pLs0b").unwrap();
        let (local, remote): (SocketAddr, SocketAddr) =
            ("192.0.2.1:500".parse().unwrap(), "198.51.100.1:500".parse().unwrap());
        let mut engine = Engine::new(EngineConfig::default());
        engine.set_tracing(Tracing { messages: true, keys: false });
        engine.add_connection(ConnectionConfig::new(
            "site",
            local,
            Remote::At(remote),
            "left.example.org".parse().unwrap(),
            "right.example.org".parse().unwrap(),
            Credentials {
                local: LocalCredential::PreSharedKey(key.clone()),
                remote: RemoteCredential::PreSharedKey(key),
            },
        ));
        let (now, mut count) = (Instant::now(), 0_u8);
        let mut random = |bytes: &mut [u8]| {
            count += 1;
            bytes.fill(count);
        };
        for _ in 0..3 {
            engine.handle_command(now, Command::Initiate { connection: "site".into() }, &mut random);
        }
        let mut ids = BTreeSet::new();
        while let Some(output) = engine.poll_output() {
            if let Output::Trace(trace) = output {
                ids.extend(trace.ike_sa);
            }
        }
        ids.into_iter().collect()
    }

    fn standing(id: IkeSaId) -> Standing {
        let (local, remote) =
            (SocketAddr::from(([192, 0, 2, 1], 500)), SocketAddr::from(([198, 51, 100, 1], 500)));
        let link = IkeSaEstablished {
            connection: "site".into(),
            ike_sa: id,
            initiator: true,
            local,
            remote,
            local_identity: String::new(),
            remote_identity: String::new(),
            proposal: String::new(),
            ppk: false,
            initiator_spi: 0,
            responder_spi: 0,
            nat: Nat::default(),
        };
        let now = Instant::now();
        Standing { id, since: now, established: now, rekeyed: 0, link }
    }

    #[test]
    fn if_the_new_ike_sa_does_not_last_the_old_one_goes_on() {
        let ids = ids();
        let [old, other, new] = ids.as_slice() else { panic!("three: {ids:?}") };
        let (mut current, mut beside) = (Some(standing(*new)), vec![standing(*old), standing(*other)]);
        assert!(remove(&mut current, &mut beside, *new));
        assert_eq!(current.as_ref().map(|it| it.id), Some(*other), "the newest of the others");
        assert!(!remove(&mut current, &mut beside, *old), "the site did not go by it");
        assert!(remove(&mut current, &mut beside, *other));
        assert!(current.is_none() && beside.is_empty());
    }

    #[test]
    fn if_the_older_of_two_stays_the_site_goes_by_it() {
        let ids = ids();
        let [old, new, ..] = ids.as_slice() else { panic!("two: {ids:?}") };
        let (mut current, mut beside) = (Some(standing(*new)), vec![standing(*old)]);
        replace(&mut current, &mut beside, *old, *new);
        assert_eq!(current.as_ref().map(|it| it.id), Some(*new), "as it was");
        replace(&mut current, &mut beside, *new, *old);
        assert_eq!(current.as_ref().map(|it| it.id), Some(*old));
        assert!(!remove(&mut current, &mut beside, *new));
        assert_eq!(current.as_ref().map(|it| it.id), Some(*old));
        assert!(beside.is_empty());
    }
}
