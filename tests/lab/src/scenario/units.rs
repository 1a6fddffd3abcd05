//! Quantities as a scenario writes them: `"20ms"`, `"10mbit"`, `"5%"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A text that is no quantity of the kind wanted there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {wanted}")]
pub struct UnitError {
    text: String,
    wanted: &'static str,
}

/// A span of time: a number and one of `us`, `ms`, `s`, `m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub Duration);

/// Bits a second: a number and one of `bit`, `kbit`, `mbit`, `gbit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);

/// A share of the frames, 0 to 100: a number, with or without `%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Percent(pub f64);

/// The longest span that makes sense on a link or as a deadline.
const LONGEST: f64 = 86_400.0;

/// Splits `12.5ms` into the number and its unit.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    number.is_finite().then_some((number, unit.trim()))
}

impl FromStr for Span {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError {
            text: text.to_owned(),
            wanted: "span of time: write a number and `us`, `ms`, `s` or `m`, such as \"20ms\"",
        };
        let (number, unit) = number_and_unit(text).ok_or_else(error)?;
        let seconds = match unit {
            "us" => number / 1e6,
            "ms" => number / 1e3,
            "s" => number,
            "m" => number * 60.0,
            _ => return Err(error()),
        };
        if seconds > LONGEST {
            return Err(error());
        }
        Ok(Self(Duration::from_secs_f64(seconds)))
    }
}

impl FromStr for Rate {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError {
            text: text.to_owned(),
            wanted: "rate: write a number and `kbit`, `mbit` or `gbit`, such as \"10mbit\" (at least 8kbit)",
        };
        let (number, unit) = number_and_unit(text).ok_or_else(error)?;
        let bits = match unit {
            "bit" => number,
            "kbit" => number * 1e3,
            "mbit" => number * 1e6,
            "gbit" => number * 1e9,
            _ => return Err(error()),
        };
        if !(8e3..=1e12).contains(&bits) {
            return Err(error());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was checked one line above"
        )]
        Ok(Self(bits as u64))
    }
}

impl Percent {
    fn checked(value: f64, text: &str) -> Result<Self, UnitError> {
        if (0.0..=100.0).contains(&value) {
            return Ok(Self(value));
        }
        Err(UnitError { text: text.to_owned(), wanted: "share: write 0% to 100%, such as \"5%\"" })
    }

    /// 0.0 to 1.0.
    pub fn probability(self) -> f64 {
        self.0 / 100.0
    }
}

impl FromStr for Percent {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let number = text.trim().trim_end_matches('%').trim_end();
        Self::checked(number.parse().unwrap_or(f64::NAN), text)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        match micros {
            0 => f.write_str("0ms"),
            _ if micros.is_multiple_of(1_000_000) => write!(f, "{}s", micros / 1_000_000),
            _ if micros.is_multiple_of(1_000) => write!(f, "{}ms", micros / 1_000),
            _ => write!(f, "{micros}us"),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bits if bits.is_multiple_of(1_000_000_000) => write!(f, "{}gbit", bits / 1_000_000_000),
            bits if bits.is_multiple_of(1_000_000) => write!(f, "{}mbit", bits / 1_000_000),
            bits if bits.is_multiple_of(1_000) => write!(f, "{}kbit", bits / 1_000),
            bits => write!(f, "{bits}bit"),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// Reads a quantity from a TOML or JSON string; `Percent` from a number as well.
struct FromText<T>(std::marker::PhantomData<T>);

impl<T> Visitor<'_> for FromText<T>
where
    T: FromStr<Err = UnitError>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quantity in quotes, such as \"20ms\", \"10mbit\" or \"5%\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    // A bare number parses for `Percent` only; the others miss their unit and say so.
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

macro_rules! serde_as_text {
    ($($unit:ty),+) => {$(
        impl<'de> Deserialize<'de> for $unit {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(FromText(std::marker::PhantomData))
            }
        }
        impl Serialize for $unit {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+};
}
serde_as_text!(Span, Rate, Percent);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_with_their_units() {
        assert_eq!("20ms".parse(), Ok(Span(Duration::from_millis(20))));
        assert_eq!("1.5 s".parse(), Ok(Span(Duration::from_millis(1500))));
        assert_eq!("10mbit".parse(), Ok(Rate(10_000_000)));
        assert_eq!("2.5%".parse(), Ok(Percent(2.5)));
    }

    #[test]
    fn quantities_without_unit_or_out_of_range_are_refused() {
        for text in ["20", "ms", "-1ms", "1h", "", "1e400s", "999999m"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        for text in ["10", "1bit", "10mbps", "9999gbit"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for text in ["101%", "-1", "five", "NaN"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (span, rate, percent) = (Span(Duration::from_micros(1234)), Rate(8_001), Percent(0.25));
        assert_eq!(span.to_string().parse(), Ok(span));
        assert_eq!(rate.to_string().parse(), Ok(rate));
        assert_eq!(percent.to_string().parse(), Ok(percent));
    }
}
