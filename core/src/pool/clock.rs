//! The clock that a pool reads for each of its calls.

use super::moment::Moment;
#[cfg(target_os = "linux")]
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};
use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};
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
    /// The tick, `lag` long. Never ahead of the exact clock, and behind it by one tick, or for as long as the whole
    /// machine stood still.
    #[cfg(target_os = "linux")]
    Ticking { lag: Duration },
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
        let lag = Duration::from_nanos(nanos(clock_getres(ClockId::MonotonicCoarse)));
        if lag * 16 <= shortest { Self::Ticking { lag } } else { Self::Exact }
    }

    #[cfg(not(target_os = "linux"))]
    fn ticking(_: Duration) -> Self {
        Self::Exact
    }

    #[inline]
    pub(super) fn now(&self) -> Moment {
        match self {
            Self::Exact => exact(),
            #[cfg(target_os = "linux")]
            Self::Ticking { .. } => tick(),
        }
    }

    /// How far this clock is behind the exact one, at most, while the machine runs.
    pub(super) fn lag(&self) -> Duration {
        match self {
            Self::Exact => Duration::ZERO,
            #[cfg(target_os = "linux")]
            Self::Ticking { lag } => *lag,
        }
    }
}

/// Tokio's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a pool lives by tokio's clock, which tests hold still"
)]
pub(crate) fn exact() -> Moment {
    tokio::time::Instant::now().into_std().into()
}

#[cfg(target_os = "linux")]
#[inline]
fn tick() -> Moment {
    Moment::from_nanos(nanos(clock_gettime(ClockId::MonotonicCoarse)))
}

/// A reading of one of the system's clocks, which count from its start: never negative, and not for centuries.
#[cfg(target_os = "linux")]
#[inline]
fn nanos(time: Timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The same moment on both clocks.
struct Anchor {
    instant: Instant,
    nanos: u64,
}

static ANCHOR: LazyLock<Anchor> = LazyLock::new(Anchor::take);

impl Anchor {
    /// The count is read after the instant, so that no [`Instant`] becomes an earlier moment than it was. Whatever
    /// interrupts this thread between them makes it later, so the closest of a few pairs counts.
    #[cfg(target_os = "linux")]
    #[expect(clippy::disallowed_methods, reason = "it is paired with the system's clock")]
    fn take() -> Self {
        let count = || nanos(clock_gettime(ClockId::Monotonic));
        let pair = || {
            let (before, instant, nanos) = (count(), Instant::now(), count());
            (nanos - before, Self { instant, nanos })
        };
        let closer =
            |best: (u64, Self), next: (u64, Self)| if next.0 < best.0 { next } else { best };
        (0..3).map(|_| pair()).fold(pair(), closer).1
    }

    /// With room for instants before this one.
    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::disallowed_methods, reason = "every other moment is measured from this one")]
    fn take() -> Self {
        Self { instant: Instant::now(), nanos: 1 << 62 }
    }
}

impl From<Instant> for Moment {
    fn from(instant: Instant) -> Self {
        let (anchor, base) = (ANCHOR.instant, Self::from_nanos(ANCHOR.nanos));
        match instant.checked_duration_since(anchor) {
            Some(after) => base + after,
            None => base.before(anchor.duration_since(instant)),
        }
    }
}

/// One that no `Instant` can stand for becomes that of the process's beginning.
impl From<Moment> for Instant {
    fn from(moment: Moment) -> Self {
        let (anchor, base) = (ANCHOR.instant, Moment::from_nanos(ANCHOR.nanos));
        let instant = match moment >= base {
            true => anchor.checked_add(moment.since(base)),
            false => anchor.checked_sub(base.since(moment)),
        };
        instant.unwrap_or(anchor)
    }
}

#[cfg(all(test, not(trunkline_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
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
            assert_eq!((clock.now().since(before), clock.lag()), (MINUTE, Duration::ZERO));
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

    proptest! {
        #[test]
        #[expect(clippy::disallowed_methods, reason = "a test needs some moment to count from")]
        fn an_instant_comes_back_as_it_was(offset in -1_000_000_000i64..1_000_000_000_000) {
            let (now, time) = (Instant::now(), Duration::from_nanos(offset.unsigned_abs()));
            let instant = if offset < 0 { now.checked_sub(time).unwrap_or(now) } else { now + time };
            prop_assert_eq!(Instant::from(Moment::from(instant)), instant);
        }
    }
}
