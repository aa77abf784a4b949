//! The clock that a pool reads for each of its calls.

use std::time::{Duration, Instant};
use tokio::runtime::{Handle, RuntimeFlavor};

/// Tells the time to calls that must be quick.
///
/// The exact clock costs as much as two locks. What a pool measures for its calls are milliseconds and more, for
/// which the tick of the system's timer does: it counts from the same origin at the same rate, through sleep and
/// across cores, at a third of the cost. A count of processor cycles would cost the same, and drift.
#[derive(Clone, Copy, Debug)]
pub(super) enum Clock {
    /// Tokio's, which a paused runtime holds still.
    Exact,
    /// The tick. Never ahead of the exact clock, and behind it by one tick, or for as long as the whole machine
    /// stood still.
    #[cfg(target_os = "linux")]
    Ticking(tick::Anchor),
}

impl Clock {
    /// The clock for calls of a pool that lives on `runtime` and knows no limit below `shortest`.
    pub(super) fn new(runtime: &Handle, shortest: Duration) -> Self {
        // Only the time of a runtime with a single thread can be paused.
        match runtime.runtime_flavor() {
            RuntimeFlavor::MultiThread => Self::ticking(shortest),
            _ => Self::Exact,
        }
    }

    #[cfg(target_os = "linux")]
    fn ticking(shortest: Duration) -> Self {
        match tick::Anchor::new() {
            Some(anchor) if anchor.length() * 16 <= shortest => Self::Ticking(anchor),
            Some(_) | None => Self::Exact,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn ticking(_: Duration) -> Self {
        Self::Exact
    }

    pub(super) fn now(&self) -> Instant {
        match self {
            Self::Exact => exact(),
            #[cfg(target_os = "linux")]
            Self::Ticking(anchor) => anchor.now(),
        }
    }

    /// How far this clock is behind the exact one, at most, while the machine runs.
    pub(super) fn lag(&self) -> Duration {
        match self {
            Self::Exact => Duration::ZERO,
            #[cfg(target_os = "linux")]
            Self::Ticking(anchor) => anchor.length(),
        }
    }
}

/// Tokio's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a pool lives by tokio's clock, which tests hold still"
)]
pub(crate) fn exact() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(target_os = "linux")]
mod tick {
    use rustix::time::{ClockId, clock_getres, clock_gettime};
    use std::time::{Duration, Instant};

    /// One moment on both clocks: their distance is the same at every other.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) struct Anchor {
        instant: Instant,
        nanos: u64,
        length: u64,
    }

    impl Anchor {
        /// `None` if the system does not say how long its tick is.
        pub(super) fn new() -> Option<Self> {
            let length = nanos(clock_getres(ClockId::MonotonicCoarse))?;
            // The count is read after the instant, which keeps the tick behind. Whatever interrupts this thread
            // between them makes it lag more, so the closest of a few pairs counts.
            #[expect(clippy::disallowed_methods, reason = "it is paired with the system's clock")]
            let pair = || {
                let before = nanos(clock_gettime(ClockId::Monotonic))?;
                let instant = Instant::now();
                let after = nanos(clock_gettime(ClockId::Monotonic))?;
                Some((after - before, Self { instant, nanos: after, length }))
            };
            (0..4).filter_map(|_| pair()).min_by_key(|(gap, _)| *gap).map(|(_, anchor)| anchor)
        }

        pub(super) fn length(&self) -> Duration {
            Duration::from_nanos(self.length)
        }

        pub(super) fn now(&self) -> Instant {
            let tick = nanos(clock_gettime(ClockId::MonotonicCoarse)).unwrap_or(self.nanos);
            match tick.checked_sub(self.nanos) {
                Some(since) => self.instant + Duration::from_nanos(since),
                // The tick in which the anchor was made.
                None => self.instant,
            }
        }
    }

    fn nanos(time: rustix::time::Timespec) -> Option<u64> {
        let seconds = u64::try_from(time.tv_sec).ok()?.checked_mul(1_000_000_000)?;
        seconds.checked_add(u64::try_from(time.tv_nsec).ok()?)
    }
}

#[cfg(all(test, not(trunkline_loom)))]
mod tests {
    use super::*;
    use tokio::{
        runtime::Builder,
        time::{advance, pause},
    };

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_runtime_whose_time_may_be_paused_gives_the_exact_clock() {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let clock = Clock::new(&Handle::current(), MINUTE);
            pause();
            let before = clock.now();
            advance(MINUTE).await;
            assert_eq!((clock.now() - before, clock.lag()), (MINUTE, Duration::ZERO));
        });
    }

    #[test]
    fn the_tick_is_never_ahead_and_never_goes_back() {
        let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let clock = Clock::new(runtime.handle(), MINUTE);
        let mut last = clock.now();
        for _ in 0..10_000 {
            let (tick, after) = (clock.now(), exact());
            assert!(last <= tick && tick <= after);
            last = tick;
        }
    }

    #[test]
    fn limits_that_a_tick_would_blur_are_kept_by_the_exact_clock() {
        let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        assert!(matches!(Clock::new(runtime.handle(), Duration::from_millis(1)), Clock::Exact));
    }
}
