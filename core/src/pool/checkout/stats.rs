//! What a checkout pool counts.

use super::{slots::Counts, waits::Waits};
use crate::pool::{moment::Span, reason::PoolCloseReason};
use std::time::Duration;

/// The counts of a checkout pool, all of one moment.
///
/// `created − Σ closed = idle + used + validating + closing` always holds.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckoutPoolStats {
    /// The most connections that there may be.
    pub max_size: u32,
    /// Connections that stand ready, as far as `max_size` allows.
    pub min_idle: u32,
    /// Connections that stand ready.
    pub idle: u32,
    /// Connections that are lent.
    pub used: u32,
    /// Connections that are being checked or reset.
    pub validating: u32,
    /// Connections that are being made; they are not among `created` yet.
    pub connecting: u32,
    /// Connections that are being closed.
    pub closing: u32,
    /// Callers in line.
    pub waiting: u32,
    /// Connections that were made.
    pub created: u64,
    /// Attempts to connect that failed.
    pub create_failed: u64,
    /// Leases given out, in all.
    pub acquired: u64,
    /// Of these, those for which an idle connection was there at once.
    pub hits: u64,
    /// Of these, those that went to a caller in line.
    pub handed_over: u64,
    /// Acquires that got nothing before their deadline.
    pub timeouts: u64,
    /// Acquires that were given up by the caller.
    pub cancelled: u64,
    /// Acquires that were refused because too many waited.
    pub refused: u64,
    /// Checks and resets that failed.
    pub invalid: u64,
    /// Connections that a younger one relieved before their end.
    pub relieved: u64,
    /// Leases that were reported as held for too long.
    pub leaks: u64,
    /// How often the pool was cleared.
    pub epoch: u32,
    /// The most connections that were lent at one time since the peak was last taken.
    pub peak_used: u32,
    /// Time for which connections were held, in all. Without metrics it is counted in ticks of the system's timer,
    /// a few milliseconds each, which over many uses come to the same.
    pub use_time: Duration,
    /// Time that callers stood in line, those that got nothing excepted; counted like `use_time`.
    pub wait_time: Duration,
    pub(crate) closed: [u64; PoolCloseReason::ALL.len()],
}

impl CheckoutPoolStats {
    /// Connections that are gone for this reason.
    pub fn closed_for(&self, reason: PoolCloseReason) -> u64 {
        self.closed[reason.index()]
    }

    /// Connections that are gone, for whatever reason.
    pub fn closed(&self) -> u64 {
        self.closed.iter().sum()
    }

    /// Connections there are, those included that are being made or closed.
    pub fn total(&self) -> u32 {
        self.idle + self.used + self.validating + self.connecting + self.closing
    }

    /// Acquires that did not find an idle connection.
    pub fn misses(&self) -> u64 {
        self.acquired - self.hits
    }
}

/// The counts that only grow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) created: u64,
    pub(crate) create_failed: u64,
    pub(crate) acquired: u64,
    pub(crate) hits: u64,
    pub(crate) handed_over: u64,
    pub(crate) timeouts: u64,
    pub(crate) cancelled: u64,
    pub(crate) refused: u64,
    pub(crate) invalid: u64,
    pub(crate) relieved: u64,
    pub(crate) leaks: u64,
    pub(crate) peak_used: u32,
    pub(crate) use_time: Span,
    pub(crate) wait_time: Span,
    closed: [u64; PoolCloseReason::ALL.len()],
    uses: u64,
    waits: Waits,
    /// As `peak_used`, for the tuner, who measures for itself.
    window_peak: u32,
}

/// How a pool was used up to some moment, as its tuner sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    acquired: u64,
    uses: u64,
    use_time: Duration,
    waits: Waits,
}

impl Usage {
    /// What is in this and not in `before`, which was earlier.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            acquired: self.acquired - before.acquired,
            uses: self.uses - before.uses,
            use_time: self.use_time.saturating_sub(before.use_time),
            waits: self.waits.since(&before.waits),
        }
    }

    /// The wait within which this part of the callers stayed.
    pub(crate) fn wait_within(&self, part: f64) -> Duration {
        self.waits.within(part, self.acquired)
    }

    /// How long a use took on average, if any ended.
    pub(crate) fn mean_use(&self) -> Option<Duration> {
        (self.uses > 0).then(|| self.use_time.div_f64(self.uses as f64))
    }
}

impl Tally {
    #[inline]
    pub(crate) fn lent(&mut self, used: u32, waited: Span) {
        self.acquired += 1;
        self.peak_used = self.peak_used.max(used);
        self.window_peak = self.window_peak.max(used);
        if !waited.is_zero() {
            self.wait_time += waited;
            self.waits.note(waited.into());
        }
    }

    #[inline]
    pub(crate) fn put_back(&mut self, used: Span) {
        self.uses += 1;
        self.use_time += used;
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            acquired: self.acquired,
            uses: self.uses,
            use_time: self.use_time.into(),
            waits: self.waits,
        }
    }

    /// Starts a new measurement of the tuner's peak, and returns the last.
    pub(crate) fn take_window_peak(&mut self, used: u32) -> u32 {
        std::mem::replace(&mut self.window_peak, used)
    }

    pub(crate) fn closed(&mut self, reason: PoolCloseReason) {
        self.closed[reason.index()] += 1;
    }

    /// Starts a new measurement of the peak, and returns the last.
    pub(crate) fn take_peak(&mut self, used: u32) -> u32 {
        std::mem::replace(&mut self.peak_used, used)
    }

    /// The whole picture, with what stands where.
    pub(crate) fn stats(&self, counts: Counts) -> CheckoutPoolStats {
        CheckoutPoolStats {
            idle: counts.idle,
            used: counts.used,
            validating: counts.validating,
            connecting: counts.connecting,
            closing: counts.closing,
            created: self.created,
            create_failed: self.create_failed,
            acquired: self.acquired,
            hits: self.hits,
            handed_over: self.handed_over,
            timeouts: self.timeouts,
            cancelled: self.cancelled,
            refused: self.refused,
            invalid: self.invalid,
            relieved: self.relieved,
            leaks: self.leaks,
            peak_used: self.peak_used,
            use_time: self.use_time.into(),
            wait_time: self.wait_time.into(),
            closed: self.closed,
            ..CheckoutPoolStats::default()
        }
    }
}
