//! Log-linear histograms: every value to within 6.25 %, from 1 ns to centuries, in fixed memory.

use super::shard::Sharded;
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Buckets per doubling, as a power of two: 16, so that a bucket is at most 1/16 of its lower bound wide.
const SUB_BITS: u32 = 4;
const SUB: usize = 1 << SUB_BITS;
/// Zero, the values up to 16 one by one, and 16 buckets for each further doubling of a `u64`.
const BUCKETS: usize = 1 + SUB + (u64::BITS - SUB_BITS) as usize * SUB;

/// The bucket that holds `value`. A bucket holds its upper bound and not its lower one, as a bound in
/// the exported text does, and every power of two is the upper bound of a bucket.
fn bucket_of(value: u64) -> usize {
    let Some(below) = value.checked_sub(1) else { return 0 };
    if below < SUB as u64 {
        return 1 + below as usize;
    }
    let shift = below.ilog2() - SUB_BITS;
    let sub = (below >> shift) as usize & (SUB - 1);
    1 + SUB + shift as usize * SUB + sub
}

/// The largest value of a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let Some(linear) = bucket.checked_sub(1 + SUB) else { return bucket as u64 };
    let (shift, sub) = (linear / SUB, linear % SUB);
    // One past the last bucket would start at 2^64, which is as far as a value can be.
    u64::try_from(((SUB + sub + 1) as u128) << shift).unwrap_or(u64::MAX)
}

/// What a histogram's values are, and so how they are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Plain numbers, exported as they are: bytes, counts.
    One,
    /// Nanoseconds, exported as seconds.
    Seconds,
}

impl Unit {
    fn export(self, value: f64) -> f64 {
        match self {
            Self::One => value,
            Self::Seconds => value / 1e9,
        }
    }

    /// The powers of two that are exported as bounds: 1, 4, 16 … 2^40; about 1 µs, 2 µs … 4.9 h.
    fn exponents(self) -> impl Iterator<Item = u32> {
        match self {
            Self::One => (0..=40).step_by(2),
            Self::Seconds => (10..=44).step_by(1),
        }
    }
}

/// A distribution of values. Recording is two atomic steps on memory of the thread's own.
///
/// Each thread shard takes 8 KiB, from the first value on that it records.
#[derive(Clone, Debug)]
pub struct Histogram {
    shards: Arc<Sharded<OnceLock<Shard>>>,
    unit: Unit,
}

#[derive(Debug)]
struct Shard {
    counts: Box<[AtomicU64]>,
    /// An `f64`: nanoseconds of long-lived connections would overflow an integer within weeks.
    sum: AtomicU64,
}

impl Shard {
    fn new() -> Self {
        Self {
            counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0f64.to_bits()),
        }
    }

    fn record(&self, value: u64) {
        self.counts[bucket_of(value)].fetch_add(1, Ordering::Relaxed);
        let mut seen = self.sum.load(Ordering::Relaxed);
        loop {
            let sum = (f64::from_bits(seen) + value as f64).to_bits();
            match self.sum.compare_exchange_weak(seen, sum, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(newer) => seen = newer,
            }
        }
    }
}

impl Histogram {
    pub(super) fn new(unit: Unit) -> Self {
        Self { shards: Arc::new(Sharded::new()), unit }
    }

    /// Records `value`: nanoseconds, if this is a histogram of durations.
    pub fn record(&self, value: u64) {
        self.shards.mine().get_or_init(Shard::new).record(value);
    }

    /// Records `duration` in nanoseconds. Longer than 584 years counts as that.
    pub fn record_duration(&self, duration: Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What was recorded so far, over all threads.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let mut counts = vec![0u64; BUCKETS];
        let mut sum = 0.0;
        for shard in self.shards.iter().filter_map(OnceLock::get) {
            for (total, count) in counts.iter_mut().zip(&shard.counts) {
                *total += count.load(Ordering::Relaxed);
            }
            sum += f64::from_bits(shard.sum.load(Ordering::Relaxed));
        }
        let filled =
            |(bucket, count): (usize, u64)| (count > 0).then(|| (upper_bound(bucket), count));
        HistogramSnapshot {
            buckets: counts.into_iter().enumerate().filter_map(filled).collect(),
            sum: self.unit.export(sum),
            unit: self.unit,
        }
    }
}

/// The state of a [`Histogram`] at one moment, in the unit in which it is exported (seconds for durations).
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSnapshot {
    /// Upper bound and count of each bucket that is not empty, ascending.
    buckets: Vec<(u64, u64)>,
    sum: f64,
    unit: Unit,
}

impl HistogramSnapshot {
    /// How many values were recorded: always the sum of the buckets.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// The sum of all values. Under load it may be a few values ahead of or behind the count.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The value that a share `q` of all values does not exceed, 0.5 being the median.
    ///
    /// Never below the true value, and above it by at most 6.25 %. `None` without values; `q` is
    /// taken as the nearest number within 0 and 1.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = ((self.count() as f64 * q.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        let reaches = |(_, count): &&(u64, u64)| {
            seen += count;
            seen >= rank
        };
        self.buckets.iter().find(reaches).map(|(upper, _)| self.unit.export(*upper as f64))
    }

    /// Bounds and how many values do not exceed them, ascending in both. The last bound is infinity,
    /// with [`count`](Self::count).
    pub fn cumulative(&self) -> Vec<(f64, u64)> {
        let mut buckets = self.buckets.iter().peekable();
        let mut seen = 0;
        let mut bounds: Vec<_> = self
            .unit
            .exponents()
            .map(|exponent| {
                let bound = 1u64 << exponent;
                while let Some((_, count)) = buckets.next_if(|(upper, _)| *upper <= bound) {
                    seen += count;
                }
                (self.unit.export(bound as f64), seen)
            })
            .collect();
        bounds.push((f64::INFINITY, self.count()));
        bounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::thread;

    fn of(unit: Unit, values: &[u64]) -> HistogramSnapshot {
        let histogram = Histogram::new(unit);
        values.iter().for_each(|value| histogram.record(*value));
        histogram.snapshot()
    }

    /// Values of every magnitude, not mostly huge ones.
    fn value() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0u32..64).prop_map(|(value, shift)| value >> shift)
    }

    #[test]
    fn buckets_ascend_without_gap_and_end_at_the_largest_value() {
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(upper_bound(bucket)), bucket);
            if bucket + 1 < BUCKETS {
                assert_eq!(bucket_of(upper_bound(bucket) + 1), bucket + 1);
            }
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(upper_bound(BUCKETS - 1), u64::MAX);
    }

    #[test]
    fn every_power_of_two_is_a_bound() {
        for exponent in 0..64 {
            assert_eq!(upper_bound(bucket_of(1 << exponent)), 1 << exponent);
        }
    }

    #[test]
    fn nothing_recorded_has_no_quantile_and_counts_zero_everywhere() {
        let empty = of(Unit::One, &[]);
        assert_eq!((empty.count(), empty.sum(), empty.quantile(0.5)), (0, 0.0, None));
        assert!(empty.cumulative().iter().all(|(_, count)| *count == 0));
    }

    #[test]
    fn durations_are_exported_in_seconds() {
        let histogram = Histogram::new(Unit::Seconds);
        histogram.record_duration(Duration::from_millis(1500));
        histogram.record_duration(Duration::MAX);
        let snapshot = histogram.snapshot();
        let median = snapshot.quantile(0.5).unwrap();
        assert!((1.5..1.5 * 1.0625).contains(&median), "{median}");
        assert_eq!(snapshot.cumulative().last(), Some(&(f64::INFINITY, 2)));
    }

    #[test]
    fn a_value_on_a_bound_counts_below_it() {
        let snapshot = of(Unit::One, &[0, 1, 2, 4, 5, 16]);
        assert_eq!(snapshot.cumulative()[..4], [(1.0, 2), (4.0, 4), (16.0, 6), (64.0, 6)]);
    }

    #[test]
    fn values_of_many_threads_are_all_there() {
        let histogram = Histogram::new(Unit::One);
        thread::scope(|scope| {
            for worker in 0..8 {
                let histogram = histogram.clone();
                scope.spawn(move || (0..5_000).for_each(|_| histogram.record(worker)));
            }
        });
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.count(), snapshot.sum()), (40_000, 5_000.0 * 28.0));
        assert_eq!(snapshot.buckets, (0..8).map(|value| (value, 5_000)).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn a_value_is_known_to_within_one_sixteenth(value in value()) {
            let upper = upper_bound(bucket_of(value));
            prop_assert!(upper >= value);
            prop_assert!(u128::from(upper - value) * 16 <= u128::from(value));
        }

        #[test]
        fn a_quantile_is_never_below_the_true_one_and_at_most_a_sixteenth_above(
            mut values in proptest::collection::vec(0u64..1 << 50, 1..200),
            q in 0.0f64..=1.0,
        ) {
            let found = of(Unit::One, &values).quantile(q).unwrap();
            values.sort_unstable();
            let rank = ((values.len() as f64 * q).ceil() as usize).max(1);
            let exact = values[rank - 1] as f64;
            prop_assert!(found >= exact && found <= exact * 1.0625, "{found} for {exact}");
        }

        #[test]
        fn cumulative_buckets_are_exact_at_every_bound(
            values in proptest::collection::vec(value(), 0..200),
        ) {
            for unit in [Unit::One, Unit::Seconds] {
                let buckets = of(unit, &values).cumulative();
                prop_assert!(buckets.is_sorted());
                for (bound, count) in &buckets {
                    let within = |value: &&u64| unit.export(**value as f64) <= *bound;
                    prop_assert_eq!(*count as usize, values.iter().filter(within).count());
                }
            }
        }
    }
}
