//! The short form of `make soak`.

use std::time::Duration;

use anyhow::ensure;
use twinmesh_e2e::{on_scenario, soak};

#[test]
fn a_mesh_under_mixed_load_and_all_that_can_happen_neither_stands_still_nor_grows() {
    on_scenario("soak.toml", "soak", |mesh| {
        let report = soak(mesh, Duration::from_secs(45), &mut |line| println!("{line}"))?;
        println!("{report}");
        let problems = report.problems();
        ensure!(problems.is_empty(), "{}", problems.join("\n"));
        ensure!(report.happened.len() >= 5, "little happened: {:?}", report.happened);
        Ok(())
    });
}
