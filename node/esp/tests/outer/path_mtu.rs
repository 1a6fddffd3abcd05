use std::time::{Duration, Instant};

use proptest::prelude::*;
use twinmesh_esp::{Fit, PathMtu, fit};

use crate::packets::{V4, V6, address, v4, v6};

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn trap_11_a_report_lowers_the_estimate_and_ten_minutes_raise_it_again() {
    let start = Instant::now();
    let mut mtu = PathMtu::new(1500, address(V4[1]));
    assert_eq!((mtu.current(start), mtu.raised_at()), (1500, None));
    assert!(mtu.too_big(1400, start));
    assert_eq!(mtu.inner_mtu(73, start), 1327);
    assert_eq!(mtu.current(start + Duration::from_nanos(599_999_999_999)), 1400);
    assert_eq!(mtu.raised_at(), Some(start + 10 * MINUTE));
    assert_eq!(mtu.current(start + 10 * MINUTE), 1500);
}

#[test]
fn the_age_counts_from_the_last_decrease() {
    let start = Instant::now();
    let mut mtu = PathMtu::new(1500, address(V4[1]));
    mtu.too_big(1400, start);
    assert!(!mtu.too_big(1400, start + 5 * MINUTE));
    assert_eq!(mtu.current(start + 10 * MINUTE), 1500);
    mtu.too_big(1400, start + 10 * MINUTE);
    assert!(mtu.too_big(1300, start + 15 * MINUTE));
    assert_eq!(mtu.current(start + 20 * MINUTE), 1300);
    assert_eq!(mtu.current(start + 25 * MINUTE), 1500);
}

#[test]
fn a_report_never_raises_the_estimate() {
    let start = Instant::now();
    for peer in [V4, V6] {
        let mut mtu = PathMtu::new(1500, address(peer[1]));
        assert!(!mtu.too_big(9000, start));
        assert!(mtu.too_big(1300, start));
        assert!(!mtu.too_big(1400, start));
        assert_eq!(mtu.current(start), 1300);
    }
}

#[test]
fn trap_11_a_forged_report_cannot_choke_the_path() {
    let start = Instant::now();
    let mut mtu = PathMtu::new(1500, address(V6[1]));
    for reported in [0, 68, 1279] {
        assert!(!mtu.too_big(reported, start), "RFC 8201 §4: discarded");
        assert_eq!(mtu.current(start), 1500);
    }
    let mut mtu = PathMtu::new(1500, address(V4[1]));
    assert!(!mtu.may_fragment(start));
    assert!(mtu.too_big(68, start));
    assert_eq!(mtu.current(start), 576);
    assert!(mtu.may_fragment(start), "a link that narrow exists, so DF is left off");
    assert!(!mtu.may_fragment(start + 10 * MINUTE));
}

#[test]
fn a_router_that_reports_no_mtu_leads_to_the_next_plateau() {
    let start = Instant::now();
    let mut mtu = PathMtu::new(9000, address(V4[1]));
    let mut seen = Vec::new();
    while mtu.too_big(0, start) {
        seen.push(mtu.current(start));
    }
    assert_eq!(seen, [8166, 4352, 2002, 1492, 1006, 576]);
    assert!(!mtu.may_fragment(start));
}

#[test]
fn only_ipv6_that_the_underlay_cannot_carry_is_sent_in_outer_fragments() {
    let narrow = 1207;
    let sized = |len: usize| (v4(0, false, 17, &vec![0; len - 20]), v6(0, 0, 17, &vec![0; len - 40]));
    for (len, of_v4, of_v6) in [
        (1207, Fit::Fits, Fit::Fits),
        (1208, Fit::TooBig { mtu: 1207 }, Fit::FragmentOuter),
        (1280, Fit::TooBig { mtu: 1207 }, Fit::FragmentOuter),
        (1281, Fit::TooBig { mtu: 1207 }, Fit::TooBig { mtu: 1280 }),
    ] {
        let (v4, v6) = sized(len);
        assert_eq!((fit(&v4, narrow), fit(&v6, narrow)), (of_v4, of_v6), "{len} bytes");
    }
    let (v4, v6) = sized(1428);
    assert_eq!((fit(&v4, 1427), fit(&v6, 1427)), (Fit::TooBig { mtu: 1427 }, Fit::TooBig { mtu: 1427 }));
}

proptest! {
    #[test]
    fn the_estimate_stays_between_the_least_and_the_links_mtu(
        v6: bool, reports in prop::collection::vec((any::<u16>(), 0u64..1200), 0..40),
    ) {
        let (peer, least) = if v6 { (V6, 1280) } else { (V4, 576) };
        let mut mtu = PathMtu::new(1500, address(peer[1]));
        let mut now = Instant::now();
        for (reported, later) in reports {
            now += Duration::from_secs(later);
            let before = mtu.current(now);
            let fell = mtu.too_big(reported, now);
            prop_assert_eq!(fell, mtu.current(now) < before);
            prop_assert!((least..=1500).contains(&mtu.current(now)) && mtu.current(now) <= before);
            prop_assert_eq!(mtu.current(now + 10 * MINUTE), 1500);
        }
    }
}
