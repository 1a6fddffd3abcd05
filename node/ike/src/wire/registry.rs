//! Numbers of the IANA registry "Internet Key Exchange Version 2 (IKEv2) Parameters", under their names there.

/// An enumeration of a registry: known numbers by name, all others kept.
macro_rules! registry {
    ($(#[$doc:meta])* $name:ident: $repr:ty { $($variant:ident = $number:literal, $iana:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name {
            $($variant,)+
            /// A number that this crate has no name for.
            Other($repr),
        }

        impl $name {
            /// Every number with a name here.
            pub const NAMED: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in the IANA registry, if this crate knows it.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => Some($iana),)+
                    Self::Other(_) => None,
                }
            }
        }

        impl From<$repr> for $name {
            fn from(number: $repr) -> Self {
                match number {
                    $($number => Self::$variant,)+
                    other => Self::Other(other),
                }
            }
        }

        impl From<$name> for $repr {
            fn from(value: $name) -> Self {
                match value {
                    $($name::$variant => $number,)+
                    $name::Other(other) => other,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{}({})", stringify!($name), <$repr>::from(*self)),
                }
            }
        }
    };
}
pub(super) use registry;

registry! {
    /// "IKEv2 Exchange Types".
    ExchangeType: u8 {
        IkeSaInit = 34, "IKE_SA_INIT";
        IkeAuth = 35, "IKE_AUTH";
        CreateChildSa = 36, "CREATE_CHILD_SA";
        Informational = 37, "INFORMATIONAL";
        IkeSessionResume = 38, "IKE_SESSION_RESUME";
        IkeIntermediate = 43, "IKE_INTERMEDIATE";
        IkeFollowupKe = 44, "IKE_FOLLOWUP_KE";
    }
}

registry! {
    /// "IKEv2 Payload Types": those that this crate reads. Every other is unknown, and refused if critical.
    PayloadType: u8 {
        NoNextPayload = 0, "No Next Payload";
        SecurityAssociation = 33, "SA";
        KeyExchange = 34, "KE";
        IdInitiator = 35, "IDi";
        IdResponder = 36, "IDr";
        Certificate = 37, "CERT";
        CertificateRequest = 38, "CERTREQ";
        Authentication = 39, "AUTH";
        Nonce = 40, "Ni, Nr";
        Notify = 41, "N";
        Delete = 42, "D";
        VendorId = 43, "V";
        TrafficSelectorsInitiator = 44, "TSi";
        TrafficSelectorsResponder = 45, "TSr";
        Encrypted = 46, "SK";
        Configuration = 47, "CP";
        Eap = 48, "EAP";
        EncryptedFragment = 53, "SKF";
    }
}

registry! {
    /// "IKEv2 Security Protocol Identifiers". Zero, reserved there, stands in notifies that concern no SA.
    ProtocolId: u8 {
        None = 0, "no protocol";
        Ike = 1, "IKE";
        Ah = 2, "AH";
        Esp = 3, "ESP";
    }
}

registry! {
    /// "Transform Type Values".
    TransformType: u8 {
        Encryption = 1, "ENCR";
        Prf = 2, "PRF";
        Integrity = 3, "INTEG";
        KeyExchange = 4, "KE";
        SequenceNumbers = 5, "SN";
        AdditionalKeyExchange1 = 6, "ADDKE1";
        AdditionalKeyExchange2 = 7, "ADDKE2";
        AdditionalKeyExchange3 = 8, "ADDKE3";
        AdditionalKeyExchange4 = 9, "ADDKE4";
        AdditionalKeyExchange5 = 10, "ADDKE5";
        AdditionalKeyExchange6 = 11, "ADDKE6";
        AdditionalKeyExchange7 = 12, "ADDKE7";
    }
}

registry! {
    /// "IKEv2 Identification Payload ID Types".
    IdType: u8 {
        Ipv4Address = 1, "ID_IPV4_ADDR";
        Fqdn = 2, "ID_FQDN";
        Rfc822Address = 3, "ID_RFC822_ADDR";
        Ipv6Address = 5, "ID_IPV6_ADDR";
        DerAsn1Dn = 9, "ID_DER_ASN1_DN";
        DerAsn1Gn = 10, "ID_DER_ASN1_GN";
        KeyId = 11, "ID_KEY_ID";
        Null = 13, "ID_NULL";
    }
}

registry! {
    /// "IKEv2 Certificate Encodings".
    CertificateEncoding: u8 {
        Pkcs7WrappedX509 = 1, "PKCS #7 wrapped X.509 certificate";
        X509Signature = 4, "X.509 Certificate - Signature";
        CertificateRevocationList = 7, "Certificate Revocation List (CRL)";
        HashAndUrlOfX509Certificate = 12, "Hash and URL of X.509 certificate";
        HashAndUrlOfX509Bundle = 13, "Hash and URL of X.509 bundle";
        OcspContent = 14, "OCSP Content";
        RawPublicKey = 15, "Raw Public Key";
    }
}

registry! {
    /// "IKEv2 Authentication Method".
    AuthMethod: u8 {
        RsaDigitalSignature = 1, "RSA Digital Signature";
        SharedKeyMessageIntegrityCode = 2, "Shared Key Message Integrity Code";
        DssDigitalSignature = 3, "DSS Digital Signature";
        EcdsaP256 = 9, "ECDSA with SHA-256 on the P-256 curve";
        EcdsaP384 = 10, "ECDSA with SHA-384 on the P-384 curve";
        EcdsaP521 = 11, "ECDSA with SHA-512 on the P-521 curve";
        Null = 13, "NULL Authentication";
        DigitalSignature = 14, "Digital Signature";
    }
}

registry! {
    /// "IKEv2 Traffic Selector Types".
    TsType: u8 {
        Ipv4AddressRange = 7, "TS_IPV4_ADDR_RANGE";
        Ipv6AddressRange = 8, "TS_IPV6_ADDR_RANGE";
    }
}

registry! {
    /// "IKEv2 Configuration Payload CFG Types".
    ConfigurationType: u8 {
        Request = 1, "CFG_REQUEST";
        Reply = 2, "CFG_REPLY";
        Set = 3, "CFG_SET";
        Ack = 4, "CFG_ACK";
    }
}
