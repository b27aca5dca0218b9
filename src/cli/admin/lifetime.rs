//! How long a token lives, as people write it.
//!
//! Bounds: [`MAX_SECONDS`].

use std::str::FromStr;

use crate::model::Timestamp;

/// A hundred years; who wants more wants no end.
const MAX_SECONDS: i64 = 100 * 366 * 86_400;

/// A number of hours, days or weeks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime {
    seconds: i64,
}

/// Not such a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a number of hours, days or weeks such as 12h, 90d or 4w")]
pub(super) struct LifetimeError(String);

impl Lifetime {
    /// When something ends that begins then.
    pub(super) fn after(self, start: Timestamp) -> Timestamp {
        start.plus_seconds(self.seconds)
    }
}

impl FromStr for Lifetime {
    type Err = LifetimeError;

    fn from_str(text: &str) -> Result<Self, LifetimeError> {
        let seconds = seconds(text).filter(|seconds| (1..=MAX_SECONDS).contains(seconds));
        match seconds {
            Some(seconds) => Ok(Self { seconds }),
            None => Err(LifetimeError(text.to_owned())),
        }
    }
}

fn seconds(text: &str) -> Option<i64> {
    let unit = match text.as_bytes().last()? {
        b'h' => 3_600,
        b'd' => 86_400,
        b'w' => 7 * 86_400,
        _ => return None,
    };
    let (number, _) = text.split_at_checked(text.len() - 1)?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<i64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_hours_days_and_weeks() {
        let start = Timestamp::from_seconds(0);
        let seconds = |text: &str| -> Result<i64, LifetimeError> {
            Ok(text.parse::<Lifetime>()?.after(start).seconds())
        };
        assert_eq!(seconds("1h"), Ok(3_600));
        assert_eq!(seconds("90d"), Ok(7_776_000));
        assert_eq!(seconds("2w"), Ok(1_209_600));
        assert_eq!(seconds("36600d"), Ok(MAX_SECONDS));
        for text in [
            "",
            "d",
            "0d",
            "-1d",
            "+1d",
            "1",
            "1y",
            "1.5d",
            "36601d",
            "9999999999999999w",
            "1ä",
        ] {
            assert_eq!(seconds(text), Err(LifetimeError(text.to_owned())), "{text}");
        }
    }
}
