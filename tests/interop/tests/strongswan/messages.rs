//! Messages that are more than a request and its answer: in fragments, with a cookie, asked for again.

use anyhow::{Context as _, ensure};
use twinmesh_interop::strongswan::{Authority, Charon, KeyKind};
use twinmesh_interop::{NORTH, SOUTH, on_sites};

use crate::ours::{Ours, Start};
use crate::pair::{connection, leave_half_open};

#[test]
fn large_certificates_cross_a_narrow_path_in_fragments() {
    on_sites("ike-fragments", |mesh| {
        // core's second interface leads to south.
        mesh.run("core", &["ip", "link", "set", "lan1", "mtu", "1280"])?;
        mesh.run(SOUTH.host, &["ip", "link", "set", "eth0", "mtu", "1280"])?;
        let keys = Authority::new(KeyKind::Rsa4096)?.certificates([&NORTH.id(), &SOUTH.id()])?;
        let mut connections = [connection(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?];
        for (connection, key) in connections.iter_mut().zip(keys) {
            connection.authentication = key;
        }
        let [mine, theirs] = connections;
        let charon = Charon::start(mesh, SOUTH.host, &[theirs])?;
        let ours = Ours::start(mesh, NORTH)?;
        ours.add(&mine, Start::Initiate)?;
        ours.settles_with(1).with_context(|| charon.log())?;
        ours.remove(SOUTH.host)?;
        ours.add(&mine, Start::Answer)?;
        charon.initiate("net").with_context(|| ours.log())?;
        ours.settles_with(1)?;
        let log = charon.log();
        ensure!(log.contains("received fragment #2 of") && log.contains("splitting IKE message"), "{log}");
        Ok(())
    });
}

#[test]
fn a_cookie_that_charon_asks_for_is_returned() {
    on_sites("ike-cookie", |mesh| {
        let one = "cookie_threshold = 1";
        let charon = Charon::start_with(mesh, SOUTH.host, one, &[connection(mesh, SOUTH, NORTH)?])?;
        leave_half_open(mesh)?;
        let ours = Ours::start(mesh, NORTH)?;
        ours.add(&connection(mesh, NORTH, SOUTH)?, Start::Initiate)?;
        ours.settles_with(1).with_context(|| charon.log())?;
        charon.logs("N(COOKIE)")
    });
}

#[test]
fn a_key_exchange_that_only_our_second_choice_has_is_asked_for_again() {
    on_sites("ike-invalid-ke", |mesh| {
        let mut connections = [connection(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?];
        "aes128gcm16-prfsha256-x25519-ecp256".clone_into(&mut connections[0].proposals);
        "aes128gcm16-prfsha256-ecp256".clone_into(&mut connections[1].proposals);
        let [mine, mut theirs] = connections;
        let charon = Charon::start(mesh, SOUTH.host, &[theirs.clone()])?;
        let ours = Ours::start(mesh, NORTH)?;
        ours.add(&mine, Start::Initiate)?;
        ours.settles_with(1).with_context(|| charon.log())?;
        charon.logs("N(INVAL_KE)")?;
        ours.remove(SOUTH.host)?;

        // Now charon guesses wrong.
        "aes128gcm16-prfsha256-modp2048-ecp256".clone_into(&mut theirs.proposals);
        charon.load(&[theirs])?;
        ours.add(&mine, Start::Answer)?;
        charon.initiate("net").with_context(|| ours.log())?;
        NORTH.ping(mesh, SOUTH, 2)
    });
}
