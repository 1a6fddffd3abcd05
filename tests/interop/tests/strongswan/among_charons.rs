//! charon with charon: what fails here is wrong in the tests' own tools.

use std::time::Duration;

use anyhow::{Result, ensure};
use twinmesh_interop::strongswan::{Authentication, Authority, Charon, KeyKind};
use twinmesh_interop::{BARN, CABIN, NORTH, SOUTH, on_sites};

use crate::pair::{answering, connection, leave_half_open};

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn a_tunnel_by_psk_carries_traffic_is_rekeyed_and_ends() {
    on_sites("charons-psk", |mesh| {
        let north = Charon::start(mesh, NORTH.host, &[connection(mesh, NORTH, SOUTH)?])?;
        let south = Charon::start(mesh, SOUTH.host, &[connection(mesh, SOUTH, NORTH)?])?;
        NORTH.does_not_reach(mesh, SOUTH)?;
        north.initiate("net")?;
        NORTH.ping(mesh, SOUTH, 5)?;
        SOUTH.ping(mesh, NORTH, 5)?;
        NORTH.iperf(mesh, SOUTH)?;
        north.swanctl(&["--rekey", "--child", "net"])?;
        south.swanctl(&["--rekey", "--ike", NORTH.host])?;
        south.settles_with(1)?;
        SOUTH.ping(mesh, NORTH, 5)?;
        north.kill()?;
        north.restart()?;
        ensure!(north.sas()?.is_empty(), "{}", north.sas()?);
        // What south still has is replaced: it is north's first contact.
        north.initiate("net")?;
        south.settles_with(1)?;
        NORTH.ping(mesh, SOUTH, 5)?;
        south.swanctl(&["--terminate", "--ike", NORTH.host])?;
        north.is_empty_within(PATIENCE)?;
        NORTH.does_not_reach(mesh, SOUTH)
    });
}

#[test]
fn a_site_behind_a_nat_reaches_one_that_is_not_by_udp_encapsulation() {
    for (site, outside) in [(BARN, NORTH), (CABIN, SOUTH)] {
        on_sites(&format!("charons-{}", site.host), |mesh| {
            let inside = Charon::start(mesh, site.host, &[connection(mesh, site, outside)?])?;
            let answerer = Charon::start(mesh, outside.host, &[answering(mesh, outside, site)?])?;
            inside.initiate("net")?;
            site.ping(mesh, outside, 5)?;
            outside.iperf(mesh, site)?;
            let sas = answerer.sas()?;
            let followed = format!("@ {}[", site.outer(mesh)?);
            ensure!(sas.contains(&followed) && sas.contains("TUNNEL-in-UDP"), "{sas}");
            Ok(())
        });
    }
}

#[test]
fn certificates_of_every_kind_and_raw_public_keys_are_made_as_charon_likes_them() {
    on_sites("charons-keys", |mesh| {
        let (mut one, mut other) = (connection(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?);
        let north = Charon::start(mesh, NORTH.host, &[])?;
        let south = Charon::start(mesh, SOUTH.host, &[])?;
        let mut agree = |[mine, theirs]: [Authentication; 2]| -> Result<()> {
            (one.authentication, other.authentication) = (mine, theirs);
            north.load(&[one.clone()])?;
            south.load(&[other.clone()])?;
            north.initiate("net")?;
            NORTH.ping(mesh, SOUTH, 2)?;
            south.swanctl(&["--terminate", "--ike", NORTH.host])?;
            north.is_empty_within(PATIENCE)
        };
        for kind in
            [KeyKind::Rsa2048, KeyKind::Rsa4096, KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::Ed25519]
        {
            let authority = Authority::new(kind)?;
            agree(authority.certificates([&NORTH.id(), &SOUTH.id()])?)?;
            agree(authority.public_keys([&NORTH.id(), &SOUTH.id()])?)?;
        }
        Ok(())
    });
}

#[test]
fn one_half_open_ike_sa_makes_charon_ask_for_cookies_if_it_is_told_so() {
    on_sites("charons-cookie", |mesh| {
        let one = "cookie_threshold = 1";
        let south = Charon::start_with(mesh, SOUTH.host, one, &[connection(mesh, SOUTH, NORTH)?])?;
        let north = Charon::start(mesh, NORTH.host, &[connection(mesh, NORTH, SOUTH)?])?;
        leave_half_open(mesh)?;
        north.initiate("net")?;
        south.logs("N(COOKIE)")
    });
}
