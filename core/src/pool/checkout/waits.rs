//! How long callers waited, in orders of magnitude.

use std::time::Duration;

/// Waits by their binary order of magnitude in nanoseconds: enough to tell 10 ms from 20.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits([u64; 64]);

impl Default for Waits {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Waits {
    pub(crate) fn note(&mut self, wait: Duration) {
        let nanoseconds = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        self.0[63 - nanoseconds.max(1).leading_zeros() as usize] += 1;
    }

    /// Those of `self` that are not in `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut counts = self.0;
        counts.iter_mut().zip(before.0).for_each(|(count, before)| *count -= before);
        Self(counts)
    }

    /// The wait within which this part of `callers` stayed, rounded up; those who are not here did not wait.
    pub(crate) fn within(&self, part: f64, callers: u64) -> Duration {
        let may_be_longer = (callers as f64 * (1.0 - part)).floor() as u64;
        let mut longer = 0;
        for (order, count) in self.0.iter().enumerate().rev() {
            longer += count;
            if longer > may_be_longer {
                return Duration::from_nanos(
                    2u64.checked_shl(order as u32).map_or(u64::MAX, |end| end - 1),
                );
            }
        }
        Duration::ZERO
    }
}

#[cfg(all(test, not(trunkline_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_wait_of_95_in_100_counts_those_who_did_not_wait() {
        let mut waits = Waits::default();
        for _ in 0..5 {
            waits.note(Duration::from_millis(100));
        }
        assert_eq!(waits.within(0.95, 100), Duration::ZERO);
        let long = waits.within(0.95, 99);
        assert!(
            (Duration::from_millis(100)..Duration::from_millis(200)).contains(&long),
            "{long:?}"
        );
        let before = waits;
        waits.note(Duration::ZERO);
        waits.note(Duration::MAX);
        assert_eq!(waits.since(&before).within(0.1, 2), Duration::from_nanos(1));
    }
}
