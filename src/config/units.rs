//! Sizes and times, as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A number of bytes, written as `10G`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bytes(pub u64);

const UNITS: [(char, u32); 5] = [('K', 10), ('M', 20), ('G', 30), ('T', 40), ('P', 50)];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || "not a size; write it as 500M or 10G".to_owned();
        let trimmed = text.trim().trim_end_matches(['b', 'B']).trim_end_matches(['i', 'I']);
        let unit = trimmed.chars().next_back().map(|c| c.to_ascii_uppercase());
        let shift = UNITS.iter().find(|(letter, _)| Some(*letter) == unit).map(|&(_, shift)| shift);
        let digits = if shift.is_some() { &trimmed[..trimmed.len() - 1] } else { trimmed };
        let number: u64 = digits.trim().parse().map_err(|_| bad())?;
        let bytes = number.checked_mul(1 << shift.unwrap_or(0)).filter(|bytes| i64::try_from(*bytes).is_ok());
        bytes.map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Bytes {
    /// With the unit that leaves one to three digits before the point: `1.5 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((letter, shift)) = UNITS.iter().rev().find(|(_, shift)| self.0 >> shift > 0) else {
            return write!(f, "{} B", self.0);
        };
        let (whole, tenths) = (self.0 >> shift, ((self.0 & ((1 << shift) - 1)) * 10) >> shift);
        if tenths == 0 || whole >= 100 {
            write!(f, "{whole} {letter}iB")
        } else {
            write!(f, "{whole}.{tenths} {letter}iB")
        }
    }
}

/// Parses a time, written as `5s`, `200ms`, `10m` or `1h`; a number alone is seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || "not a time; write it as 200ms, 5s or 10m".to_owned();
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..split].parse().map_err(|_| bad())?;
    let millis = match text[split..].trim() {
        "ms" => 1,
        "" | "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(bad()),
    };
    let millis = number.checked_mul(millis).filter(|&millis| millis > 0 && millis <= 30 * 24 * 3_600_000);
    millis.map(Duration::from_millis).ok_or_else(bad)
}

/// Parses how long ago something was, written as a time or as `30d`.
pub fn parse_age(text: &str) -> Result<Duration, String> {
    let days = text.trim().strip_suffix('d').and_then(|days| days.trim().parse::<u64>().ok());
    match days {
        Some(days) if days <= 36_500 => Ok(Duration::from_hours(24 * days)),
        Some(_) => Err("too long ago".to_owned()),
        None => parse_duration(text).map_err(|_| "not a time; write it as 30m, 12h or 30d".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes, shown) in [
            ("0", 0, "0 B"),
            ("1023", 1023, "1023 B"),
            ("64k", 64 << 10, "64 KiB"),
            ("10G", 10 << 30, "10 GiB"),
            ("1536 MiB", 1536 << 20, "1.5 GiB"),
            ("2TB", 2 << 40, "2 TiB"),
        ] {
            let size: Bytes = text.parse().expect("parses");
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown));
        }
        for text in ["", "G", "-1", "1.5G", "ten", "99999999999P"] {
            assert!(text.parse::<Bytes>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_are_read() {
        for (text, millis) in [("5", 5000), ("5s", 5000), ("200ms", 200), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
        }
        for text in ["", "s", "-5s", "0", "5 years", "999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn ages_may_be_days() {
        for (text, hours) in [("0d", 0), ("30d", 720), ("12h", 12), ("90m", 1)] {
            assert_eq!(parse_age(text).expect("parses").as_secs() / 3600, hours, "{text}");
        }
        for text in ["", "d", "-1d", "99999d", "1 week"] {
            assert!(parse_age(text).is_err(), "{text:?}");
        }
    }
}
