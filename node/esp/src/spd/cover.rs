//! A range as prefixes that hold it.

/// A prefix of a number that is `width` bits wide: its first `len` bits are `value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix {
    pub(super) len: u8,
    pub(super) value: u128,
}

impl Prefix {
    pub(super) const ALL: Self = Self { len: 0, value: 0 };

    /// The first `len` bits of a number.
    pub(super) fn of(number: u128, width: u8, len: u8) -> Self {
        Self { len, value: number.checked_shr(u32::from(width - len)).unwrap_or(0) }
    }

    /// The longest one that holds both numbers.
    fn joining(first: u128, last: u128, width: u8) -> Self {
        let differing = 128 - (first ^ last).leading_zeros();
        let differing = u8::try_from(differing).expect("128 bits at most");
        Self::of(first, width, width - differing)
    }
}

/// One or two prefixes that together hold the range and each less than twice the part of it that lies in them.
/// Every range is two parts that meet where its ends first differ: a part that begins or ends at such a border
/// takes up more than half of the prefix around it. So a range never costs more than two entries, and an entry
/// is seldom reached in vain.
pub(super) fn cover(first: u128, last: u128, width: u8) -> impl Iterator<Item = Prefix> {
    let whole = Prefix::joining(first, last, width);
    let free = u32::from(width - whole.len);
    let fills_whole = first.trailing_zeros() >= free && last.trailing_ones() >= free;
    let (one, other) = if fills_whole {
        (whole, None)
    } else {
        // At least one bit is free, or first and last were one number, which fills its prefix.
        let border = (last >> (free - 1)) << (free - 1);
        (Prefix::joining(first, border - 1, width), Some(Prefix::joining(border, last, width)))
    };
    std::iter::once(one).chain(other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(prefix: Prefix, number: u128, width: u8) -> bool {
        Prefix::of(number, width, prefix.len) == prefix
    }

    #[test]
    fn a_prefix_is_covered_by_itself() {
        assert_eq!(cover(0, u128::MAX, 128).collect::<Vec<_>>(), [Prefix::ALL]);
        assert_eq!(
            cover(0xc000_0200, 0xc000_02ff, 32).collect::<Vec<_>>(),
            [Prefix { len: 24, value: 0xc0_0002 }]
        );
        assert_eq!(cover(443, 443, 17).collect::<Vec<_>>(), [Prefix { len: 17, value: 443 }]);
    }

    #[test]
    fn a_range_across_the_middle_is_two_short_ones() {
        let covers: Vec<_> = cover(0x7fff_ffff, 0x8000_0000, 32).collect();
        assert_eq!(covers, [Prefix { len: 32, value: 0x7fff_ffff }, Prefix { len: 32, value: 0x8000_0000 }]);
    }

    proptest! {
        #[test]
        fn every_number_of_the_range_is_held_and_few_others(a in 0u8.., b in 0u8..) {
            let (first, last) = (u128::from(a.min(b)), u128::from(a.max(b)));
            let covers: Vec<_> = cover(first, last, 8).collect();
            for number in first..=last {
                prop_assert_eq!(covers.iter().filter(|cover| holds(**cover, number, 8)).count(), 1);
            }
            let held = (0..=255).filter(|number| covers.iter().any(|cover| holds(*cover, *number, 8))).count();
            prop_assert!(u128::try_from(held).unwrap() < 2 * (last - first + 1));
        }
    }
}
