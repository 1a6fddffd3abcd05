//! The header outside: what it takes from the packet inside, and what of it goes back in at the other end.
//!
//! RFC 4301 §5.1.2.1 and §5.1.2.2 say field by field how the outer header relates to the inner one; RFC 6040
//! rules the two ECN bits. Options and extension headers are never copied.

mod ecn;
mod header;

pub use ecn::decapsulate_ecn;
pub use header::{OuterHeader, write_ip_header, write_udp_header};

/// The two low bits of the traffic class; the six above are the DSCP (RFC 3168 §5, RFC 2474 §3).
const ECN_MASK: u8 = 0b11;
const FLOW_LABEL_MASK: u32 = 0x000f_ffff;

/// How the outer DSCP comes about (RFC 4301 §5.1.2.1 note 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DscpPolicy {
    #[default]
    Copy,
    /// Six bits; hides from the underlay what kinds of traffic there are.
    Fixed(u8),
}

/// Whether routers on the way may fragment the outer packet, where it is IPv4 (RFC 4301 §8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DfPolicy {
    /// As the inner packet says; IPv6 inside always forbids it.
    Copy,
    /// Path MTU discovery sees every packet.
    #[default]
    Set,
    Clear,
}

/// The outer ECN field (RFC 6040 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EcnPolicy {
    /// Copied from inside.
    #[default]
    Normal,
    /// Not-ECT: for a peer that was keyed by IKEv1 and may not bring a mark of congestion inside.
    Compatibility,
}

/// The outer flow label, where the outer header is IPv6 (RFC 4301 §5.1.2.2 note 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlowLabelPolicy {
    /// From IPv6 inside; IPv4 has none, so 0.
    #[default]
    Copy,
    /// 20 bits.
    Fixed(u32),
}

/// What an SA's outer headers are to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OuterPolicy {
    pub dscp: DscpPolicy,
    pub df: DfPolicy,
    pub ecn: EcnPolicy,
    pub flow_label: FlowLabelPolicy,
    /// TTL or hop limit: a tunnel is one hop to the packet inside, whatever lies below (note 2).
    pub hop_limit: u8,
}

impl Default for OuterPolicy {
    fn default() -> Self {
        Self {
            dscp: DscpPolicy::default(),
            df: DfPolicy::default(),
            ecn: EcnPolicy::default(),
            flow_label: FlowLabelPolicy::default(),
            hop_limit: 64,
        }
    }
}

/// Fields of an outer header that depend on the packet inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// DSCP and ECN: IPv4's TOS, IPv6's traffic class.
    pub traffic_class: u8,
    /// Means nothing to an IPv6 header, which no router fragments.
    pub df: bool,
    /// Means nothing to an IPv4 header.
    pub flow_label: u32,
    pub hop_limit: u8,
}

/// What the outer header of `inner` says, for callers whose kernel writes it and for [`write_ip_header`].
/// Bytes that are no IP packet count as one without marks.
pub fn outer_fields(policy: &OuterPolicy, inner: &[u8]) -> Copied {
    let inner = Inner::of(inner);
    let dscp = match policy.dscp {
        DscpPolicy::Copy => inner.traffic_class & !ECN_MASK,
        DscpPolicy::Fixed(dscp) => dscp << 2,
    };
    let ecn = match policy.ecn {
        EcnPolicy::Normal => inner.traffic_class & ECN_MASK,
        EcnPolicy::Compatibility => 0,
    };
    let df = match policy.df {
        DfPolicy::Copy => inner.df,
        DfPolicy::Set => true,
        DfPolicy::Clear => false,
    };
    let flow_label = match policy.flow_label {
        FlowLabelPolicy::Copy => inner.flow_label,
        FlowLabelPolicy::Fixed(label) => label & FLOW_LABEL_MASK,
    };
    Copied { traffic_class: dscp | ecn, df, flow_label, hop_limit: policy.hop_limit }
}

struct Inner {
    traffic_class: u8,
    df: bool,
    flow_label: u32,
}

impl Inner {
    fn of(packet: &[u8]) -> Self {
        match packet {
            [0x40..=0x4f, tos, _, _, _, _, flags, ..] => {
                Self { traffic_class: *tos, df: flags & 0x40 != 0, flow_label: 0 }
            }
            [0x60..=0x6f, _, _, _, ..] => {
                let word = packet.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                let [high, ..] = (word << 4).to_be_bytes();
                Self { traffic_class: high, df: true, flow_label: word & FLOW_LABEL_MASK }
            }
            _ => Self { traffic_class: 0, df: true, flow_label: 0 },
        }
    }
}
