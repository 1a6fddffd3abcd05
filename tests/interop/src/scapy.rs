//! scapy's IPsec layer, in a Python process of its own (`esp/scapy_peer.py`).

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};
use twinmesh_esp::{Integrity, Suite};

/// One packet for scapy to seal or to open, and all it must know of the SA.
#[derive(Debug, Clone, Serialize)]
pub struct Request {
    #[serde(rename = "do")]
    pub task: &'static str,
    pub protocol: &'static str,
    pub spi: u32,
    /// scapy keeps no state from one packet to the next.
    pub sequence: u64,
    pub esn: bool,
    pub encryption: Option<String>,
    pub encryption_key: Vec<u8>,
    pub integrity: Option<&'static str>,
    pub integrity_key: Vec<u8>,
    /// Addresses of the outer header, in tunnel mode.
    pub tunnel: Option<[IpAddr; 2]>,
    /// Ports of UDP encapsulation.
    pub udp: Option<[u16; 2]>,
    pub packet: Vec<u8>,
}

#[derive(Debug, Deserialize)]
struct Reply {
    packet: Option<Vec<u8>>,
    error: Option<String>,
}

/// The process; it ends with its standard input, so with this.
pub struct Scapy {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Scapy {
    pub fn start() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = here.join("../../target/interop/scapy/bin/python3");
        let python = env::var_os("TWINMESH_SCAPY_PYTHON").map_or(python, PathBuf::from);
        let spawned = Command::new(&python)
            .arg(here.join("esp/scapy_peer.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut process = spawned.unwrap_or_else(|error| {
            panic!("scapy is not installed ({}: {error}): run tests/setup.sh test", python.display())
        });
        let input = process.stdin.take();
        let output = process.stdout.take().expect("it was asked for a pipe");
        Self { process, input, output: BufReader::new(output) }
    }

    /// What scapy makes of the packet, or what it says is wrong with it.
    pub fn ask(&mut self, request: &Request) -> Result<Vec<u8>, String> {
        let reply = self.exchange(request);
        reply.packet.ok_or_else(|| reply.error.unwrap_or_default())
    }

    fn exchange(&mut self, request: &Request) -> Reply {
        let mut line = serde_json::to_vec(request).expect("a request has nothing that JSON lacks");
        line.push(b'\n');
        let input = self.input.as_mut().expect("it is taken when this is dropped");
        // It has ended already if Python found no scapy; then there is no answer either.
        let sent = input.write_all(&line);
        let mut line = String::new();
        let received = self.output.read_line(&mut line);
        match (sent, received, serde_json::from_str(&line)) {
            (Ok(()), Ok(_), Ok(reply)) => reply,
            trouble => panic!("scapy does not answer: run tests/setup.sh test ({trouble:?})"),
        }
    }
}

impl Drop for Scapy {
    fn drop(&mut self) {
        self.input = None;
        // It has nothing left to read, so it is about to end; a failure to wait changes no test's result.
        let _ = self.process.wait();
    }
}

/// scapy's names for a suite's algorithms.
pub fn algorithms(suite: Suite) -> (String, Option<&'static str>) {
    let encryption = suite.encryption().name();
    let encryption = match encryption {
        "null" => "NULL",
        "3des" => "3DES",
        "chacha20poly1305" => "CHACHA20-POLY1305",
        name if name.ends_with("gmac") => "AES-NULL-GMAC",
        name if name.ends_with("gcm16") => "AES-GCM",
        name if name.ends_with("gcm12") => "AES-GCM-12",
        name if name.ends_with("gcm8") => "AES-GCM-8",
        name if name.ends_with("ctr") => "AES-CTR",
        _ => "AES-CBC",
    };
    (encryption.to_owned(), suite.integrity().and_then(integrity))
}

/// `None` for GMAC, which scapy has in ESP only.
pub fn integrity(integrity: Integrity) -> Option<&'static str> {
    match integrity.name() {
        "sha256" => Some("SHA2-256-128"),
        "sha384" => Some("SHA2-384-192"),
        "sha512" => Some("SHA2-512-256"),
        "sha1" => Some("HMAC-SHA1-96"),
        "md5" => Some("HMAC-MD5-96"),
        _ => None,
    }
}
