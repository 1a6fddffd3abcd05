//! A tunnel between twinmesh and charon, whoever asks for it, with each family of algorithms.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use twinmesh_e2e::Mesh;
use twinmesh_interop::strongswan::{Authority, Charon, Child, KeyKind};
use twinmesh_interop::{BARN, CABIN, NORTH, SOUTH, Site, on_sites_with_each_version};

use crate::ours::{Ours, Start};
use crate::pair::{answering, connection};

const PATIENCE: Duration = Duration::from_secs(5);

/// Proposals for IKE and for ESP, with a key exchange of its own for the child or without.
const SUITES: [(&str, &str); 8] = [
    ("aes128gcm16-prfsha256-x25519", "aes128gcm16-x25519"),
    ("aes256gcm16-prfsha384-ecp384", "aes256gcm16-ecp384"),
    ("chacha20poly1305-prfsha512-ecp521", "chacha20poly1305"),
    ("aes256-sha256-ecp256", "aes256-sha256-ecp256"),
    ("aes192-sha384-modp3072", "aes192-sha384"),
    ("aes128-sha512-modp4096", "aes128-sha512"),
    ("aes128-sha256-prfsha512-modp2048", "aes256gcm16-modp2048"),
    ("aes256gcm16-prfsha256-x25519", "aes256-sha512-x25519"),
];

#[test]
fn we_ask_for_a_tunnel_by_psk_and_it_carries_ordinary_programs() {
    on_sites_with_each_version("ike-initiator", |mesh, version| {
        let _charon =
            Charon::start_version(mesh, SOUTH.host, version, "", &[connection(mesh, SOUTH, NORTH)?])?;
        let ours = Ours::start(mesh, NORTH)?;
        NORTH.does_not_reach(mesh, SOUTH)?;
        ours.add(&connection(mesh, NORTH, SOUTH)?, Start::Initiate)?;
        let state = ours.settles_with(1)?;
        ensure!(state["ike_sa"]["initiator"] == true, "{state}");
        carries_and_hides(mesh, NORTH, SOUTH)
    });
}

#[test]
fn we_answer_by_psk_and_the_tunnel_carries_ordinary_programs() {
    on_sites_with_each_version("ike-responder", |mesh, version| {
        let charon =
            Charon::start_version(mesh, SOUTH.host, version, "", &[connection(mesh, SOUTH, NORTH)?])?;
        let ours = Ours::start(mesh, NORTH)?;
        ours.add(&connection(mesh, NORTH, SOUTH)?, Start::Answer)?;
        charon.initiate("net").with_context(|| ours.log())?;
        let state = ours.settles_with(1)?;
        ensure!(state["ike_sa"]["initiator"] == false, "{state}");
        carries_and_hides(mesh, SOUTH, NORTH)
    });
}

/// Pings and iperf3 in all directions, and on the wire nothing of what is inside.
fn carries_and_hides(mesh: &Mesh, from: Site, to: Site) -> Result<()> {
    from.ping(mesh, to, 5)?;
    to.ping(mesh, from, 5)?;
    let capture = mesh.capture(from.host, "not arp")?;
    let inner = to.inner.to_string();
    let source = from.inner.to_string();
    // "secret-" in hexadecimal, through ping's payload.
    mesh.run(
        from.host,
        &["ping", "-I", &source, "-c", "5", "-i", "0.2", "-W", "2", "-p", "7365637265742d", &inner],
    )?;
    let bytes = capture.finish()?;
    ensure!(bytes.len() > 5 * 100, "nothing was captured");
    ensure!(!bytes.windows(14).any(|window| window == b"secret-secret-"), "plain text on the wire");
    from.iperf(mesh, to)
}

#[test]
fn every_family_of_algorithms_agrees_in_both_roles() {
    on_sites_with_each_version("ike-suites", |mesh, version| {
        let charon = Charon::start_version(mesh, SOUTH.host, version, "", &[])?;
        let ours = Ours::start(mesh, NORTH)?;
        for (ike, esp) in SUITES {
            let (mut theirs, mut mine) = (connection(mesh, SOUTH, NORTH)?, connection(mesh, NORTH, SOUTH)?);
            for connection in [&mut theirs, &mut mine] {
                ike.clone_into(&mut connection.proposals);
                esp.clone_into(&mut connection.children[0].proposals);
            }
            charon.load(&[theirs])?;
            for start in [Start::Initiate, Start::Answer] {
                ours.connects(&mine, start, &charon).with_context(|| format!("{ike} {esp} {start:?}"))?;
                NORTH.ping(mesh, SOUTH, 2).with_context(|| format!("{ike} {esp} {start:?}"))?;
                // With a key exchange of its own where the proposal has one.
                charon.rekey_child("net")?;
                SOUTH.ping(mesh, NORTH, 2).with_context(|| format!("{ike} {esp} {start:?} rekeyed"))?;
                ours.remove(SOUTH.host)?;
                charon.is_empty_within(PATIENCE)?;
            }
        }
        Ok(())
    });
}

#[test]
fn we_reach_a_site_from_behind_a_nat_and_it_reaches_us_back() {
    on_sites_with_each_version("ike-nat-ours", |mesh, version| {
        for (site, outside) in [(BARN, SOUTH), (CABIN, NORTH)] {
            let charon =
                Charon::start_version(mesh, outside.host, version, "", &[answering(mesh, outside, site)?])?;
            let ours = Ours::start(mesh, site)?;
            ours.add(&connection(mesh, site, outside)?, Start::Initiate)?;
            ours.settles_with(1)?;
            site.ping(mesh, outside, 5)?;
            outside.iperf(mesh, site)?;
            let sas = charon.sas()?;
            ensure!(sas.contains(&format!("@ {}[", site.outer(mesh)?)), "{sas}");
        }
        Ok(())
    });
}

#[test]
fn a_site_behind_a_nat_reaches_us_and_we_reach_it_back() {
    on_sites_with_each_version("ike-nat-theirs", |mesh, version| {
        for (site, outside) in [(BARN, SOUTH), (CABIN, NORTH)] {
            let charon =
                Charon::start_version(mesh, site.host, version, "", &[connection(mesh, site, outside)?])?;
            let ours = Ours::start(mesh, outside)?;
            ours.add(&answering(mesh, outside, site)?, Start::Answer)?;
            charon.initiate("net").with_context(|| ours.log())?;
            ours.settles_with(1)?;
            site.ping(mesh, outside, 5)?;
            outside.iperf(mesh, site)?;
        }
        Ok(())
    });
}

#[test]
fn certificates_and_raw_public_keys_prove_both_sides_in_both_roles() {
    on_sites_with_each_version("ike-keys", |mesh, version| {
        let charon = Charon::start_version(mesh, SOUTH.host, version, "", &[])?;
        let ours = Ours::start(mesh, NORTH)?;
        for kind in
            [KeyKind::Rsa2048, KeyKind::Rsa4096, KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::Ed25519]
        {
            let authority = Authority::new(kind)?;
            let names = [NORTH.id(), SOUTH.id()];
            let names = [names[0].as_str(), names[1].as_str()];
            for [mine, theirs] in [authority.certificates(names)?, authority.public_keys(names)?] {
                let mut connections = [connection(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?];
                connections[0].authentication = mine;
                connections[1].authentication = theirs;
                let [mine, theirs] = connections;
                charon.load(&[theirs])?;
                for start in [Start::Initiate, Start::Answer] {
                    ours.connects(&mine, start, &charon).with_context(|| format!("{kind:?} {start:?}"))?;
                    NORTH.ping(mesh, SOUTH, 2)?;
                    ours.remove(SOUTH.host)?;
                    charon.is_empty_within(PATIENCE)?;
                }
            }
        }
        Ok(())
    });
}

#[test]
fn several_children_are_set_up_and_selectors_narrowed_to_what_both_allow() {
    on_sites_with_each_version("ike-narrow", |mesh, version| {
        let (mut mine, mut theirs) = (connection(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?);
        for connection in [&mut mine, &mut theirs] {
            let far = Child { name: "far".to_owned(), ..connection.children[0].clone() };
            connection.children.push(far);
        }
        "10.22.0.0/16".clone_into(&mut mine.children[1].remote_ts);
        "10.22.0.0/16".clone_into(&mut theirs.children[1].local_ts);
        "10.2.0.0/24, 10.2.7.0/24".clone_into(&mut theirs.children[0].local_ts);
        // kernel-libipsec needs an address of its own in each selector.
        for address in ["10.2.7.1/32", "10.22.0.1/32"] {
            mesh.run(SOUTH.host, &["ip", "address", "add", address, "dev", "lo"])?;
        }
        let mut far = SOUTH;
        far.inner = Ipv4Addr::new(10, 22, 0, 1);

        let charon = Charon::start_version(mesh, SOUTH.host, version, "", &[theirs])?;
        let ours = Ours::start(mesh, NORTH)?;
        for start in [Start::Initiate, Start::Answer] {
            ours.add(&mine, start)?;
            if start == Start::Answer {
                charon.initiate("net").with_context(|| ours.log())?;
                charon.initiate("far").with_context(|| ours.log())?;
            }
            let state = ours.settles_with(2)?;
            charon.settles_with(2)?;
            let narrowed = serde_json::json!(["10.2.0.0/24", "10.2.7.0/24"]);
            let children = state["children"].as_array().context("no children")?;
            ensure!(children.iter().any(|child| child["remote_ts"] == narrowed), "{state}");
            NORTH.ping(mesh, SOUTH, 3)?;
            NORTH.ping(mesh, far, 3)?;
            ours.remove(SOUTH.host)?;
            charon.is_empty_within(PATIENCE)?;
        }
        Ok(())
    });
}
