//! Decides how many of those that stand a drain closes, so that they end evenly until its deadline.

use std::time::{Duration, Instant};

/// How often what is due is looked at, at most.
const TICK: Duration = Duration::from_millis(10);

/// ```text
///   drain       from      done            until
///     │ may finish │ closed │ is to come    │ none is left
///                  └─ one each (until - done) / standing ─┘
/// ```
///
/// Those that finish by themselves leave more time to the others.
#[derive(Debug)]
pub(super) struct Spread {
    /// Up to here what was due has been closed.
    done: Instant,
    until: Instant,
}

impl Spread {
    /// Spreads over the last `length` before `until`, or over what `now` is left until then.
    pub(super) fn new(now: Instant, until: Instant, length: Duration) -> Self {
        let from = until.checked_sub(length).map_or(now, |from| from.max(now));
        Self { done: from.min(until), until }
    }

    /// How many of those that are `standing` are to be closed at `now`.
    pub(super) fn due(&mut self, standing: usize, now: Instant) -> usize {
        let left = self.until.saturating_duration_since(self.done).as_nanos();
        let passed = now.saturating_duration_since(self.done).as_nanos();
        if passed >= left {
            self.done = self.until;
            return if now >= self.until { standing } else { 0 };
        }
        let due = standing as u128 * passed / left;
        if due > 0 {
            // They take their own part of the time: what is left of `passed` counts for the next one.
            let taken = left * due / standing as u128;
            self.done += Duration::from_nanos(u64::try_from(taken).unwrap_or(u64::MAX));
        }
        due as usize
    }

    /// When to ask again, with so many `standing`.
    pub(super) fn next(&self, standing: usize, now: Instant) -> Instant {
        let left = self.until.saturating_duration_since(self.done).as_nanos();
        let share = left.div_ceil(standing.max(1) as u128);
        let at = self.done + Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX));
        at.max(now + TICK).min(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    /// When each of `standing` is closed, counted from the start.
    fn closes(mut spread: Spread, start: Instant, mut standing: usize) -> Vec<Duration> {
        let (mut now, mut at) = (start, Vec::new());
        while standing > 0 {
            let due = spread.due(standing, now);
            at.extend(std::iter::repeat_n(now - start, due));
            standing -= due;
            now = spread.next(standing, now);
        }
        at
    }

    #[test]
    fn each_has_the_same_part_of_the_time_and_the_last_ends_with_it() {
        let now = start();
        let spread = Spread::new(now, now + 30 * SECOND, 10 * SECOND);
        assert_eq!(
            closes(spread, now, 4),
            [22_500, 25_000, 27_500, 30_000].map(Duration::from_millis)
        );
    }

    #[test]
    fn a_spread_longer_than_the_drain_is_all_of_it_and_none_is_the_deadline() {
        let now = start();
        let long = Spread::new(now, now + 2 * SECOND, 60 * SECOND);
        assert_eq!(closes(long, now, 2), [SECOND, 2 * SECOND]);
        let none = Spread::new(now, now + 2 * SECOND, Duration::ZERO);
        assert_eq!(closes(none, now, 2), [2 * SECOND, 2 * SECOND]);
    }

    #[test]
    fn those_that_finish_by_themselves_leave_their_time_to_the_others() {
        let now = start();
        let mut spread = Spread::new(now, now + 10 * SECOND, 10 * SECOND);
        assert_eq!(spread.due(10, now + SECOND), 1);
        assert_eq!(spread.due(3, now + 2 * SECOND), 0);
        assert_eq!(spread.next(3, now + 2 * SECOND), now + 4 * SECOND);
    }

    proptest! {
        #[test]
        fn however_many_and_however_late_it_is_asked_they_end_evenly_and_in_time(
            standing in 0usize..100_000, time in 0u64..100_000, length in 0u64..200_000,
            delays in prop::collection::vec(0u64..500, 0..50),
        ) {
            let origin = start();
            let until = origin + Duration::from_millis(time);
            let mut spread = Spread::new(origin, until, Duration::from_millis(length));
            let from = spread.done;
            let (mut now, mut left) = (origin, standing);
            let mut delays = delays.into_iter();
            while now < until {
                left -= spread.due(left, now);
                let share = now.saturating_duration_since(from).as_secs_f64()
                    / (until - from).as_secs_f64().max(1e-9);
                let closed = (standing - left) as f64;
                if now < until {
                    prop_assert!(closed <= share * standing as f64 + 1.0, "{} of {} at {}", closed, standing, share);
                    prop_assert!(closed + 2.0 >= share.min(1.0) * standing as f64, "{} of {} at {}", closed, standing, share);
                }
                now = spread.next(left, now) + Duration::from_millis(delays.next().unwrap_or(0));
            }
            prop_assert_eq!(left - spread.due(left, now), 0);
        }
    }
}
