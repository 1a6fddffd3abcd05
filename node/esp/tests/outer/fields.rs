use proptest::prelude::*;
use twinmesh_esp::{Copied, DfPolicy, DscpPolicy, EcnPolicy, FlowLabelPolicy, OuterPolicy, outer_fields};

use crate::packets::{v4, v6};

const INNER_CLASS: u8 = 0xb8 | 0b10;

/// RFC 4301 §5.1.2.1 and §5.1.2.2, the column "Outer Hdr at Encapsulator", each setting that the notes allow.
fn hold_line_by_line(cases: &[(&str, OuterPolicy, &[u8], Copied)]) {
    for (name, policy, inner, expected) in cases {
        assert_eq!(outer_fields(policy, inner), *expected, "{name}, inner {:02x}", inner[0]);
    }
}

#[test]
fn trap_11_df_outside_is_set_copied_or_cleared() {
    let default = OuterPolicy::default();
    let v4_df = v4(INNER_CLASS, true, 6, b"");
    let v4_free = v4(INNER_CLASS, false, 6, b"");
    let v6 = v6(INNER_CLASS, 0xabcde, 6, b"");
    hold_line_by_line(&[
        ("DF set", default, &v4_df, copied(INNER_CLASS, true, 0)),
        ("DF set", default, &v4_free, copied(INNER_CLASS, true, 0)),
        ("DF copied", df(DfPolicy::Copy), &v4_df, copied(INNER_CLASS, true, 0)),
        ("DF copied", df(DfPolicy::Copy), &v4_free, copied(INNER_CLASS, false, 0)),
        ("DF copied from IPv6", df(DfPolicy::Copy), &v6, copied(INNER_CLASS, true, 0xabcde)),
        ("DF cleared", df(DfPolicy::Clear), &v4_df, copied(INNER_CLASS, false, 0)),
        ("DF cleared", df(DfPolicy::Clear), &v6, copied(INNER_CLASS, false, 0xabcde)),
    ]);
}

#[test]
fn trap_25_dscp_and_ecn_outside_are_copied_unless_the_policy_says_otherwise() {
    let default = OuterPolicy::default();
    let v4 = v4(INNER_CLASS, true, 6, b"");
    let v6 = v6(INNER_CLASS, 0xabcde, 6, b"");
    hold_line_by_line(&[
        ("copied", default, &v4, copied(INNER_CLASS, true, 0)),
        ("copied", default, &v6, copied(INNER_CLASS, true, 0xabcde)),
        ("DSCP fixed", dscp(0b00_1010), &v4, copied(0x28 | 0b10, true, 0)),
        ("DSCP fixed", dscp(0), &v6, copied(0b10, true, 0xabcde)),
        ("ECN apart", ecn(), &v4, copied(0xb8, true, 0)),
        ("ECN apart", ecn(), &v6, copied(0xb8, true, 0xabcde)),
    ]);
}

#[test]
fn the_flow_label_is_copied_or_fixed() {
    let v4 = v4(INNER_CLASS, true, 6, b"");
    let v6 = v6(INNER_CLASS, 0xabcde, 6, b"");
    hold_line_by_line(&[
        ("copied", OuterPolicy::default(), &v6, copied(INNER_CLASS, true, 0xabcde)),
        ("fixed", label(0x12345), &v4, copied(INNER_CLASS, true, 0x12345)),
        ("cut", label(0xfff1_2345), &v6, copied(INNER_CLASS, true, 0x12345)),
    ]);
}

fn copied(traffic_class: u8, df: bool, flow_label: u32) -> Copied {
    Copied { traffic_class, df, flow_label, hop_limit: 64 }
}

fn df(df: DfPolicy) -> OuterPolicy {
    OuterPolicy { df, ..OuterPolicy::default() }
}

fn dscp(value: u8) -> OuterPolicy {
    OuterPolicy { dscp: DscpPolicy::Fixed(value), ..OuterPolicy::default() }
}

fn ecn() -> OuterPolicy {
    OuterPolicy { ecn: EcnPolicy::Compatibility, ..OuterPolicy::default() }
}

fn label(value: u32) -> OuterPolicy {
    OuterPolicy { flow_label: FlowLabelPolicy::Fixed(value), ..OuterPolicy::default() }
}

#[test]
fn trap_25_the_ttl_outside_is_the_tunnels_own() {
    let mut inner = v4(0, true, 6, b"");
    inner[8] = 1;
    let policy = OuterPolicy { hop_limit: 200, ..OuterPolicy::default() };
    assert_eq!(outer_fields(&policy, &inner).hop_limit, 200);
}

proptest! {
    #[test]
    fn every_traffic_class_and_label_is_copied(class: u8, label in 0u32..0x10_0000, flag: bool) {
        let policy = df(DfPolicy::Copy);
        prop_assert_eq!(outer_fields(&policy, &v4(class, flag, 6, b"")), copied(class, flag, 0));
        prop_assert_eq!(outer_fields(&policy, &v6(class, label, 6, b"")), copied(class, true, label));
    }

    #[test]
    fn garbage_gets_a_header_all_the_same(inner in prop::collection::vec(any::<u8>(), 0..30)) {
        let fields = outer_fields(&OuterPolicy::default(), &inner);
        prop_assert!(fields.df && fields.flow_label < 0x10_0000);
    }
}
