//! What charon is told.

/// ESP in user space on a TUN device; charon's own packets carry a mark that leads past it. Only what the tests need
/// is loaded: no plugin that looks for a resolver, a TPM or a DHCP server.
const STRONGSWAN_CONF: &str = "
  load = random nonce openssl aes sha1 sha2 hmac kdf gcm chapoly curve25519 gmp pem pkcs1 pkcs8 x509 pubkey \
    constraints revocation kernel-libipsec kernel-netlink socket-default vici
  syslog {
    daemon {
      default = -1
    }
  }
  journal {
    default = -1
  }
  filelog {
    stderr {
      default = 1
      ike = 2
      cfg = 2
    }
  }
  retransmit_timeout = 1
  retransmit_tries = 3
  delete_rekeyed_delay = 1
  plugins {
    kernel-netlink {
      fwmark = !0x42
    }
    socket-default {
      fwmark = 0x42
    }
    kernel-libipsec {
      allow_peer_ts = yes
    }
  }
";

/// `strongswan.conf` with further settings.
pub(super) fn strongswan_conf(settings: &str) -> String {
    format!("charon-systemd {{{STRONGSWAN_CONF}{settings}\n}}\n")
}

/// How the two sides prove who they are.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// A secret that both know.
    Psk(String),
    /// The side's own certificate with its key, the authority that the peer's comes from, and whom that has revoked,
    /// in PEM.
    Certificate { certificate: String, key: String, authority: String, revoked: Option<String> },
    /// charon's own key pair and the peer's public key (RFC 7670), in PEM.
    PublicKey { public: String, key: String, peer: String },
}

/// A connection; the text fields are in swanctl's notation.
#[derive(Debug, Clone)]
pub struct Connection {
    pub name: String,
    /// The peer's address, or `%any`.
    pub remote: String,
    pub local_id: String,
    pub remote_id: String,
    pub authentication: Authentication,
    pub postquantum: Option<PostquantumSecret>,
    pub proposals: String,
    /// Further lines.
    pub options: String,
    pub children: Vec<Child>,
}

/// A secret to be mixed in (RFC 8784), which both sides must have.
#[derive(Debug, Clone)]
pub struct PostquantumSecret {
    pub id: String,
    /// In hexadecimal digits.
    pub secret: String,
}

/// A child of a [`Connection`].
#[derive(Debug, Clone)]
pub struct Child {
    pub name: String,
    pub local_ts: String,
    pub remote_ts: String,
    pub proposals: String,
    /// Further lines.
    pub options: String,
}

impl Connection {
    /// Files that it refers to, below `/etc/swanctl`.
    pub(super) fn files(&self) -> Vec<(String, &str)> {
        let name = &self.name;
        match &self.authentication {
            Authentication::Psk(_) => Vec::new(),
            Authentication::Certificate { certificate, key, authority, revoked } => {
                let revoked = revoked.iter().map(|list| (format!("x509crl/{name}.pem"), list.as_str()));
                let files = [
                    (format!("x509/{name}.pem"), certificate.as_str()),
                    (format!("private/{name}.pem"), key),
                    (format!("x509ca/{name}.pem"), authority),
                ];
                files.into_iter().chain(revoked).collect()
            }
            Authentication::PublicKey { public, key, peer } => vec![
                (format!("pubkey/{name}.pem"), public),
                (format!("private/{name}.pem"), key),
                (format!("pubkey/{name}-peer.pem"), peer),
            ],
        }
    }

    fn section(&self) -> String {
        let Self { name, remote, local_id, remote_id, proposals, options, postquantum, .. } = self;
        let postquantum =
            postquantum.as_ref().map(|ppk| format!("ppk_id = {}\n    ppk_required = yes", ppk.id));
        let postquantum = postquantum.unwrap_or_default();
        let (local, peer) = match &self.authentication {
            Authentication::Psk(_) => ("auth = psk".to_owned(), "auth = psk".to_owned()),
            Authentication::Certificate { .. } => (
                format!("auth = pubkey\n      certs = {name}.pem"),
                format!("auth = pubkey\n      cacerts = {name}.pem"),
            ),
            Authentication::PublicKey { .. } => (
                format!("auth = pubkey\n      pubkeys = {name}.pem"),
                format!("auth = pubkey\n      pubkeys = {name}-peer.pem"),
            ),
        };
        let children: String = self.children.iter().map(Child::section).collect();
        format!(
            "
  {name} {{
    version = 2
    remote_addrs = {remote}
    proposals = {proposals}
    {postquantum}
    {options}
    local {{
      id = {local_id}
      {local}
    }}
    remote {{
      id = {remote_id}
      {peer}
    }}
    children {{{children}
    }}
  }}"
        )
    }

    fn secret(&self) -> String {
        match &self.authentication {
            Authentication::Psk(secret) => {
                format!(
                    "\n  ike-{} {{\n    id = {}\n    secret = \"{secret}\"\n  }}",
                    self.name, self.remote_id
                )
            }
            Authentication::Certificate { .. } | Authentication::PublicKey { .. } => String::new(),
        }
    }

    fn postquantum_secret(&self) -> String {
        let text = |ppk: &PostquantumSecret| {
            format!("\n  ppk-{} {{\n    id = {}\n    secret = 0x{}\n  }}", self.name, ppk.id, ppk.secret)
        };
        self.postquantum.as_ref().map(text).unwrap_or_default()
    }
}

impl Child {
    fn section(&self) -> String {
        let Self { name, local_ts, remote_ts, proposals, options } = self;
        format!(
            "
      {name} {{
        local_ts = {local_ts}
        remote_ts = {remote_ts}
        esp_proposals = {proposals}
        {options}
      }}"
        )
    }
}

/// `swanctl.conf` with these connections.
pub(super) fn swanctl_conf(connections: &[Connection]) -> String {
    let sections: String = connections.iter().map(Connection::section).collect();
    let secrets: String = connections.iter().flat_map(|it| [it.secret(), it.postquantum_secret()]).collect();
    format!("connections {{{sections}\n}}\nsecrets {{{secrets}\n}}\n")
}
