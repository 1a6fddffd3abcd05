//! Keys as Wireshark takes them: a line of one of its tables for each SA.
//!
//! The tables are files of those names in a folder of Wireshark's configuration (`WIRESHARK_CONFIG_DIR`), in the form
//! of its "user accessible tables": comma-separated, with quotes, `#` before a comment. IKE messages open by themselves;
//! for ESP the preference `esp.enable_encryption_decode` has to be set.

use std::fmt::{self, Write as _};

use zeroize::Zeroizing;

use super::IkeKeys;
use crate::crypto::{Encryption, Integrity};
use crate::output::ChildSaEstablished;

/// Room for any line: growth would leave copies of keys behind.
const LINE: usize = 1024;
const NO_AUTHENTICATION: &str = "NULL";

/// The file that a line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WiresharkTable {
    Ike,
    Esp,
}

impl WiresharkTable {
    pub const ALL: [Self; 2] = [Self::Ike, Self::Esp];

    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Ike => "ikev2_decryption_table",
            Self::Esp => "esp_sa",
        }
    }
}

/// As hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn line(text: fmt::Arguments<'_>) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(LINE));
    // A String takes all that is written to it.
    let _written = line.write_fmt(text);
    line
}

impl IkeKeys {
    /// A line of [`WiresharkTable::Ike`]. What Wireshark cannot open is a comment there.
    pub fn wireshark(&self) -> Zeroizing<String> {
        let Self { initiator_spi, responder_spi, suite, .. } = self;
        let [ei, er] = self.encryption.each_ref().map(|key| Hex(key));
        let [ai, ar] = self.integrity.each_ref().map(|key| Hex(key));
        let encryption = match suite.encryption() {
            Encryption::Aes128Gcm16 => "AES-GCM-128 with 16 octet ICV [RFC5282]",
            Encryption::Aes256Gcm16 => "AES-GCM-256 with 16 octet ICV [RFC5282]",
            Encryption::Aes128Cbc => "AES-CBC-128 [RFC3602]",
            Encryption::Aes192Cbc => "AES-CBC-192 [RFC3602]",
            Encryption::Aes256Cbc => "AES-CBC-256 [RFC3602]",
            Encryption::TripleDesCbc => "3DES [RFC2451]",
            Encryption::ChaCha20Poly1305 => {
                let name = suite.encryption();
                return line(format_args!(
                    "# {initiator_spi},{responder_spi},{ei},{er}: {name}, which Wireshark does not open"
                ));
            }
        };
        let integrity = match suite.integrity() {
            None => "NONE [RFC4306]",
            Some(Integrity::HmacSha1) => "HMAC_SHA1_96 [RFC2404]",
            Some(Integrity::HmacSha256) => "HMAC_SHA2_256_128 [RFC4868]",
            Some(Integrity::HmacSha384) => "HMAC_SHA2_384_192 [RFC4868]",
            Some(Integrity::HmacSha512) => "HMAC_SHA2_512_256 [RFC4868]",
        };
        line(format_args!(
            "{initiator_spi},{responder_spi},{ei},{er},\"{encryption}\",{ai},{ar},\"{integrity}\""
        ))
    }
}

impl ChildSaEstablished {
    /// A line of [`WiresharkTable::Esp`] for each direction, inbound first.
    pub fn wireshark(&self) -> [Zeroizing<String>; 2] {
        let (local, remote) = (self.local.ip(), self.remote.ip());
        [
            self.direction(remote, local, self.spis.inbound, &self.keys.inbound),
            self.direction(local, remote, self.spis.outbound, &self.keys.outbound),
        ]
    }

    fn direction(
        &self,
        source: std::net::IpAddr,
        destination: std::net::IpAddr,
        spi: u32,
        keymat: &[u8],
    ) -> Zeroizing<String> {
        let suite = &self.suite;
        let (cipher, integrity) = suite.split_once('-').unwrap_or((suite, ""));
        let (authentication, length) = match integrity {
            "" => (NO_AUTHENTICATION, 0),
            "sha1" => ("HMAC-SHA-1-96 [RFC2404]", 20),
            "sha256" => ("HMAC-SHA-256-128 [RFC4868]", 32),
            "sha384" => ("HMAC-SHA-384-192 [RFC4868]", 48),
            "sha512" => ("HMAC-SHA-512-256 [RFC4868]", 64),
            _ => ("", 0),
        };
        let encryption = match cipher {
            "3des" => "TripleDES-CBC [RFC2451]",
            "aes128" | "aes192" | "aes256" => "AES-CBC [RFC3602]",
            "aes128ctr" | "aes192ctr" | "aes256ctr" => "AES-CTR [RFC3686]",
            "aes128gcm8" | "aes192gcm8" | "aes256gcm8" => "AES-GCM with 8 octet ICV [RFC4106]",
            "aes128gcm12" | "aes192gcm12" | "aes256gcm12" => "AES-GCM with 12 octet ICV [RFC4106]",
            "aes128gcm16" | "aes192gcm16" | "aes256gcm16" => "AES-GCM with 16 octet ICV [RFC4106]",
            _ => "",
        };
        let (cipher_key, integrity_key) = keymat.split_at(keymat.len().saturating_sub(length));
        let family = if source.is_ipv4() { "IPv4" } else { "IPv6" };
        let (cipher_key, integrity_key) = (Hex(cipher_key), Hex(integrity_key));
        if encryption.is_empty() || authentication.is_empty() {
            return line(format_args!(
                "# {source} to {destination}, {spi:08x}, {cipher_key} {integrity_key}: {suite}, which Wireshark does \
                 not open"
            ));
        }
        let prefix = if length == 0 { "" } else { "0x" };
        // Two columns of newer versions, which fill them in where they are left out; Wireshark 4.0 discards them.
        let sequence = if self.esn { ",\"64-bit\",\"0\"" } else { "" };
        line(format_args!(
            "\"{family}\",\"{source}\",\"{destination}\",\"0x{spi:08x}\",\"{encryption}\",\"0x{cipher_key}\",\
             \"{authentication}\",\"{prefix}{integrity_key}\"{sequence}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Prf, Suite};
    use crate::wire::IkeSpi;

    fn ike(encryption: Encryption, integrity: Option<Integrity>) -> String {
        let key = |byte: u8, length: usize| Zeroizing::new(vec![byte; length]);
        let [ei, er] = [1, 2].map(|byte| key(byte, encryption.key_len()));
        let [ai, ar] = [3, 4].map(|byte| key(byte, integrity.map_or(0, Integrity::key_len)));
        let keys = IkeKeys {
            initiator_spi: IkeSpi([5; 8]),
            responder_spi: IkeSpi([6; 8]),
            suite: Suite::new(encryption, integrity, Prf::HmacSha256).unwrap(),
            encryption: [ei, er],
            integrity: [ai, ar],
        };
        keys.wireshark().to_string()
    }

    #[test]
    fn a_line_of_ike_has_spis_keys_and_wiresharks_names() {
        assert_eq!(
            ike(Encryption::Aes128Gcm16, None),
            "0505050505050505,0606060606060606,0101010101010101010101010101010101010101,\
             0202020202020202020202020202020202020202,\"AES-GCM-128 with 16 octet ICV [RFC5282]\",,,\"NONE [RFC4306]\""
        );
        let cbc = ike(Encryption::Aes256Cbc, Some(Integrity::HmacSha256));
        assert!(cbc.ends_with(&format!(
            ",\"AES-CBC-256 [RFC3602]\",{},{},\"HMAC_SHA2_256_128 [RFC4868]\"",
            "03".repeat(32),
            "04".repeat(32)
        )));
        let unknown = ike(Encryption::ChaCha20Poly1305, None);
        assert!(unknown.starts_with("# 0505") && unknown.contains(&"02".repeat(36)), "{unknown}");
    }
}
