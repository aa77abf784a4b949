//! How many calls succeeded and failed lately: exact counts in a ring of buckets.

use std::time::{Duration, Instant};

/// Counts over the last so many buckets of time; the newest is the one that is being filled.
///
/// A time before the newest bucket, from a clock that stepped back, counts in the newest.
#[derive(Clone, Debug)]
pub(super) struct Window {
    epoch: Instant,
    bucket: Duration,
    /// Number of the newest bucket, counted from `epoch`; its slot is that modulo the ring's length.
    newest: u64,
    ring: Box<[Tally]>,
    /// The sum of the ring.
    total: Tally,
}

/// Calls that told how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) successes: u64,
    pub(super) failures: u64,
}

impl Window {
    pub(super) fn new(bucket: Duration, buckets: u32, now: Instant) -> Self {
        let ring = vec![Tally::default(); buckets.max(1) as usize].into_boxed_slice();
        let bucket = bucket.max(Duration::from_nanos(1));
        Self { epoch: now, bucket, newest: 0, ring, total: Tally::default() }
    }

    /// Counts what ended at `now`.
    pub(super) fn add(&mut self, tally: Tally, now: Instant) {
        self.advance(now);
        let slot = self.slot(self.newest);
        self.ring[slot].add(tally);
        self.total.add(tally);
    }

    /// What was counted in the window that ends at `now`.
    pub(super) fn total(&mut self, now: Instant) -> Tally {
        self.advance(now);
        self.total
    }

    /// Forgets the buckets that are too old at `now`.
    fn advance(&mut self, now: Instant) {
        let number = self.number(now);
        let passed = number.saturating_sub(self.newest).min(self.ring.len() as u64);
        for step in 1..=passed {
            let slot = self.slot(self.newest + step);
            let forgotten = std::mem::take(&mut self.ring[slot]);
            self.total.take(forgotten);
        }
        self.newest = self.newest.max(number);
    }

    fn number(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(elapsed / self.bucket.as_nanos()).unwrap_or(u64::MAX >> 1)
    }

    fn slot(&self, number: u64) -> usize {
        (number % self.ring.len() as u64) as usize
    }
}

impl Tally {
    pub(super) const SUCCESS: Self = Self { successes: 1, failures: 0 };
    pub(super) const FAILURE: Self = Self { successes: 0, failures: 1 };

    pub(super) fn calls(self) -> u64 {
        self.successes + self.failures
    }

    pub(super) fn add(&mut self, other: Self) {
        self.successes += other.successes;
        self.failures += other.failures;
    }

    fn take(&mut self, other: Self) {
        self.successes -= other.successes;
        self.failures -= other.failures;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_bucket_is_forgotten_as_a_whole_when_the_window_has_passed_it() {
        let start = start();
        let mut window = Window::new(Duration::from_secs(1), 10, start);
        window.add(Tally::FAILURE, start);
        window.add(Tally::FAILURE, start + Duration::from_millis(999));
        assert_eq!(window.total(start + Duration::from_millis(9_999)).failures, 2);
        assert_eq!(window.total(start + Duration::from_secs(10)), Tally::default());
    }

    #[test]
    fn a_clock_that_stepped_back_counts_in_the_newest_bucket() {
        let start = start();
        let mut window = Window::new(Duration::from_secs(1), 2, start);
        window.add(Tally::SUCCESS, start + Duration::from_secs(5));
        window.add(Tally::SUCCESS, start);
        assert_eq!(window.total(start + Duration::from_secs(6)).successes, 2);
        assert_eq!(window.total(start + Duration::from_secs(7)).successes, 0);
    }

    proptest! {
        // B4
        #[test]
        fn the_sum_is_a_recount_of_the_log(
            buckets in 1u32..12,
            steps in prop::collection::vec((0u64..4_000, any::<bool>()), 1..200),
        ) {
            let (start, second) = (start(), Duration::from_secs(1));
            let mut window = Window::new(second, buckets, start);
            let (mut log, mut at) = (Vec::new(), 0);
            for (wait, failed) in steps {
                at += wait;
                let now = start + Duration::from_millis(at);
                window.add(if failed { Tally::FAILURE } else { Tally::SUCCESS }, now);
                log.push((at / 1000, failed));

                let newest = at / 1000;
                let lately = log.iter().filter(|(bucket, _)| bucket + u64::from(buckets) > newest);
                let failures = lately.clone().filter(|(_, failed)| *failed).count() as u64;
                let calls = lately.count() as u64;
                prop_assert_eq!(window.total(now), Tally { successes: calls - failures, failures });
            }
        }

        #[test]
        fn any_clock_and_any_shape_leave_the_sum_equal_to_the_ring(
            bucket: u64, buckets in 0u32..5, times in prop::collection::vec(0u64..1 << 50, 1..50),
        ) {
            let start = start();
            let mut window = Window::new(Duration::from_nanos(bucket), buckets, start);
            for at in times {
                window.add(Tally::FAILURE, start + Duration::from_nanos(at));
                let sum: u64 = window.ring.iter().map(|tally| tally.failures).sum();
                prop_assert_eq!(sum, window.total.failures);
                prop_assert!(sum >= 1);
            }
        }
    }
}
