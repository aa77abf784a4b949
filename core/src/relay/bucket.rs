//! Decides how much of a direction may pass now: so many bytes per second, with so many at once.

use crate::volume::ByteLimit;
use std::time::{Duration, Instant};

/// How many bytes per second a direction carries, and how many at once after a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bytes per second; zero counts as 1.
    pub per_second: ByteLimit,
    /// Bytes at once. Zero counts as 1.
    pub burst: u64,
}

/// A token bucket, kept as the time at which it is full: what is taken moves that time on.
#[derive(Debug)]
pub(super) struct Bucket {
    /// `None` without a limit.
    flow: Option<Flow>,
    full_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    per_second: u64,
    burst: u64,
    /// Below so many it is not worth a system call: a hundredth of a second's worth.
    quantum: u64,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        let flow = rate.per_second.bytes().map(|per_second| {
            let (per_second, burst) = (per_second.max(1), rate.burst.max(1));
            Flow { per_second, burst, quantum: (per_second / 100).clamp(1, burst) }
        });
        Self { flow, full_at: now }
    }

    /// Bytes that may pass now; 0 until [`next`](Self::next).
    pub(super) fn allowance(&self, now: Instant) -> usize {
        let Some(flow) = self.flow else { return usize::MAX };
        let missing = flow.bytes_in(self.full_at.saturating_duration_since(now));
        match flow.burst.saturating_sub(missing) {
            few if few < flow.quantum => 0,
            enough => usize::try_from(enough).unwrap_or(usize::MAX),
        }
    }

    /// When something may pass, if nothing may now.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let flow = self.flow?;
        if self.allowance(now) > 0 {
            return None;
        }
        // Rounded down, so that then it really may.
        let nanos = u128::from(flow.burst - flow.quantum) * NANOS / u128::from(flow.per_second);
        let early = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Some(self.full_at.checked_sub(early).map_or(now, |at| at.max(now)))
    }

    /// Bytes passed; more than were allowed are owed.
    pub(super) fn on_passed(&mut self, bytes: usize, now: Instant) {
        let Some(flow) = self.flow else { return };
        let from = self.full_at.max(now);
        self.full_at = from.checked_add(flow.time_of(bytes as u64)).unwrap_or(from);
    }
}

impl Flow {
    /// Rounded up, so that never more passes than the rate says.
    fn bytes_in(self, time: Duration) -> u64 {
        let bytes = (time.as_nanos() * u128::from(self.per_second)).div_ceil(NANOS);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    fn time_of(self, bytes: u64) -> Duration {
        let nanos = (u128::from(bytes) * NANOS).div_ceil(u128::from(self.per_second));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn bucket(per_second: impl Into<ByteLimit>, burst: u64) -> (Bucket, Instant) {
        let now = Instant::now();
        (Bucket::new(Rate { per_second: per_second.into(), burst }, now), now)
    }

    #[test]
    fn a_burst_passes_at_once_and_then_as_much_as_the_rate_says() {
        let (mut bucket, start) = bucket(1000, 300);
        assert_eq!((bucket.allowance(start), bucket.next(start)), (300, None));
        bucket.on_passed(300, start);
        assert_eq!(bucket.allowance(start), 0);
        // A hundredth of a second's worth at least.
        let next = bucket.next(start).unwrap();
        assert_eq!(next, start + Duration::from_millis(10));
        assert_eq!(bucket.allowance(next), 10);
        let later = start + Duration::from_millis(250);
        assert_eq!(bucket.allowance(later), 250);
        let much_later = start + Duration::from_secs(3600);
        assert_eq!(bucket.allowance(much_later), 300, "a silence saves no more than a burst");
    }

    #[test]
    fn what_passed_above_the_allowance_is_owed() {
        let (mut bucket, start) = bucket(1000, 100);
        bucket.on_passed(1100, start);
        assert_eq!(bucket.next(start), Some(start + Duration::from_millis(1010)));
        assert_eq!(bucket.allowance(start + Duration::from_secs(1)), 0);
        assert_eq!(bucket.allowance(start + Duration::from_millis(1050)), 50);
    }

    #[test]
    fn without_a_limit_everything_passes() {
        let (mut bucket, start) = bucket(ByteLimit::Never, 1);
        bucket.on_passed(usize::MAX, start);
        assert_eq!((bucket.allowance(start), bucket.next(start)), (usize::MAX, None));
    }

    proptest! {
        #[test]
        fn over_any_time_no_more_passes_than_the_rate_and_one_burst_and_the_wait_is_no_longer_than_it_must(
            per_second in 1u64..2_000_000_000,
            burst in 1u64..1_000_000,
            steps in proptest::collection::vec((0u64..2_000_000_000, 1usize..200_000), 1..60),
        ) {
            let (mut bucket, start) = bucket(per_second, burst);
            let (mut now, mut passed) = (start, 0u128);
            for (nanos, wanted) in steps {
                now += Duration::from_nanos(nanos);
                if let Some(next) = bucket.next(now) {
                    prop_assert!(next > now);
                    prop_assert!(bucket.allowance(next) > 0, "woken for nothing");
                    now = next;
                }
                let n = wanted.min(bucket.allowance(now));
                bucket.on_passed(n, now);
                passed += n as u128;
                let most = (now - start).as_nanos() * u128::from(per_second) / NANOS;
                prop_assert!(passed <= most + u128::from(burst) + 1);
            }
        }
    }
}
