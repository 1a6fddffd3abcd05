//! Numbers with units.

use std::time::Duration;

use super::error::Problem;
use super::file::Number;

/// Longer than anybody keeps an SA, and far from what a clock cannot count.
const LONGEST_DAYS: u64 = 3_650;

const BYTES: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];
const PACKETS: &[(&str, u64)] = &[("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];
const SECONDS: &[(&str, u64)] = &[("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];

pub(crate) fn bytes(written: &Number) -> Result<u64, Problem> {
    quantity(written, BYTES).ok_or_else(|| Problem::Bytes(written.to_string()))
}

pub(super) fn packets(written: &Number) -> Result<u64, Problem> {
    quantity(written, PACKETS).ok_or_else(|| Problem::Packets(written.to_string()))
}

pub(crate) fn time(written: &Number) -> Result<Duration, Problem> {
    quantity(written, SECONDS)
        .filter(|seconds| *seconds <= LONGEST_DAYS * 86_400)
        .map(Duration::from_secs)
        .ok_or_else(|| Problem::Time(written.to_string()))
}

/// More than 0; without a unit it is a plain number.
fn quantity(written: &Number, units: &[(&str, u64)]) -> Option<u64> {
    let quantity = match written {
        Number::Integer(number) => u64::try_from(*number).ok()?,
        Number::Text(text) => {
            let text = text.trim_ascii();
            let end =
                text.find(|letter: char| !letter.is_ascii_digit() && letter != '_').unwrap_or(text.len());
            let (digits, unit) = text.split_at_checked(end)?;
            let number: u64 = digits.replace('_', "").parse().ok()?;
            let unit = unit.trim_ascii();
            let (_, size) = units
                .iter()
                .find(|(name, _)| *name == unit)
                .or_else(|| unit.is_empty().then_some(&("", 1)))?;
            number.checked_mul(*size)?
        }
    };
    (quantity > 0).then_some(quantity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Number {
        Number::Text(text.to_owned())
    }

    #[test]
    fn amounts_have_units() {
        assert_eq!(bytes(&text("9 GiB")), Ok(9 << 30));
        assert_eq!(bytes(&text("1_000kB")), Ok(1_000_000));
        assert_eq!(bytes(&Number::Integer(42)), Ok(42));
        assert_eq!(packets(&text("3G")), Ok(3_000_000_000));
        assert_eq!(time(&text("55m")), Ok(Duration::from_mins(55)));
        assert_eq!(time(&text("90")), Ok(Duration::from_secs(90)));
    }

    #[test]
    fn amounts_of_nothing_or_of_too_much_are_refused() {
        for bad in ["", "0", "GiB", "-1", "1.5GiB", "1 gib", "18446744073709551615 KiB", "1é"] {
            assert!(bytes(&text(bad)).is_err(), "{bad}");
        }
        assert!(packets(&Number::Integer(-1)).is_err() && packets(&Number::Integer(0)).is_err());
        assert!(time(&text("3651d")).is_err() && time(&text("1 week")).is_err());
    }
}
