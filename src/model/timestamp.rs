//! Points in time as the store keeps them and the APIs print them.
//!
//! Source: RFC 3339. Unit: milliseconds since 1970-01-01T00:00:00Z.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A point in time, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The system's clock, read now.
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_millisecond())
    }

    /// From whole seconds since the epoch.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// From milliseconds since the epoch.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This much later; negative is earlier.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with whole seconds: `2024-01-15T10:30:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds().clamp(
            jiff::Timestamp::MIN.as_second(),
            jiff::Timestamp::MAX.as_second(),
        );
        let at = jiff::Timestamp::from_second(seconds).map_err(|_| fmt::Error)?;
        write!(f, "{at}")
    }
}

/// The text is no RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("time {0:?} is not as RFC 3339 writes it")]
pub struct UnknownTime(pub String);

impl FromStr for Timestamp {
    type Err = UnknownTime;

    fn from_str(text: &str) -> Result<Self, UnknownTime> {
        let at: jiff::Timestamp = text.parse().map_err(|_| UnknownTime(text.to_owned()))?;
        Ok(Self(at.as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_as_rfc_3339_in_utc_with_whole_seconds() {
        assert_eq!(
            Timestamp::from_seconds(1_705_314_600).to_string(),
            "2024-01-15T10:30:00Z"
        );
        assert_eq!(
            Timestamp::from_millis(1_705_314_600_999).to_string(),
            "2024-01-15T10:30:00Z"
        );
        assert_eq!(
            Timestamp::from_millis(-1).to_string(),
            "1969-12-31T23:59:59Z"
        );
        assert_eq!(
            Timestamp::from_seconds(i64::MAX).to_string(),
            "9999-12-30T22:00:00Z"
        );
    }

    #[test]
    fn what_is_printed_can_be_read_and_an_offset_counts() {
        let parse = |text: &str| text.parse::<Timestamp>().map(Timestamp::seconds);
        assert_eq!(parse("2024-01-15T10:30:00Z"), Ok(1_705_314_600));
        assert_eq!(parse("2024-01-15T12:30:00+02:00"), Ok(1_705_314_600));
        for text in ["", "2024-01-15", "2024-01-15T10:30:00", "soon"] {
            assert_eq!(parse(text), Err(UnknownTime(text.to_owned())), "{text}");
        }
    }
}
