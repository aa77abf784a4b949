//! What a pool counted.

use super::{books::Counts, reason::PoolCloseReason};
use std::time::Duration;

/// What a pool counted since it was made.
///
/// Everything but `hits`, `misses` and `hook_panics` is of one moment, so in every reading
/// `inserted = size + taken + Σ closed`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Entries, those included that have expired and were not pruned.
    pub size: usize,
    /// The most entries there can be.
    pub max_size: usize,
    /// Values that ended because they expired, by idle timeout or lifetime.
    pub expired_count: u64,
    /// The mean time since creation of the entries; zero where there is none.
    pub average_age: Duration,
    /// Values that the pool took over, by insertion or from a factory.
    pub inserted: u64,
    /// Values that were taken out and are no longer the pool's.
    pub taken: u64,
    /// Times that the pool was full and nothing could make room.
    pub refused: u64,
    /// Times that a value was found under the key that was asked for.
    pub hits: u64,
    /// Times that none was.
    pub misses: u64,
    /// Times that the close hook panicked.
    pub hook_panics: u64,
    pub(super) closed: [u64; PoolCloseReason::ALL.len()],
}

impl PoolStats {
    /// The part of the counts that the books hold.
    pub(super) fn from_counts(counts: &Counts) -> Self {
        let expired = [PoolCloseReason::IdleTimeout, PoolCloseReason::Lifetime];
        Self {
            size: 0,
            max_size: 0,
            expired_count: expired.iter().map(|reason| counts.closed[reason.index()]).sum(),
            average_age: Duration::ZERO,
            inserted: counts.inserted,
            taken: counts.taken,
            refused: counts.refused,
            hits: 0,
            misses: 0,
            hook_panics: 0,
            closed: counts.closed,
        }
    }

    /// How many values were closed for `reason`.
    pub fn closed(&self, reason: PoolCloseReason) -> u64 {
        self.closed[reason.index()]
    }

    /// The part of `max_size` that is in use, from 0 to 1; above 1 after the limit was lowered, until enough
    /// entries are gone. 0 if `max_size` is 0.
    pub fn utilization(&self) -> f64 {
        ratio(self.size as f64, self.max_size as f64)
    }

    /// The part of all values that ended because they expired, from 0 to 1; 0 if there were none.
    pub fn expiration_ratio(&self) -> f64 {
        ratio(self.expired_count as f64, self.inserted as f64)
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
