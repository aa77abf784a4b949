//! Says when a pool should be larger or smaller, and why.
//!
//! The driver of a checkout pool takes a sample every [`TunerConfig::interval`], hands it over, and resizes
//! the pool to what [`Advice::new_size`] says. Nothing is counted for the tuner: a sample is the difference of
//! two readings of the statistics that the pool keeps anyway.

mod trend;

use crate::config::{TunerConfig, TunerMode};
use std::{
    fmt,
    time::{Duration, Instant},
};
use trend::Trend;

#[cfg(test)]
mod tests;

/// What happened in a pool since the sample before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunerSample {
    /// Wait for a connection that 95 of 100 callers stayed within; zero if nobody waited.
    pub p95_wait: Duration,
    /// The most connections that were in use at one time.
    pub peak_used: u32,
    /// The most connections that there may be.
    pub max_size: u32,
    /// Connections that are kept idle at least.
    pub min_idle: u32,
    /// How long callers used a connection on average: what the backend took. `None` if no use ended.
    pub backend_latency: Option<Duration>,
}

/// Says when a pool should be larger or smaller, from one sample after the other.
///
/// | what it sees, sample after sample | what it says |
/// |---|---|
/// | waits above the target, all in use, backend not slowing | grow by a tenth |
/// | all in use, backend slowing: more connections would make it worse | shrink by a tenth |
/// | less than half ever in use | shrink by a tenth, until half of it was in use once |
///
/// One piece of advice changes the size by a tenth at most, or by one where a tenth is less, and never beyond
/// the limits of the configuration; then there is none for a while.
#[derive(Clone, Debug)]
pub struct Tuner {
    config: TunerConfig,
    trend: Trend,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// `size` is that of the samples that the streaks count.
    Watching { size: u32, streaks: Streaks },
    /// There was advice: no other before `until`.
    Cooling { until: Instant },
}

/// Samples in a row that each reason for advice has on its side.
#[derive(Clone, Copy, Debug, Default)]
struct Streaks {
    waiting: u32,
    slowing: u32,
    unused: u32,
    /// The most that was in use while `unused` was counted.
    peak: u32,
}

/// What should change, why, and what shows it. Prints as one line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Advice {
    /// Larger or smaller.
    pub change: SizeChange,
    /// Why.
    pub reason: TunerReason,
    /// The figures that it follows from.
    pub evidence: Evidence,
    mode: TunerMode,
}

/// Another size for a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeChange {
    /// More connections may be open.
    Grow {
        /// The size that the pool should have.
        to: u32,
    },
    /// Fewer connections may be open.
    Shrink {
        /// The size that the pool should have.
        to: u32,
    },
}

/// Why a pool should have another size.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TunerReason {
    /// Callers wait too long, all connections are in use, and the backend bears it.
    WaitsTooLong,
    /// All connections are in use and the backend slows down.
    BackendSlows,
    /// Less than half of the connections are ever in use.
    Unused,
}

/// The figures that advice follows from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// The last sample.
    pub sample: TunerSample,
    /// How many samples in a row said the same.
    pub samples: u32,
    /// The most that was in use in those samples.
    pub peak_used: u32,
    /// The usual latency of the backend over its latest: below 1 it slows down.
    pub gradient: f64,
    /// The wait that 95 of 100 callers should stay within.
    pub target_wait: Duration,
}

impl Tuner {
    /// Starts without having seen anything.
    pub fn new(config: TunerConfig) -> Self {
        let state = State::Watching { size: 0, streaks: Streaks::default() };
        Self { config, trend: Trend::default(), state }
    }

    /// Takes the sample that ended at `now`, and says what follows from it and those before, if anything.
    ///
    /// Where the mode is off, nothing ever does.
    pub fn on_sample(&mut self, sample: TunerSample, now: Instant) -> Option<Advice> {
        match self.config.mode {
            TunerMode::Off => return None,
            TunerMode::Observe | TunerMode::Apply => {}
        }
        self.trend.note(sample.backend_latency);
        let mut streaks = self.streaks(sample.max_size, now)?;
        streaks.note(&sample, &self.config, &self.trend);
        self.state = State::Watching { size: sample.max_size, streaks };

        let advice = self.advice(&sample, &streaks)?;
        let cool_down = self.config.cool_down;
        self.state = State::Cooling { until: now.checked_add(cool_down).unwrap_or(now) };
        Some(advice)
    }

    /// Takes another configuration; what was seen before still counts.
    pub fn set_config(&mut self, config: TunerConfig) {
        self.config = config;
    }

    /// The streaks up to now; none while cooling down. Those of another size say nothing about this one.
    fn streaks(&self, size: u32, now: Instant) -> Option<Streaks> {
        match self.state {
            State::Watching { size: before, streaks } if before == size => Some(streaks),
            State::Cooling { until } if now < until => None,
            State::Watching { .. } | State::Cooling { .. } => Some(Streaks::default()),
        }
    }

    fn advice(&self, sample: &TunerSample, streaks: &Streaks) -> Option<Advice> {
        let (reason, samples, change) = self
            .when_slowing(sample, streaks)
            .or_else(|| self.when_waiting(sample, streaks))
            .or_else(|| self.when_unused(sample, streaks))?;
        let peak_used = sample.peak_used.max(streaks.peak);
        let (gradient, target_wait) = (self.trend.gradient(), self.config.target_wait);
        let evidence = Evidence { sample: *sample, samples, peak_used, gradient, target_wait };
        Some(Advice { change, reason, evidence, mode: self.config.mode })
    }

    fn when_slowing(&self, sample: &TunerSample, streaks: &Streaks) -> Option<Verdict> {
        let ripe = streaks.slowing >= self.config.yield_after.max(1);
        let change = ripe.then(|| self.shrink(sample))??;
        Some((TunerReason::BackendSlows, streaks.slowing, change))
    }

    fn when_waiting(&self, sample: &TunerSample, streaks: &Streaks) -> Option<Verdict> {
        let to = sample.max_size.saturating_add(step(sample.max_size)).min(self.config.max_size);
        let ripe = streaks.waiting >= self.config.grow_after.max(1) && to > sample.max_size;
        ripe.then_some((TunerReason::WaitsTooLong, streaks.waiting, SizeChange::Grow { to }))
    }

    fn when_unused(&self, sample: &TunerSample, streaks: &Streaks) -> Option<Verdict> {
        let ripe = streaks.unused >= self.config.shrink_after.max(1);
        let change = ripe.then(|| self.shrink(sample))??;
        Some((TunerReason::Unused, streaks.unused, change))
    }

    /// A step down, but not below what the pool needs at least.
    fn shrink(&self, sample: &TunerSample) -> Option<SizeChange> {
        let floor = self.config.min_size.max(sample.min_idle).max(1);
        let to = sample.max_size.saturating_sub(step(sample.max_size)).max(floor);
        (to < sample.max_size).then_some(SizeChange::Shrink { to })
    }
}

/// Why, for how many samples, and what should change.
type Verdict = (TunerReason, u32, SizeChange);

/// The most that one piece of advice changes a size by.
fn step(size: u32) -> u32 {
    (size / 10).max(1)
}

impl Streaks {
    fn note(&mut self, sample: &TunerSample, config: &TunerConfig, trend: &Trend) {
        let all_used = sample.peak_used >= sample.max_size;
        let slowing = trend.gradient() < config.gradient;
        let waiting = sample.p95_wait > config.target_wait;
        // If no use ended, the backend may hang: no reason to send it more.
        let bears_more = sample
            .backend_latency
            .is_some_and(|latency| trend.bears_more(latency, config.gradient));
        let unused = u64::from(sample.peak_used) * 2 < u64::from(sample.max_size);

        count(&mut self.waiting, all_used && waiting && bears_more);
        count(&mut self.slowing, all_used && slowing && sample.backend_latency.is_some());
        count(&mut self.unused, unused);
        self.peak = if unused { self.peak.max(sample.peak_used) } else { 0 };
    }
}

fn count(streak: &mut u32, goes_on: bool) {
    *streak = if goes_on { streak.saturating_add(1) } else { 0 };
}

impl Advice {
    /// The size that the pool is to be given now: none if the tuner only observes.
    pub fn new_size(&self) -> Option<u32> {
        match (self.mode, self.change) {
            (TunerMode::Apply, SizeChange::Grow { to } | SizeChange::Shrink { to }) => Some(to),
            (TunerMode::Off | TunerMode::Observe, _) => None,
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Evidence { sample, samples, peak_used, gradient, target_wait } = self.evidence;
        let from = sample.max_size;
        match self.change {
            SizeChange::Grow { to } => write!(f, "grow from {from} to {to}: ")?,
            SizeChange::Shrink { to } => write!(f, "shrink from {from} to {to}: ")?,
        }
        match self.reason {
            TunerReason::WaitsTooLong => write!(
                f,
                "95 % waited up to {:.1?} (target {target_wait:.1?}) with all in use",
                sample.p95_wait
            )?,
            TunerReason::BackendSlows => write!(
                f,
                "all in use and the backend slows down to {:.1?}",
                sample.backend_latency.unwrap_or_default()
            )?,
            TunerReason::Unused => write!(f, "at most {peak_used} in use")?,
        }
        write!(f, ", {samples} samples in a row; latency gradient {gradient:.2}")
    }
}
