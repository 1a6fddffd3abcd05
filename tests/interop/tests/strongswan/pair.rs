//! Two sites and the connection between them.

use anyhow::{Result, ensure};
use twinmesh_e2e::Mesh;
use twinmesh_interop::strongswan::{Authentication, Child, Connection};
use twinmesh_interop::{NORTH, SOUTH, Site};

/// Of as many bits as a key should have.
pub(crate) const SECRET: &str = "Tja8XnTHz2GSpMHxVhFNnZc8";
pub(crate) const IKE: &str = "aes128gcm16-prfsha256-x25519";
pub(crate) const ESP: &str = "aes128gcm16-x25519";

/// What charon on `local` is told to talk to `remote`, by PSK.
pub(crate) fn connection(mesh: &Mesh, local: Site, remote: Site) -> Result<Connection> {
    Ok(Connection {
        name: remote.host.to_owned(),
        remote: remote.outer(mesh)?.to_string(),
        local_id: local.id(),
        remote_id: remote.id(),
        authentication: Authentication::Psk(SECRET.to_owned()),
        proposals: IKE.to_owned(),
        options: String::new(),
        children: vec![Child {
            name: "net".to_owned(),
            local_ts: local.network(),
            remote_ts: remote.network(),
            proposals: ESP.to_owned(),
            options: String::new(),
        }],
    })
}

/// The same for whoever comes: a peer behind a NAT has no port that can be named.
pub(crate) fn answering(mesh: &Mesh, local: Site, remote: Site) -> Result<Connection> {
    Ok(Connection { remote: "%any".to_owned(), ..connection(mesh, local, remote)? })
}

/// Sends charon on south an IKE_SA_INIT from north, and nothing after it.
pub(crate) fn leave_half_open(mesh: &Mesh) -> Result<()> {
    let south = SOUTH.outer(mesh)?.to_string();
    let said = mesh.run(NORTH.host, &["python3", "-c", HALF_OPEN, &south])?;
    ensure!(said.trim() == "34", "charon answered an exchange of type {said}");
    Ok(())
}

/// AES-128-GCM-16, HMAC-SHA2-256, x25519; the public value and the nonce are any bytes.
const HALF_OPEN: &str = "
import socket, sys
proposal = '00000024010100030300000c01000014800e00800300000802000005000000080400001f'
bodies = [(33, proposal), (34, '001f0000' + '09' * 32), (40, '55' * 32)]
payloads = b''
for (kind, body), following in zip(bodies, [34, 40, 0]):
    body = bytes.fromhex(body)
    payloads += bytes([following, 0]) + (len(body) + 4).to_bytes(2, 'big') + body
header = b'half-opn' + bytes(8) + bytes([33, 0x20, 34, 0x08]) + bytes(4) + (28 + len(payloads)).to_bytes(4, 'big')
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer.settimeout(5)
peer.sendto(header + payloads, (sys.argv[1], 500))
print(peer.recv(4096)[18])
";
