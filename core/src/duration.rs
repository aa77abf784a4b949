//! How long something may take: one text form, and a limit of time that may be absent.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

/// A limit of time that may be absent.
///
/// `After(Duration::ZERO)` and `Never` are two values, and neither means "not set": a field that is
/// not set holds its documented default. In text and in JSON a limit is a duration such as `"1s"`,
/// `"500ms"`, `"30m"`, or `"never"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeLimit {
    /// The limit is reached when this much time has passed.
    After(Duration),
    /// The limit is never reached.
    Never,
}

impl TimeLimit {
    /// A limit of so many seconds.
    pub const fn secs(seconds: u64) -> Self {
        Self::After(Duration::from_secs(seconds))
    }

    /// The time until the limit is reached, if it ever is.
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::After(duration) => Some(duration),
            Self::Never => None,
        }
    }

    /// When a limit that starts to count at `start` is reached: `None` for never, which includes
    /// times that the clock cannot express.
    pub fn from(self, start: Instant) -> Option<Instant> {
        self.duration().and_then(|duration| start.checked_add(duration))
    }
}

impl From<Duration> for TimeLimit {
    fn from(duration: Duration) -> Self {
        Self::After(duration)
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(duration) => Text(*duration).fmt(f),
            Self::Never => f.write_str("never"),
        }
    }
}

impl FromStr for TimeLimit {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        match text {
            "never" => Ok(Self::Never),
            _ => parse(text).map(Self::After),
        }
    }
}

impl Serialize for TimeLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a duration such as \"1s\", \"500ms\", \"30m\", or \"never\"";
        deserializer.deserialize_str(FromText { expected, parse: str::parse })
    }
}

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no duration: {reason}")]
pub struct DurationError {
    text: Box<str>,
    reason: Box<str>,
}

/// Reads a duration such as `1s`, `500ms`, `1m30s` or `0.5s`; the units are `ns`, `us`, `ms`, `s`,
/// `m`, `h`, `d` and their long names.
///
/// # Errors
///
/// [`DurationError`] for anything else, a number without a unit included.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let error = |reason: &str| DurationError { text: text.into(), reason: reason.into() };
    if text.contains('M') {
        return Err(error("M would be months; minutes are written m"));
    }
    match text.trim() {
        "0" => Err(error("the unit is missing, as in 0s")),
        trimmed => humantime::parse_duration(trimmed).map_err(|cause| error(&cause.to_string())),
    }
}

/// A duration printed as one number with the largest unit that divides it: `90s`, `1500ms`, `2h`.
///
/// [`parse`] and every binding's own parser read it back to the same duration.
#[derive(Clone, Copy, Debug)]
pub struct Text(pub Duration);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u128, &str); 6] = [
            (3_600_000_000_000, "h"),
            (60_000_000_000, "m"),
            (1_000_000_000, "s"),
            (1_000_000, "ms"),
            (1_000, "us"),
            (1, "ns"),
        ];
        let nanos = self.0.as_nanos();
        let whole = |(unit, _): &&(u128, &str)| nanos >= *unit && nanos.is_multiple_of(*unit);
        match UNITS.iter().find(whole) {
            Some((unit, name)) => write!(f, "{}{name}", nanos / unit),
            None => f.write_str("0s"),
        }
    }
}

/// For `#[serde(with = "crate::duration::text")]` on a [`Duration`].
pub(crate) mod text {
    use super::{Deserializer, Duration, FromText, Serializer, Text, parse};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&Text(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let expected = "a duration such as \"1s\", \"500ms\" or \"30m\"";
        from.deserialize_str(FromText { expected, parse })
    }
}

/// As [`text`], for a duration that may be unset.
pub(crate) mod text_or_unset {
    use super::{Deserialize, Deserializer, Duration, Serializer, Text, text};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(duration) => to.collect_str(&Text(*duration)),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        #[derive(Deserialize)]
        struct Set(#[serde(with = "text")] Duration);

        Ok(Option::<Set>::deserialize(from)?.map(|Set(duration)| duration))
    }
}

struct FromText<T> {
    expected: &'static str,
    parse: fn(&str) -> Result<T, DurationError>,
}

impl<T> de::Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text)
            .map_err(|error| E::custom(format_args!("{error}; expected {}", self.expected)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("1s", 1000),
            ("0.5s", 500),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "0", "5", "-1s", "1 parsec", "never", "5M", "1e3s", "99999999999999999999s"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn zero_and_never_are_two_values() {
        assert_eq!("0s".parse(), Ok(TimeLimit::After(Duration::ZERO)));
        assert_eq!("never".parse(), Ok(TimeLimit::Never));
    }

    #[test]
    fn a_limit_past_the_end_of_the_clock_is_never_reached() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        assert_eq!(TimeLimit::After(Duration::MAX).from(now), None);
        assert_eq!(TimeLimit::Never.from(now), None);
        assert_eq!(TimeLimit::secs(1).from(now), Some(now + Duration::from_secs(1)));
    }

    proptest! {
        #[test]
        fn printing_and_reading_gives_the_same_duration(
            secs in 0u64..1 << 33, nanos in prop_oneof![Just(0u32), 0u32..1_000_000_000],
        ) {
            let limit = TimeLimit::After(Duration::new(secs, nanos));
            prop_assert_eq!(limit.to_string().parse(), Ok(limit));
        }

        #[test]
        fn reading_never_panics(text in ".{0,60}") {
            let _ = text.parse::<TimeLimit>();
        }
    }
}
