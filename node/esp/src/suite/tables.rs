//! The two tables that a suite is made of: everything that depends on an algorithm's numbers is read from here.

use super::SuiteClass;
use super::SuiteClass::{Default, Legacy, TestOnly};
use EncryptionKind::{Cbc, ChaCha, Ctr, Gcm, Gmac, Null, TripleDes};

/// How an encryption algorithm is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EncryptionKind {
    Gcm,
    ChaCha,
    Gmac,
    Cbc,
    TripleDes,
    Ctr,
    Null,
}

/// One line of the encryption table. Lengths are in bytes.
pub(super) struct EncryptionRow {
    pub(super) name: &'static str,
    pub(super) kind: EncryptionKind,
    pub(super) key: usize,
    pub(super) salt: usize,
    pub(super) iv: usize,
    /// 0: no ICV of its own, so an integrity algorithm is needed beside it.
    pub(super) icv: usize,
    pub(super) block: usize,
    pub(super) class: SuiteClass,
}

/// One line of the integrity table. Lengths are in bytes.
pub(super) struct IntegrityRow {
    pub(super) name: &'static str,
    pub(super) key: usize,
    pub(super) icv: usize,
    pub(super) class: SuiteClass,
}

macro_rules! table {
    ($(#[$meta:meta])* $table:ident of $row:ident $($variant:ident = $($value:expr),+;)+) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $table { $($variant,)+ }

        impl $table {
            /// In the order of the table: preferred first.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            pub(super) const fn row(self) -> &'static $row {
                match self {
                    $(Self::$variant => {
                        const ROW: $row = $row::new($($value),+);
                        &ROW
                    })+
                }
            }

            /// In strongSwan's notation.
            pub const fn name(self) -> &'static str {
                self.row().name
            }

            /// `None` for a word that names none.
            pub(super) fn of_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|entry| entry.name() == name)
            }
        }
    };
}

impl EncryptionRow {
    #[expect(clippy::too_many_arguments, reason = "a line of a table has as many columns as it has")]
    const fn new(
        name: &'static str,
        kind: EncryptionKind,
        key: usize,
        salt: usize,
        iv: usize,
        icv: usize,
        block: usize,
        class: SuiteClass,
    ) -> Self {
        Self { name, kind, key, salt, iv, icv, block, class }
    }
}

impl IntegrityRow {
    const fn new(name: &'static str, key: usize, icv: usize, class: SuiteClass) -> Self {
        Self { name, key, icv, class }
    }
}

table! {
    /// Encryption algorithms, with or without integrity of their own (IKEv2 transform type 1).
    ///
    /// AES-GCM: RFC 4106. ChaCha20-Poly1305: RFC 7634. GMAC, which encrypts nothing: RFC 4543. AES-CBC: RFC 3602.
    /// AES-CTR: RFC 3686. 3DES-CBC: RFC 2451. NULL: RFC 2410.
    Encryption of EncryptionRow
    //                 name                kind      key salt iv icv block class
    Aes128Gcm16      = "aes128gcm16",      Gcm,       16, 4,  8, 16,  1, Default;
    Aes192Gcm16      = "aes192gcm16",      Gcm,       24, 4,  8, 16,  1, Default;
    Aes256Gcm16      = "aes256gcm16",      Gcm,       32, 4,  8, 16,  1, Default;
    ChaCha20Poly1305 = "chacha20poly1305", ChaCha,    32, 4,  8, 16,  1, Default;
    Aes128Gcm12      = "aes128gcm12",      Gcm,       16, 4,  8, 12,  1, Default;
    Aes192Gcm12      = "aes192gcm12",      Gcm,       24, 4,  8, 12,  1, Default;
    Aes256Gcm12      = "aes256gcm12",      Gcm,       32, 4,  8, 12,  1, Default;
    Aes128Gcm8       = "aes128gcm8",       Gcm,       16, 4,  8,  8,  1, Default;
    Aes192Gcm8       = "aes192gcm8",       Gcm,       24, 4,  8,  8,  1, Default;
    Aes256Gcm8       = "aes256gcm8",       Gcm,       32, 4,  8,  8,  1, Default;
    Aes128Gmac       = "aes128gmac",       Gmac,      16, 4,  8, 16,  1, Default;
    Aes192Gmac       = "aes192gmac",       Gmac,      24, 4,  8, 16,  1, Default;
    Aes256Gmac       = "aes256gmac",       Gmac,      32, 4,  8, 16,  1, Default;
    Aes128Cbc        = "aes128",           Cbc,       16, 0, 16,  0, 16, Default;
    Aes192Cbc        = "aes192",           Cbc,       24, 0, 16,  0, 16, Default;
    Aes256Cbc        = "aes256",           Cbc,       32, 0, 16,  0, 16, Default;
    Aes128Ctr        = "aes128ctr",        Ctr,       16, 4,  8,  0,  1, Default;
    Aes192Ctr        = "aes192ctr",        Ctr,       24, 4,  8,  0,  1, Default;
    Aes256Ctr        = "aes256ctr",        Ctr,       32, 4,  8,  0,  1, Default;
    TripleDesCbc     = "3des",             TripleDes, 24, 0,  8,  0,  8, Legacy;
    Null             = "null",              Null,      0, 0,  0,  0,  1, TestOnly;
}

table! {
    /// Integrity algorithms (IKEv2 transform type 3).
    ///
    /// HMAC-SHA2: RFC 4868. GMAC, in AH only: RFC 4543; its key ends with the salt. HMAC-SHA1-96: RFC 2404.
    /// HMAC-MD5-96: RFC 2403.
    Integrity of IntegrityRow
    //           name         key icv class
    HmacSha256 = "sha256",     32, 16, Default;
    HmacSha384 = "sha384",     48, 24, Default;
    HmacSha512 = "sha512",     64, 32, Default;
    Aes128Gmac = "aes128gmac", 20, 16, Default;
    Aes192Gmac = "aes192gmac", 28, 16, Default;
    Aes256Gmac = "aes256gmac", 36, 16, Default;
    HmacSha1   = "sha1",       20, 12, Legacy;
    HmacMd5    = "md5",        16, 12, Legacy;
}

impl Encryption {
    /// Whether it brings its own ICV, so that no integrity algorithm stands beside it.
    pub const fn is_combined(self) -> bool {
        self.row().icv != 0
    }

    /// Whether anything is hidden at all.
    pub const fn is_confidential(self) -> bool {
        !matches!(self.kind(), Null | Gmac)
    }

    pub(crate) const fn kind(self) -> EncryptionKind {
        self.row().kind
    }
}

impl Integrity {
    /// Bytes of key, the salt of GMAC included.
    pub const fn key_len(self) -> usize {
        self.row().key
    }

    /// Bytes of the ICV, without the explicit IV that GMAC puts before it in AH.
    pub const fn icv_len(self) -> usize {
        self.row().icv
    }

    pub const fn class(self) -> SuiteClass {
        self.row().class
    }

    /// GMAC: it needs a nonce, and ESP knows it as an encryption algorithm instead.
    pub const fn is_gmac(self) -> bool {
        matches!(self, Self::Aes128Gmac | Self::Aes192Gmac | Self::Aes256Gmac)
    }
}
