//! How slow an endpoint is: its latency, a peak at once and a quiet time slowly, and whether it just failed.

use crate::config::EwmaConfig;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// The latency of one endpoint, estimated: a call that took longer than the estimate raises it to that at
/// once, any other pulls it down slowly, and so does time without calls.
///
/// A failure is no latency: one that is quick would draw the traffic, and a slow one would be remembered for long. It
/// adds a penalty instead, which shrinks evenly and is gone after the time that an estimate decays in.
///
/// Calls on many threads may tell their latency at the same time; a reader changes nothing.
#[derive(Debug)]
pub struct PeakEwma {
    config: EwmaConfig,
    epoch: Instant,
    /// Seconds as `f32` above, ticks since `epoch` below; or [`COLD`].
    packed: AtomicU64,
    /// When the last call failed, in nanoseconds since `epoch`; or [`NEVER`].
    failed: AtomicU64,
}

/// Nothing was measured. No estimate looks like this: as a number it is none.
const COLD: u64 = u64::MAX;
/// Before every failure: one at the epoch counts as one nanosecond later.
const NEVER: u64 = 0;
/// Ticks in the time that an estimate decays in.
const TICKS: u32 = 1024;

impl PeakEwma {
    /// Starts without an estimate. Time is counted from `now`.
    pub fn new(config: EwmaConfig, now: Instant) -> Self {
        let (packed, failed) = (AtomicU64::new(COLD), AtomicU64::new(NEVER));
        Self { config, epoch: now, packed, failed }
    }

    /// A call that took `latency` ended at `now`.
    pub fn on_success(&self, latency: Duration, now: Instant) {
        let (latency, tick) = (latency.as_secs_f32(), self.tick(now));
        let update = |packed| Some(self.updated(packed, latency, tick));
        // The closure always gives a value, so this cannot fail.
        let _ = self.packed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// A call failed at `now`, however long it took.
    pub fn on_failure(&self, now: Instant) {
        self.failed.fetch_max(self.nanos(now).max(NEVER + 1), Ordering::Relaxed);
    }

    /// The latency that the next call may expect if it succeeds, if one was ever measured.
    pub fn estimate(&self, now: Instant) -> Option<Duration> {
        let packed = self.packed.load(Ordering::Relaxed);
        let (estimate, stamp) = unpack(packed)?;
        let left = estimate * self.kept(stamp, self.tick(now));
        Some(Duration::try_from_secs_f32(left).unwrap_or(Duration::MAX))
    }

    /// What is left at `now` of the penalty for the last failure.
    pub fn penalty(&self, now: Instant) -> Duration {
        let failed = self.failed.load(Ordering::Relaxed);
        if failed == NEVER {
            return Duration::ZERO;
        }
        let age = Duration::from_nanos(self.nanos(now).saturating_sub(failed)).as_secs_f64();
        let left = 1.0 - age / self.config.decay.max(Duration::from_nanos(1)).as_secs_f64();
        let penalty = self.config.failure_penalty.as_secs_f64() * left.max(0.0);
        Duration::try_from_secs_f64(penalty)
            .unwrap_or(Duration::MAX)
            .min(self.config.failure_penalty)
    }

    /// What one more call costs beside `pending` others: the longer it takes and the more wait, the more.
    /// `cold` stands for an estimate where there is none: best the median of the peers.
    pub fn load(&self, pending: u64, cold: Duration, now: Instant) -> f64 {
        let latency = self.estimate(now).unwrap_or(cold).max(self.config.floor);
        // A latency of zero must not hide how many are waiting.
        let expected = latency.as_secs_f64().max(1e-9) + self.penalty(now).as_secs_f64();
        expected * (pending as f64 + 1.0)
    }

    fn updated(&self, packed: u64, latency: f32, tick: u32) -> u64 {
        let Some((estimate, stamp)) = unpack(packed) else { return pack(latency, tick) };
        if latency >= estimate {
            return pack(latency, tick);
        }
        let kept = self.kept(stamp, tick);
        pack(estimate * kept + latency * (1.0 - kept), latest(stamp, tick))
    }

    /// The part of an estimate that is left when it is as old as from one tick to another.
    fn kept(&self, from: u32, to: u32) -> f32 {
        let age = to.wrapping_sub(from);
        // More than half around is a clock that stepped back, or most of a year.
        if age > u32::MAX / 2 { 1.0 } else { (-(age as f32) / TICKS as f32).exp() }
    }

    /// Wraps after four million decay times.
    fn tick(&self, now: Instant) -> u32 {
        let tick = (self.config.decay / TICKS).max(Duration::from_nanos(1));
        (now.saturating_duration_since(self.epoch).as_nanos() / tick.as_nanos()) as u32
    }

    fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

fn pack(estimate: f32, tick: u32) -> u64 {
    u64::from(estimate.to_bits()) << 32 | u64::from(tick)
}

fn unpack(packed: u64) -> Option<(f32, u32)> {
    (packed != COLD).then(|| (f32::from_bits((packed >> 32) as u32), packed as u32))
}

fn latest(one: u32, other: u32) -> u32 {
    if other.wrapping_sub(one) > u32::MAX / 2 { one } else { other }
}

/// The estimate for endpoints that none was measured of: the median of those that have one, else what the
/// configuration says.
pub fn cold_estimate(
    config: &EwmaConfig,
    estimates: impl IntoIterator<Item = Duration>,
) -> Duration {
    let mut known: Vec<_> = estimates.into_iter().collect();
    if known.is_empty() {
        return config.cold;
    }
    let middle = known.len() / 2;
    *known.select_nth_unstable(middle).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn millis(ewma: &PeakEwma, now: Instant) -> f64 {
        ewma.estimate(now).unwrap().as_secs_f64() * 1e3
    }

    #[test]
    fn a_peak_counts_at_once_and_a_quick_call_only_with_time() {
        let now = start();
        let ewma = PeakEwma::new(EwmaConfig::default(), now);
        ewma.on_success(10 * MILLI, now);
        ewma.on_success(100 * MILLI, now);
        assert!((millis(&ewma, now) - 100.0).abs() < 0.01);
        ewma.on_success(10 * MILLI, now);
        assert!((millis(&ewma, now) - 100.0).abs() < 0.01);
        let later = now + Duration::from_secs(10);
        ewma.on_success(10 * MILLI, later);
        assert!((millis(&ewma, later) - (10.0 + 90.0 / std::f64::consts::E)).abs() < 0.1);
    }

    #[test]
    fn time_without_calls_lets_an_estimate_fall() {
        let now = start();
        let ewma = PeakEwma::new(EwmaConfig::default(), now);
        ewma.on_success(100 * MILLI, now);
        let later = now + Duration::from_secs(10);
        assert!((millis(&ewma, later) - 100.0 / std::f64::consts::E).abs() < 0.1);
        assert!(millis(&ewma, now + Duration::from_secs(1000)) < 0.01);
    }

    #[test]
    fn a_clock_that_steps_back_lets_no_estimate_fall() {
        let origin = start();
        let (before, after) = (origin + Duration::from_secs(10), origin + Duration::from_secs(20));
        let ewma = PeakEwma::new(EwmaConfig::default(), origin);
        ewma.on_success(100 * MILLI, after);
        assert!((millis(&ewma, before) - 100.0).abs() < 0.01);
        ewma.on_success(10 * MILLI, before);
        assert!((millis(&ewma, after) - 100.0).abs() < 0.01);
    }

    #[test]
    fn an_estimate_falls_on_when_the_count_of_ticks_wraps() {
        let origin = start();
        let config = EwmaConfig { decay: Duration::from_secs(1), ..EwmaConfig::default() };
        let ewma = PeakEwma::new(config, origin);
        // 2³² ticks are 4,194,302 s.
        ewma.on_success(100 * MILLI, origin + Duration::from_secs(4_194_300));
        let later = millis(&ewma, origin + Duration::from_secs(4_194_304));
        assert!((later - 100.0 * (-4_f64).exp()).abs() < 0.1, "{later}");
    }

    #[test]
    fn a_failure_costs_a_penalty_that_is_gone_after_the_time_of_decay_and_no_latency() {
        let now = start();
        let ewma = PeakEwma::new(EwmaConfig::default(), now);
        ewma.on_success(10 * MILLI, now);
        assert_eq!(ewma.penalty(now), Duration::ZERO);
        ewma.on_failure(now);
        assert!((millis(&ewma, now) - 10.0).abs() < 0.01);
        let left = |secs| ewma.penalty(now + Duration::from_secs(secs)).as_secs_f64();
        assert!((left(0) - 5.0).abs() < 0.001 && (left(5) - 2.5).abs() < 0.001);
        assert!(left(10) < 1e-6 && left(1 << 40) == 0.0);
        assert!((ewma.load(0, MILLI, now) - 5.010).abs() < 0.001);
    }

    #[test]
    fn a_failure_told_late_does_not_shorten_the_penalty_of_a_later_one() {
        let (now, later) = (start(), start() + Duration::from_secs(5));
        let ewma = PeakEwma::new(EwmaConfig::default(), now);
        ewma.on_failure(later);
        ewma.on_failure(now);
        assert!((ewma.penalty(later).as_secs_f64() - 5.0).abs() < 0.001);
    }

    #[test]
    fn below_the_floor_latency_makes_no_difference() {
        let (now, config) = (start(), EwmaConfig::default());
        let [near, nearer] = [700, 50].map(|micros| {
            let ewma = PeakEwma::new(config, now);
            ewma.on_success(Duration::from_micros(micros), now);
            ewma.load(2, MILLI, now)
        });
        assert_eq!(near, nearer);
        assert!((near - 0.003).abs() < 1e-9);
    }

    #[test]
    fn an_endpoint_without_an_estimate_costs_what_the_median_of_its_peers_does() {
        let (now, config) = (start(), EwmaConfig::default());
        let cold = cold_estimate(&config, [3, 900, 7].map(|millis| millis * MILLI));
        assert_eq!(cold, 7 * MILLI);
        assert_eq!(cold_estimate(&config, []), 30 * MILLI);
        let ewma = PeakEwma::new(config, now);
        assert_eq!(ewma.estimate(now), None);
        assert!((ewma.load(1, cold, now) - 0.014).abs() < 1e-9);
    }

    #[test]
    fn waiting_calls_count_also_where_latency_is_zero() {
        let now = start();
        let config = EwmaConfig { floor: Duration::ZERO, ..EwmaConfig::default() };
        let ewma = PeakEwma::new(config, now);
        ewma.on_success(Duration::ZERO, now);
        assert!(ewma.load(9, MILLI, now) > ewma.load(0, MILLI, now));
    }

    #[test]
    fn latencies_told_by_many_threads_leave_the_peak() {
        let now = start();
        let ewma = PeakEwma::new(EwmaConfig::default(), now);
        std::thread::scope(|scope| {
            for thread in 1..=4u32 {
                let ewma = &ewma;
                scope.spawn(move || {
                    (1..=1000).for_each(|call| ewma.on_success(MILLI * call * thread, now))
                });
            }
        });
        assert!((millis(&ewma, now) - 4000.0).abs() < 1.0);
    }

    proptest! {
        // Y4
        #[test]
        fn an_estimate_is_never_negative_and_a_load_always_a_number(
            decay: u64, floor: u64, penalty: u64, cold: u64, pending: u64,
            calls in prop::collection::vec((any::<u64>(), any::<u32>(), 0u64..1 << 60, any::<bool>()), 1..60),
        ) {
            let [decay, floor] = [decay, floor].map(Duration::from_nanos);
            let failure_penalty = Duration::from_secs(penalty);
            let config = EwmaConfig { decay, floor, failure_penalty, ..EwmaConfig::default() };
            let origin = start();
            let ewma = PeakEwma::new(config, origin);
            let cold = Duration::from_secs(cold);
            for (secs, nanos, at, failed) in calls {
                let (latency, now) = (Duration::new(secs / 4, nanos), origin + Duration::from_nanos(at));
                if failed { ewma.on_failure(now) } else { ewma.on_success(latency, now) }
                if let Some((estimate, _)) = unpack(ewma.packed.load(Ordering::Relaxed)) {
                    prop_assert!(estimate.is_finite() && estimate >= 0.0, "{}", estimate);
                }
                prop_assert!(ewma.penalty(now) <= failure_penalty);
                let load = ewma.load(pending, cold, now);
                prop_assert!(load.is_finite() && load > 0.0, "{}", load);
            }
        }

        #[test]
        fn an_estimate_is_between_the_least_and_the_greatest_latency_or_below(
            latencies in prop::collection::vec(0u64..10_000, 1..50), step in 0u64..5_000,
        ) {
            let mut now = start();
            let ewma = PeakEwma::new(EwmaConfig::default(), now);
            for latency in &latencies {
                now += MILLI * step as u32;
                ewma.on_success(MILLI * *latency as u32, now);
                let peak = *latencies.iter().max().unwrap_or(&0) as f64;
                prop_assert!(millis(&ewma, now) <= peak * 1.0001);
                prop_assert!(millis(&ewma, now) >= *latency as f64 * 0.9999);
            }
        }
    }
}
