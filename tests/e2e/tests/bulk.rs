//! Large files over a line that loses, doubles and reorders, by both engines and both families.

use std::time::Duration;

use anyhow::ensure;
use twinmesh_e2e::{bulk, on_scenario, pair_in};

/// Bytes of each file; `make soak` sends a gigabyte.
const SIZE: u64 = 200 << 20;

#[test]
fn a_large_file_arrives_whole_over_a_line_that_loses_doubles_and_reorders() {
    on_scenario("rough.toml", "bulk", |mesh| {
        for protocol in ["wireguard", "esp"] {
            pair_in(mesh, ["alpha", "beta"], protocol)?;
            let addresses =
                mesh.overlay_addresses("beta")?.into_iter().map(|address| (["alpha", "beta"], address));
            for (ends, address) in addresses {
                let report = bulk(mesh, ends, address, SIZE, Duration::from_secs(100))?;
                println!("{protocol}, {address}: {:.0} Mb/s, {report:?}", report.megabits());
                ensure!(
                    report.retransmitted > 0 && report.out_of_order > 0,
                    "the line was smooth: {report:?}"
                );
                ensure!(mesh.peer("alpha", "beta")?["protocol"] == protocol, "another engine carried it");
            }
        }
        Ok(())
    });
}
