//! Several key exchanges for one SA, one after the other, with other methods than ML-KEM.

use std::time::Duration;

use anyhow::ensure;
use twinmesh_interop::strongswan::{Charon, Connection, Version};
use twinmesh_interop::{NORTH, SOUTH, on_sites};

use crate::ours::{Ours, Start};
use crate::pair::connection;

const IKE: &str = "aes256gcm16-prfsha384-x25519-ke1_ecp384-ke3_modp3072";
const ESP: &str = "aes256gcm16-x25519-ke1_ecp384-ke2_modp2048";

fn with_further_key_exchanges(connection: Connection) -> Connection {
    let mut connection = Connection { proposals: IKE.to_owned(), ..connection };
    for child in &mut connection.children {
        ESP.clone_into(&mut child.proposals);
    }
    connection
}

#[test]
fn further_key_exchanges_make_and_renew_the_ike_sa_and_its_child_in_both_roles() {
    for start in [Start::Initiate, Start::Answer] {
        on_sites(&format!("ike-further-{start:?}").to_lowercase(), |mesh| {
            let mine = with_further_key_exchanges(connection(mesh, NORTH, SOUTH)?);
            let theirs = with_further_key_exchanges(connection(mesh, SOUTH, NORTH)?);
            let charon = Charon::start_version(mesh, SOUTH.host, Version::Trixie, "", &[theirs])?;
            let ours = Ours::start(mesh, NORTH)?;
            let often = Connection { options: "rekey_time = \"9s\"".to_owned(), ..mine };
            let first = ours.connects(&often, start, &charon)?;
            ensure!(first["ike_sa"]["proposal"] == IKE, "{first}");
            let stream = mesh.ping_in_background(SOUTH.host, NORTH.inner.into(), Duration::from_secs(14))?;
            let inbound = |state: &serde_json::Value| state["children"][0]["spi_in"].clone();
            // Theirs, then ours by time.
            charon.rekey_child("net")?;
            ours.is_within(Duration::from_secs(5), "a new child", |state| inbound(state) != inbound(&first))?;
            let old = charon.ike_spis()?;
            charon.swanctl(&["--rekey", "--ike", NORTH.host])?;
            let renewed =
                |initiator: bool| move |state: &serde_json::Value| state["ike_sa"]["initiator"] == initiator;
            ours.is_within(Duration::from_secs(5), "an IKE SA of theirs", renewed(false))?;
            ours.is_within(Duration::from_secs(12), "an IKE SA of ours", renewed(true))?;
            ensure!(charon.ike_spis()? != old, "the IKE SA is the old one");
            let report = stream.finish()?;
            ensure!(report.sent > 120 && report.lost == 0, "{report:?}");
            ours.settles_with(1)?;
            charon.settles_with(1)?;
            NORTH.iperf(mesh, SOUTH)
        });
    }
}
