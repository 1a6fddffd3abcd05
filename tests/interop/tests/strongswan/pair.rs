//! Two sites and the connection between them.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
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
        postquantum: None,
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
    let said = mesh.run(NORTH.host, &["python3", "-c", &format!("{FIRST_MESSAGE}{HALF_OPEN}"), &south])?;
    ensure!(said.trim() == "34", "charon answered an exchange of type {said}");
    Ok(())
}

/// What came back for a flood.
#[derive(Debug)]
pub(crate) struct Answers {
    /// IKE_SA_INIT as it should be: the other side keeps something now.
    pub(crate) responses: usize,
    pub(crate) cookies: usize,
    pub(crate) others: usize,
}

/// Sends an agent two IKE_SA_INIT from each of 24 addresses beside south, and nothing after them.
pub(crate) fn flood(mesh: &Mesh, to: IpAddr) -> Result<Answers> {
    let sources: Vec<String> = (100..124).map(|host| format!("198.51.100.{host}")).collect();
    let add: String =
        sources.iter().map(|source| format!("ip address replace {source}/32 dev eth0\n")).collect();
    mesh.run(SOUTH.host, &["sh", "-ec", &add])?;
    let to = to.to_string();
    let program = format!("{FIRST_MESSAGE}{FLOOD}");
    let mut command = vec!["python3", "-c", &program, &to];
    command.extend(sources.iter().map(String::as_str));
    let counts = mesh.json(SOUTH.host, &command)?;
    let count = |kind: &str| counts[kind].as_u64().and_then(|count| usize::try_from(count).ok());
    let [responses, cookies, others] =
        ["responses", "cookies", "others"].map(|kind| count(kind).context("no count"));
    Ok(Answers { responses: responses?, cookies: cookies?, others: others? })
}

/// AES-128-GCM-16, HMAC-SHA2-256, x25519; the public value and the nonce are any bytes.
const FIRST_MESSAGE: &str = "
import json, os, socket, sys
proposal = '00000024010100030300000c01000014800e00800300000802000005000000080400001f'
bodies = [(33, proposal), (34, '001f0000' + '09' * 32), (40, '55' * 32)]
payloads = b''
for (kind, body), following in zip(bodies, [34, 40, 0]):
    body = bytes.fromhex(body)
    payloads += bytes([following, 0]) + (len(body) + 4).to_bytes(2, 'big') + body
def message(spi):
    return spi + bytes(8) + bytes([33, 0x20, 34, 0x08]) + bytes(4) + (28 + len(payloads)).to_bytes(4, 'big') + payloads
";

const HALF_OPEN: &str = "
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer.settimeout(5)
peer.sendto(message(b'half-opn'), (sys.argv[1], 500))
print(peer.recv(4096)[18])
";

/// Port 4500 has a marker of four zero bytes; a COOKIE is a notification of type 16390.
const FLOOD: &str = "
counts = dict(responses=0, cookies=0, others=0)
for source in 2 * sys.argv[2:]:
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.bind((source, 0))
    peer.settimeout(0.5)
    peer.sendto(bytes(4) + message(os.urandom(8)), (sys.argv[1], 4500))
    try:
        answer = peer.recv(4096)[4:]
    except TimeoutError:
        continue
    cookie = answer[16] == 41 and answer[34:36] == (16390).to_bytes(2, 'big')
    counts['cookies' if cookie else 'responses' if answer[16] == 33 else 'others'] += 1
print(json.dumps(counts))
";
