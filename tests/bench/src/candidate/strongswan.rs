//! charon with ESP in user space (`kernel-libipsec`).

use anyhow::{Context as _, Result, ensure};
use twinmesh_e2e::IpVersion;
use twinmesh_interop::strongswan::{Authentication, Charon, Child, Connection};

use super::{Found, INNER, Tunnel, processes, version_line};
use crate::pair::{LEFT, Pair, RIGHT};
use crate::places::Places;

const HOSTS: [&str; 2] = [LEFT, RIGHT];
const CHILD: &str = "net";

pub(super) fn find(places: &Places) -> Result<Found> {
    const PLUGIN: &str = "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so";
    const INSTALL: &str = "`tests/setup.sh bench` installs strongSwan";
    places.program("charon-systemd").with_context(|| format!("there is no charon-systemd; {INSTALL}"))?;
    let swanctl = places.program("swanctl").with_context(|| format!("there is no swanctl; {INSTALL}"))?;
    ensure!(std::path::Path::new(PLUGIN).exists(), "there is no {PLUGIN}; {INSTALL}");
    let version = version_line(&swanctl, &["--help"]);
    Ok(Found { folder: places.programs.clone(), version })
}

pub(super) fn start(pair: &Pair) -> Result<Tunnel> {
    let mesh = pair.mesh();
    let mut charons = Vec::new();
    for (me, host) in HOSTS.into_iter().enumerate() {
        let peer = 1 - me;
        mesh.run(host, &["ip", "address", "add", &format!("{}/32", INNER[me]), "dev", "lo"])?;
        let connection = Connection {
            name: "tunnel".to_owned(),
            remote: mesh.outer_address(HOSTS[peer], IpVersion::V4)?.to_string(),
            local_id: format!("{host}.example"),
            remote_id: format!("{}.example", HOSTS[peer]),
            authentication: Authentication::Psk("a secret that both of them know".to_owned()),
            postquantum: None,
            proposals: "aes128gcm16-prfsha256-x25519".to_owned(),
            options: String::new(),
            children: vec![Child {
                name: CHILD.to_owned(),
                local_ts: format!("{}/32", INNER[me]),
                remote_ts: format!("{}/32", INNER[peer]),
                proposals: "aes128gcm16".to_owned(),
                options: String::new(),
            }],
        };
        charons.push(Charon::start(mesh, host, &[connection])?);
    }
    charons.first().context("no charon")?.initiate(CHILD)?;
    // Its device keeps the MTU of 1400 that charon gives it: charon cuts off what is longer.
    Ok(Tunnel { from: INNER[0].into(), to: INNER[1].into(), processes: processes(pair, "charon")? })
}
