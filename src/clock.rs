//! The only source of time.
//!
//! [`Timestamp`] is a moment of the wall clock in nanoseconds since 1970, as a file system needs it; the drive keeps
//! milliseconds of it ([`Timestamp::millis`]). Durations and deadlines use [`Instant`].

pub use std::time::Instant;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment of the wall clock: nanoseconds since 1970-01-01 UTC, from the year 1677 to 2262.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(i64);

/// The moment now, by the wall clock.
pub fn now() -> Timestamp {
    SystemTime::now().into()
}

impl Timestamp {
    /// From nanoseconds since 1970.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since 1970; saturates at the ends of the range.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since 1970.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Milliseconds since 1970, rounded down: what the drive keeps.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The moment this much later; saturates at the end of the range.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// RFC 3339 in UTC with exactly three fractional digits, `2026-01-02T03:04:05.678Z`.
    pub fn to_rfc3339(self) -> String {
        let moment = jiff::Timestamp::from_millisecond(self.millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        format!("{moment:.3}")
    }

    /// Parses RFC 3339 with any offset and up to nine fractional digits. `None` if it is not one, or out of range.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let moment: jiff::Timestamp = text.parse().ok()?;
        i64::try_from(moment.as_nanosecond()).ok().map(Self)
    }

    /// Parses the date of an HTTP header (RFC 9110, section 5.6.7), `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn parse_http_date(text: &str) -> Option<Self> {
        let moment = jiff::fmt::rfc2822::parse(text).ok()?;
        Some(Self::from_millis(moment.timestamp().as_millisecond()))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let nanos = |d: Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(nanos(after)),
            Err(before) => Self(nanos(before.duration()).saturating_neg()),
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        let distance = Duration::from_nanos(time.0.unsigned_abs());
        if time.0 >= 0 { UNIX_EPOCH + distance } else { UNIX_EPOCH - distance }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_survive_text_and_system_time() {
        for (text, millis) in [
            ("2026-01-02T03:04:05.678Z", 1_767_323_045_678),
            ("1970-01-01T00:00:00.000Z", 0),
            ("1969-12-31T23:59:59.999Z", -1),
        ] {
            let time = Timestamp::parse_rfc3339(text).expect("parses");
            assert_eq!(time.millis(), millis);
            assert_eq!(time.to_rfc3339(), text);
            assert_eq!(Timestamp::from(SystemTime::from(time)), time);
        }
    }

    #[test]
    fn offsets_and_nanoseconds_are_read() {
        let time = Timestamp::parse_rfc3339("2026-01-02T05:04:05.123456789+02:00").expect("parses");
        assert_eq!(time.to_rfc3339(), "2026-01-02T03:04:05.123Z");
        assert_eq!(time.nanos() % 1_000_000_000, 123_456_789);
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), None);
        let time = Timestamp::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("parses");
        assert_eq!(time.to_rfc3339(), "1994-11-06T08:49:37.000Z");
    }
}
