//! Moments and spans of time as a checkout pool keeps them: one number each, where an `Instant` and a `Duration` are two
//! and their sums carry.

use std::{
    num::NonZeroU64,
    ops::{Add, AddAssign},
    time::Duration,
};

/// Nanoseconds since some moment before the process began, the same for all pools.
///
/// On Linux they are those of the system's monotonic clock, so that its cheap tick needs no conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(NonZeroU64);

/// Nanoseconds that passed, or a limit of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(u64);

impl Span {
    pub(crate) const ZERO: Self = Self(0);
    /// A limit that no time reaches.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// A limit; `None`, and more than five centuries, is never.
    pub(crate) fn limit(time: Option<Duration>) -> Self {
        time.map_or(Self::NEVER, Self::from)
    }

    pub(crate) fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

impl From<Duration> for Span {
    fn from(time: Duration) -> Self {
        Self(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        Self::from_nanos(span.0)
    }
}

/// At most [`NEVER`](Span::NEVER).
impl AddAssign for Span {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
    }
}

impl Moment {
    /// The first moment for 0.
    #[inline]
    pub(crate) fn from_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos.saturating_sub(1)))
    }

    /// The time since `earlier`; zero if that is later.
    #[inline]
    pub(crate) fn passed_since(self, earlier: Self) -> Span {
        Span(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// As [`passed_since`](Self::passed_since), for those who tell it.
    #[inline]
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.passed_since(earlier).into()
    }

    /// `None` in more than five centuries, which is never.
    #[inline]
    pub(crate) fn checked_add(self, time: Duration) -> Option<Self> {
        let time = u64::try_from(time.as_nanos()).ok()?;
        self.0.checked_add(time).map(Self)
    }

    /// The moment that was so long before.
    pub(crate) fn before(self, time: Duration) -> Self {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self::from_nanos(self.0.get().saturating_sub(time))
    }
}

/// As the sum with a `Duration`.
impl Add<Span> for Moment {
    type Output = Self;

    #[inline]
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

/// The last moment there is, where the sum is beyond it.
impl Add<Duration> for Moment {
    type Output = Self;

    #[inline]
    fn add(self, time: Duration) -> Self {
        self.checked_add(time).unwrap_or(Self(NonZeroU64::MAX))
    }
}

#[cfg(all(test, not(trunkline_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_and_differences_agree(start in 1u64..1 << 60, time in 0u64..1 << 60) {
            let (start, time) = (Moment::from_nanos(start), Duration::from_nanos(time));
            let end = start + time;
            prop_assert_eq!(end.since(start), time);
            prop_assert_eq!(start.since(end), Duration::ZERO);
            prop_assert_eq!(start + end.passed_since(start), end);
            prop_assert_eq!(end.before(time), start);
        }
    }

    #[test]
    fn what_lies_beyond_the_last_moment_is_never() {
        let late = Moment::from_nanos(u64::MAX);
        assert_eq!(late.checked_add(Duration::from_nanos(1)), None);
        assert_eq!(late + Duration::MAX, late);
        let (passed, never) = (late.passed_since(Moment::from_nanos(1)), Span::limit(None));
        assert!(passed < never && never == Span::limit(Some(Duration::MAX)));
        assert_eq!(late + never, late);
        assert_eq!(size_of::<Option<Moment>>(), 8);
    }
}
