//! Keys and certificates, made by openssl when a test needs them.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use super::configuration::Authentication;

/// What a key pair is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    Rsa2048,
    Rsa4096,
    EcdsaP256,
    EcdsaP384,
    Ed25519,
}

impl KeyKind {
    /// Arguments of `openssl genpkey`.
    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Rsa2048 => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            Self::Rsa4096 => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
            Self::EcdsaP256 => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Self::EcdsaP384 => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            Self::Ed25519 => &["-algorithm", "ED25519"],
        }
    }
}

/// A certificate, or only a public key, and its private key; all in PEM.
#[derive(Debug, Clone)]
pub struct KeyPair {
    pub public: String,
    pub key: String,
}

/// A certificate authority, in a folder of its own.
pub struct Authority {
    folder: TempDir,
    kind: KeyKind,
}

impl Authority {
    /// A new authority whose keys, and those of all it certifies, are of that kind.
    ///
    /// # Errors
    /// openssl is missing or refuses.
    pub fn new(kind: KeyKind) -> Result<Self> {
        let authority = Self { folder: TempDir::new()?, kind };
        authority.key("ca")?;
        let extensions = [
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        ];
        let request = [
            "req",
            "-x509",
            "-new",
            "-days",
            "30",
            "-subj",
            "/O=Lab/CN=Lab CA",
            "-key",
            "ca.key",
            "-out",
            "ca.pem",
        ];
        authority.openssl([&request[..], &extensions].concat())?;
        Ok(authority)
    }

    /// Its own certificate.
    pub fn certificate(&self) -> Result<String> {
        self.read("ca.pem")
    }

    /// A certificate for a DNS name.
    pub fn certify(&self, name: &str) -> Result<KeyPair> {
        self.key(name)?;
        let (key, request, certificate) =
            (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let subject = format!("/O=Lab/CN={name}");
        self.openssl(["req", "-new", "-subj", &subject, "-key", &key, "-out", &request])?;
        let extensions = format!(
            "basicConstraints=CA:FALSE\nsubjectAltName=DNS:{name}\nkeyUsage=digitalSignature\n\
             extendedKeyUsage=serverAuth,clientAuth\n"
        );
        fs::write(self.path("extensions"), extensions)?;
        let sign = ["x509", "-req", "-days", "30", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        let files = ["-in", &request, "-out", &certificate, "-extfile", "extensions"];
        self.openssl([&sign[..], &files].concat())?;
        Ok(KeyPair { public: self.read(&certificate)?, key: self.read(&key)? })
    }

    /// A list that revokes the certificates of these names (RFC 5280 §5).
    pub fn revoke(&self, names: &[&str]) -> Result<String> {
        let settings = "[ca]\ndefault_ca = lab\n[lab]\ndatabase = index\ncrlnumber = number\ndefault_md = sha256\n\
                        default_crl_days = 30\ncrl_extensions = list\n[list]\nauthorityKeyIdentifier = keyid\n";
        for (file, content) in [("settings", settings), ("index", ""), ("number", "01")] {
            fs::write(self.path(file), content)?;
        }
        let authority = ["ca", "-config", "settings", "-cert", "ca.pem", "-keyfile", "ca.key"];
        for name in names {
            self.openssl([&authority[..], &["-revoke", &format!("{name}.pem")]].concat())?;
        }
        self.openssl([&authority[..], &["-gencrl", "-out", "revoked.pem"]].concat())?;
        self.read("revoked.pem")
    }

    /// A key pair without certificate; the public key as SubjectPublicKeyInfo.
    pub fn bare_key(&self, name: &str) -> Result<KeyPair> {
        self.key(name)?;
        let (key, public) = (format!("{name}.key"), format!("{name}.pub"));
        self.openssl(["pkey", "-in", &key, "-pubout", "-out", &public])?;
        Ok(KeyPair { public: self.read(&public)?, key: self.read(&key)? })
    }

    /// How two sides with a certificate each prove who they are.
    pub fn certificates(&self, names: [&str; 2]) -> Result<[Authentication; 2]> {
        let authority = self.certificate()?;
        let [one, other] = names.map(|name| {
            let KeyPair { public: certificate, key } = self.certify(name)?;
            Ok::<_, anyhow::Error>(Authentication::Certificate {
                certificate,
                key,
                authority: authority.clone(),
                revoked: None,
            })
        });
        Ok([one?, other?])
    }

    /// How two sides that know each other's public key do.
    pub fn public_keys(&self, names: [&str; 2]) -> Result<[Authentication; 2]> {
        let (one, other) = (self.bare_key(names[0])?, self.bare_key(names[1])?);
        let of = |own: &KeyPair, peer: &KeyPair| Authentication::PublicKey {
            public: own.public.clone(),
            key: own.key.clone(),
            peer: peer.public.clone(),
        };
        Ok([of(&one, &other), of(&other, &one)])
    }

    fn key(&self, name: &str) -> Result<()> {
        let file = format!("{name}.key");
        self.openssl([&["genpkey", "-out", &file], self.kind.arguments()].concat())
    }

    fn openssl(&self, arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Result<()> {
        let output = Command::new("openssl").args(arguments).current_dir(self.folder.path()).output()?;
        ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn read(&self, file: &str) -> Result<String> {
        Ok(fs::read_to_string(self.path(file))?)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }
}
