//! Presets for the implementations that are met most, each from what is known of it (IPSEC.md, "Vendors").

use std::fmt;
use std::str::FromStr;

use super::connection::{ConnectionConfig, Lifetime};
use super::narrow::Narrowing;

/// Whose implementation the peer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Vendor {
    Apple,
    Aws,
    CiscoAsa,
    CiscoIos,
    Fortinet,
    Juniper,
    MikroTik,
    StrongSwan,
    Windows,
}

/// No preset has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no vendor known here: {list}", list = names())]
pub struct UnknownVendor(pub String);

fn names() -> String {
    Vendor::ALL.map(Vendor::as_str).join(", ")
}

impl Vendor {
    pub const ALL: [Self; 9] = [
        Self::Apple,
        Self::Aws,
        Self::CiscoAsa,
        Self::CiscoIos,
        Self::Fortinet,
        Self::Juniper,
        Self::MikroTik,
        Self::StrongSwan,
        Self::Windows,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apple => "apple",
            Self::Aws => "aws",
            Self::CiscoAsa => "cisco-asa",
            Self::CiscoIos => "cisco-ios",
            Self::Fortinet => "fortigate",
            Self::Juniper => "juniper",
            Self::MikroTik => "mikrotik",
            Self::StrongSwan => "strongswan",
            Self::Windows => "windows",
        }
    }

    /// Sets what this vendor needs and says in words what that is.
    pub fn apply(self, connection: &mut ConnectionConfig) -> Vec<&'static str> {
        let mut said = Vec::new();
        match self {
            Self::CiscoAsa | Self::CiscoIos | Self::Fortinet | Self::Juniper | Self::MikroTik => {
                connection.quirks.narrowing = Narrowing::SinglePair;
                said.push("a child takes one pair of subnets: each pair of local_ts and remote_ts gets SAs of its own");
            }
            Self::Windows => {
                for child in &mut connection.children {
                    child.lifetime = Lifetime::UNLIMITED;
                }
                said.push("children are rekeyed by the peer only, which refuses our rekeys behind a NAT");
            }
            Self::Apple | Self::Aws | Self::StrongSwan => {}
        }
        said
    }
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Vendor {
    type Err = UnknownVendor;

    fn from_str(text: &str) -> Result<Self, UnknownVendor> {
        Self::ALL
            .into_iter()
            .find(|vendor| vendor.as_str() == text)
            .ok_or_else(|| UnknownVendor(text.to_owned()))
    }
}
