//! What a site's owner allows and forbids: PFS, revoked certificates, old algorithms and postquantum secrets, IKE
//! SAs without a child; and how much of strangers' requests is put up with.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use twinmesh_e2e::wait_for;
use twinmesh_interop::strongswan::{Authentication, Authority, Charon, KeyKind, PostquantumSecret, Version};
use twinmesh_interop::{NORTH, SOUTH, on_sites};

use crate::ours::{Ours, Start};
use crate::pair::{answering, connection, flood};

const PATIENCE: Duration = Duration::from_secs(10);

/// Proposals for ESP of ours and of charon's, and whether a rekey has a key exchange of its own (PFS).
const PFS: [(&str, &str, bool); 4] = [
    ("aes128gcm16-x25519", "aes128gcm16-x25519", true),
    ("aes128gcm16", "aes128gcm16", false),
    // Whoever takes both gets on with everybody.
    ("aes128gcm16-x25519-modpnone", "aes128gcm16", false),
    ("aes128gcm16-x25519-modpnone", "aes128gcm16-x25519", true),
];

#[test]
fn a_child_is_rekeyed_with_and_without_pfs_and_by_either_if_one_side_takes_both() {
    on_sites("ike-pfs", |mesh| {
        let charon = Charon::start_version(mesh, SOUTH.host, Version::Trixie, "", &[])?;
        let ours = Ours::start(mesh, NORTH)?;
        for (esp, theirs_esp, pfs) in PFS {
            let (mut mine, mut theirs) = (connection(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?);
            esp.clone_into(&mut mine.children[0].proposals);
            theirs_esp.clone_into(&mut theirs.children[0].proposals);
            mine.children[0].options = "rekey_time = \"4s\"\nlife_time = \"60s\"".to_owned();
            charon.load(&[theirs])?;
            ours.add(&mine, Start::Initiate)?;
            let first = ours.settles_with(1)?;
            let before = charon.log().len();
            charon.rekey_child("net").with_context(|| format!("{esp} {theirs_esp}"))?;
            let second = ours.is_within(PATIENCE, "charon's rekey", |state| spi(state) != spi(&first))?;
            ours.is_within(PATIENCE, "our rekey", |state| spi(state) != spi(&second))?;
            NORTH.ping(mesh, SOUTH, 2)?;
            let log = charon.log();
            let answers = log[before..].lines().filter(|line| line.contains("CREATE_CHILD_SA response"));
            let said: Vec<&str> = answers.filter(|line| line.contains("TSi")).collect();
            ensure!(said.len() >= 2 && said.iter().all(|line| line.contains(" KE ") == pfs), "{said:?}");
            ours.remove(SOUTH.host)?;
            charon.is_empty_within(PATIENCE)?;
        }
        Ok(())
    });
}

fn spi(state: &serde_json::Value) -> &serde_json::Value {
    &state["children"][0]["spi_in"]
}

#[test]
fn trap_23_a_pfs_setting_that_does_not_fit_fails_at_the_rekey_and_says_so_while_traffic_goes_on() {
    on_sites("ike-pfs-mismatch", |mesh| {
        let (mut mine, mut theirs) = (connection(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?);
        "aes128gcm16-x25519".clone_into(&mut mine.children[0].proposals);
        "aes128gcm16".clone_into(&mut theirs.children[0].proposals);
        mine.children[0].options = "rekey_time = \"3s\"\nlife_time = \"90s\"".to_owned();
        let charon = Charon::start(mesh, SOUTH.host, &[theirs])?;
        let ours = Ours::start(mesh, NORTH)?;
        ours.add(&mine, Start::Initiate)?;
        let first = ours.settles_with(1)?;
        NORTH.ping(mesh, SOUTH, 2)?;
        // Ours asks for a key exchange that charon does not have.
        ours.fails_with(&["NO_PROPOSAL_CHOSEN", "aes128gcm16-x25519", "differ in PFS", "`-modpnone`"])?;
        // charon asks without one, which ours does not allow.
        charon.swanctl(&["--rekey", "--child", "net"])?;
        charon.logs("received NO_PROPOSAL_CHOSEN")?;
        ours.fails_with(&["no common proposal", "differ in key exchange", "add \"aes128gcm16\""])?;
        let state = ours.settles_with(1)?;
        ensure!(spi(&state) == spi(&first), "{state}");
        NORTH.ping(mesh, SOUTH, 2)
    });
}

#[test]
fn a_revoked_certificate_is_refused_in_both_roles_and_the_user_told() {
    on_sites("ike-crl", |mesh| {
        let authority = Authority::new(KeyKind::EcdsaP256)?;
        let (north, south) = (NORTH.id(), SOUTH.id());
        authority.certify("stranger.example")?;
        let [mine, theirs] = authority.certificates([&north, &south])?;
        let with = |authentication: &Authentication, list: Option<String>| match authentication.clone() {
            Authentication::Certificate { certificate, key, authority, .. } => {
                Authentication::Certificate { certificate, key, authority, revoked: list }
            }
            other @ (Authentication::Psk(_) | Authentication::PublicKey { .. }) => other,
        };
        let mut connections = [connection(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?];
        connections[1].authentication = theirs.clone();
        let charon = Charon::start_version(mesh, SOUTH.host, Version::Trixie, "", &connections[1..])?;
        let ours = Ours::start(mesh, NORTH)?;
        connections[0].authentication = with(&mine, Some(authority.revoke(&["stranger.example"])?));
        ours.add(&connections[0], Start::Initiate)?;
        ours.settles_with(1)?;
        NORTH.ping(mesh, SOUTH, 2)?;
        ours.remove(SOUTH.host)?;

        connections[0].authentication = with(&mine, Some(authority.revoke(&[&south])?));
        ours.add(&connections[0], Start::Initiate)?;
        ours.fails_with(&["revoked"])?;
        ours.remove(SOUTH.host)?;
        ours.add(&connections[0], Start::Answer)?;
        let said = charon.fails_to_initiate("net")?;
        ensure!(said.contains("AUTHENTICATION_FAILED"), "{said}");
        ours.fails_with(&["revoked"])?;
        NORTH.does_not_reach(mesh, SOUTH)?;
        ours.remove(SOUTH.host)?;

        // And charon refuses ours.
        connections[0].authentication = mine;
        connections[1].authentication = with(&theirs, Some(authority.revoke(&[&north])?));
        charon.load(&connections[1..])?;
        ours.add(&connections[0], Start::Initiate)?;
        ours.fails_with(&["AUTHENTICATION_FAILED"])?;
        charon.logs("certificate was revoked")
    });
}

#[test]
fn old_algorithms_need_consent_and_work_then() {
    on_sites("ike-legacy", |mesh| {
        let (mut mine, mut theirs) = (connection(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?);
        for connection in [&mut mine, &mut theirs] {
            "3des-sha1-modp1024".clone_into(&mut connection.proposals);
            "3des-sha1-modp1024".clone_into(&mut connection.children[0].proposals);
        }
        let charon = Charon::start(mesh, SOUTH.host, &[theirs])?;
        let ours = Ours::start(mesh, NORTH)?;
        let refused = ours.add(&mine, Start::Initiate).err().context("weak algorithms were taken")?;
        ensure!(format!("{refused:#}").contains("allow_legacy = true"), "{refused:#}");
        mine.options = "allow_legacy = true".to_owned();
        for start in [Start::Initiate, Start::Answer] {
            ours.connects(&mine, start, &charon)?;
            let sas = charon.sas()?;
            ensure!(sas.contains("3DES_CBC/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024"), "{sas}");
            ensure!(sas.matches("3DES_CBC/HMAC_SHA1_96").count() == 2, "{sas}");
            NORTH.ping(mesh, SOUTH, 2)?;
            charon.rekey_child("net")?;
            SOUTH.ping(mesh, NORTH, 2)?;
            ours.remove(SOUTH.host)?;
            charon.is_empty_within(PATIENCE)?;
        }
        Ok(())
    });
}

#[test]
fn an_ike_sa_begins_without_a_child_in_both_roles_and_gets_it_afterwards() {
    on_sites("ike-childless", |mesh| {
        let (mut mine, mut theirs) = (connection(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?);
        theirs.options = "childless = force".to_owned();
        let charon = Charon::start_version(mesh, SOUTH.host, Version::Trixie, "", &[theirs])?;
        let ours = Ours::start(mesh, NORTH)?;
        ours.add(&mine, Start::Answer)?;
        charon.swanctl(&["--initiate", "--ike", NORTH.host])?;
        ours.settles_with(0)?;
        charon.initiate("net").with_context(|| ours.log())?;
        ours.settles_with(1)?;
        NORTH.ping(mesh, SOUTH, 2)?;
        ours.remove(SOUTH.host)?;

        mine.options = "childless = \"prefer\"".to_owned();
        ours.add(&mine, Start::Initiate)?;
        ours.settles_with(1).with_context(|| charon.log())?;
        NORTH.ping(mesh, SOUTH, 2)
    });
}

#[test]
fn a_flood_of_half_open_sas_makes_us_ask_for_cookies_and_charon_returns_its_own() {
    on_sites("ike-flood", |mesh| {
        let ours = Ours::start(mesh, NORTH)?;
        ours.add(&answering(mesh, NORTH, SOUTH)?, Start::Answer)?;
        let charon = Charon::start(mesh, SOUTH.host, &[connection(mesh, SOUTH, NORTH)?])?;
        // charon itself has not been heard of: what makes it give a cookie is the number in all.
        let answers = flood(mesh, NORTH.outer(mesh)?)?;
        ensure!(answers.responses > 0 && answers.cookies > 0 && answers.others == 0, "{answers:?}");
        charon.initiate("net").with_context(|| ours.log())?;
        ensure!(charon.log().contains("N(COOKIE)"), "{}", charon.log());
        ours.settles_with(1)?;
        NORTH.ping(mesh, SOUTH, 2)?;
        // What began is forgotten after 30 seconds, and then nobody is asked for cookies any more.
        wait_for("the half-open IKE SAs to go", Duration::from_secs(45), || {
            let answers = flood(mesh, NORTH.outer(mesh).ok()?).ok()?;
            (answers.responses > 0).then_some(())
        })
    });
}

#[test]
fn a_postquantum_secret_is_mixed_in_by_both_and_another_one_is_refused() {
    on_sites("ike-ppk", |mesh| {
        let ppk =
            |digit: &str| Some(PostquantumSecret { id: "far.example".to_owned(), secret: digit.repeat(64) });
        let (mut mine, mut theirs) = (connection(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?);
        (mine.postquantum, theirs.postquantum) = (ppk("7"), ppk("7"));
        let charon = Charon::start_version(mesh, SOUTH.host, Version::Trixie, "", &[theirs])?;
        let ours = Ours::start(mesh, NORTH)?;
        for start in [Start::Initiate, Start::Answer] {
            ours.connects(&mine, start, &charon)?;
            NORTH.ping(mesh, SOUTH, 2)?;
            ensure!(charon.sas()?.contains("/PPK"), "{}", charon.sas()?);
            charon.rekey_child("net")?;
            SOUTH.ping(mesh, NORTH, 2)?;
            ours.remove(SOUTH.host)?;
            charon.is_empty_within(PATIENCE)?;
        }
        mine.postquantum = ppk("8");
        ours.add(&mine, Start::Initiate)?;
        ours.fails_with(&["AUTHENTICATION_FAILED"])?;
        NORTH.does_not_reach(mesh, SOUTH)
    });
}
