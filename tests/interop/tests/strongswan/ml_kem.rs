//! ML-KEM with strongSwan 6.1 of Debian's next release: trixie's 6.0 is built without it. Only with the feature `forky`:
//!
//! ```text
//! tests/interop/strongswan_root.sh forky
//! cargo build --bins
//! cargo nextest run --profile lab -p twinmesh-interop --features forky ml_kem
//! ```

use std::time::Duration;

use anyhow::ensure;
use twinmesh_e2e::wait_for;
use twinmesh_interop::strongswan::{Charon, Version};
use twinmesh_interop::{NORTH, SOUTH, on_sites};

use crate::ours::{Ours, Start};
use crate::pair::connection;

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn ml_kem_768_is_the_second_key_exchange_with_charon_in_both_roles_and_at_rekeys() {
    on_sites("ike-ml-kem", |mesh| {
        let (mut mine, mut theirs) = (connection(mesh, NORTH, SOUTH)?, connection(mesh, SOUTH, NORTH)?);
        for connection in [&mut mine, &mut theirs] {
            "aes256gcm16-prfsha384-x25519-ke1_mlkem768".clone_into(&mut connection.proposals);
            "aes256gcm16-x25519-ke1_mlkem768".clone_into(&mut connection.children[0].proposals);
        }
        let charon = Charon::start_version(mesh, SOUTH.host, Version::Forky, "", &[theirs])?;
        let ours = Ours::start(mesh, NORTH)?;
        for start in [Start::Initiate, Start::Answer] {
            ours.connects(&mine, start, &charon)?;
            NORTH.ping(mesh, SOUTH, 2)?;
            let old = charon.ike_spis()?;
            charon.rekey_child("net")?;
            SOUTH.ping(mesh, NORTH, 2)?;
            charon.swanctl(&["--rekey", "--ike", NORTH.host])?;
            wait_for("a new IKE SA", PATIENCE, || (charon.ike_spis().ok()? != old).then_some(()))?;
            charon.settles_with(1)?;
            let sas = charon.sas()?;
            // Of the IKE SA and of the child.
            ensure!(sas.matches("KE1_ML_KEM_768").count() == 2, "{sas}");
            NORTH.ping(mesh, SOUTH, 2)?;
            ours.remove(SOUTH.host)?;
            charon.is_empty_within(PATIENCE)?;
        }
        Ok(())
    });
}
