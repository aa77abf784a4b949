//! When a relay moved a byte last, for those who look at it from elsewhere.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Written by one relay, read by anybody.
#[derive(Debug)]
pub(crate) struct Pulse {
    start: Instant,
    /// Nanoseconds from the start to the last move.
    last: AtomicU64,
}

impl Pulse {
    pub(crate) fn new(now: Instant) -> Self {
        Self { start: now, last: AtomicU64::new(0) }
    }

    pub(super) fn beat(&self, now: Instant) {
        let since = now.saturating_duration_since(self.start).as_nanos();
        self.last.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long no byte has moved.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        let last = Duration::from_nanos(self.last.load(Ordering::Relaxed));
        now.saturating_duration_since(self.start).saturating_sub(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn silence_is_counted_from_the_last_move_and_before_one_from_the_start() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let pulse = Pulse::new(start);
        assert_eq!(pulse.silence(at(3)), Duration::from_secs(3));
        pulse.beat(at(5));
        assert_eq!(pulse.silence(at(5)), Duration::ZERO);
        assert_eq!(pulse.silence(at(7)), Duration::from_secs(2));
        assert_eq!(pulse.silence(at(4)), Duration::ZERO);
    }
}
