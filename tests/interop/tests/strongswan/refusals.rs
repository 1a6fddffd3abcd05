//! What does not fit: on the wire as RFC 7296 says, in words for the user.

use anyhow::{Result, ensure};
use twinmesh_e2e::Mesh;
use twinmesh_interop::strongswan::{Authentication, Charon, Connection};
use twinmesh_interop::{NORTH, SOUTH, on_sites};

use crate::ours::{Ours, Start};
use crate::pair::connection;

/// Our connection changed, in both roles: charon logs `notify`; ours shows the site with all words of `asking`
/// or `answering`.
fn refused(
    mesh: &Mesh,
    change: impl Fn(&mut Connection),
    notify: &str,
    asking: &[&str],
    answering: &[&str],
) -> Result<()> {
    let charon = Charon::start(mesh, SOUTH.host, &[connection(mesh, SOUTH, NORTH)?])?;
    let ours = Ours::start(mesh, NORTH)?;
    let mut mine = connection(mesh, NORTH, SOUTH)?;
    change(&mut mine);
    ours.add(&mine, Start::Answer)?;
    let said = charon.fails_to_initiate("net")?;
    ensure!(said.contains(notify) || charon.log().contains(notify), "{said}");
    ours.fails_with(answering)?;
    ours.remove(SOUTH.host)?;

    ours.add(&mine, Start::Initiate)?;
    ours.fails_with(asking)?;
    NORTH.does_not_reach(mesh, SOUTH)
}

#[test]
fn a_wrong_secret_is_refused_on_the_wire_without_a_reason_and_with_one_to_our_user() {
    on_sites("ike-wrong-psk", |mesh| {
        let other = "pQ9vLkXwR3tYzN7mB5cD2sFg";
        let change =
            |connection: &mut Connection| connection.authentication = Authentication::Psk(other.to_owned());
        refused(
            mesh,
            change,
            "AUTHENTICATION_FAILED",
            &["AUTHENTICATION_FAILED"],
            &["another pre-shared key", "south.example"],
        )
    });
}

#[test]
fn without_a_common_proposal_both_proposals_are_named() {
    on_sites("ike-no-proposal", |mesh| {
        let change = |connection: &mut Connection| {
            "aes256gcm16-prfsha384-ecp384".clone_into(&mut connection.proposals);
        };
        let theirs = "aes128gcm16-prfsha256-x25519";
        let mine = "aes256gcm16-prfsha384-ecp384";
        refused(mesh, change, "NO_PROPOSAL_CHOSEN", &["NO_PROPOSAL_CHOSEN", mine], &[theirs, mine])
    });
}

#[test]
fn selectors_that_share_nothing_are_refused_and_named() {
    on_sites("ike-selectors", |mesh| {
        let change =
            |connection: &mut Connection| "10.77.0.0/16".clone_into(&mut connection.children[0].remote_ts);
        refused(
            mesh,
            change,
            "TS_UNACCEPTABLE",
            &["TS_UNACCEPTABLE", "10.77.0.0/16"],
            &["10.2.0.0/16", "10.77.0.0/16"],
        )
    });
}
