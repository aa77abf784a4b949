//! When a circuit breaker opens, for how long, and how carefully it closes again.

use super::{
    Config,
    check::{self, LONGEST, SHORTEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When a circuit breaker opens, for how long, and how carefully it closes again.
///
/// It opens at a failure that is the `consecutive_failures`th in a row, or that brings the failures of the
/// window to `failure_ratio` of at least `min_calls` calls. The window is `buckets` × `bucket` long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// Time that one bucket of the window counts. Default: 1 s. Limits: 1 ms to 1 h.
    #[serde(with = "crate::duration::text")]
    pub bucket: Duration,
    /// Buckets of the window; the oldest is forgotten as a whole. Default: 10. Limits: 1 to 100.
    /// Cost: 16 bytes each, per breaker.
    pub buckets: u32,
    /// Part of the window's calls that must have failed. Default: 0.5. Limits: 0.01 to 1.
    pub failure_ratio: f64,
    /// Calls of the window below which their ratio says nothing. Default: 20. Limits: 1 to 1,000,000.
    /// Cost: few, and one unlucky call of a quiet endpoint opens it.
    pub min_calls: u32,
    /// Failures in a row that open it, however few calls there are and however far apart. Default: 7.
    /// Limits: 1 to 1,000,000.
    pub consecutive_failures: u32,
    /// Time that it stays open at first, before jitter. Default: 5 s. Limits: 1 ms to `max_open`.
    #[serde(with = "crate::duration::text")]
    pub open: Duration,
    /// What each further opening without a closing between multiplies that time by. Default: 2. Limits:
    /// 1 to 10.
    pub multiplier: f64,
    /// Ceiling of that time before jitter. Default: 60 s, so that it stays open for 72 s at most. Limits:
    /// `open` to 365 days.
    #[serde(with = "crate::duration::text")]
    pub max_open: Duration,
    /// Part of that time that chance adds or takes away, so that clients of one endpoint do not try it
    /// in step. Default: 0.2, that is ±20 %. Limits: 0 to 1.
    pub jitter: f64,
    /// Calls that are let through at one time when it was open long enough, and successes among them that
    /// close it. Default: 3. Limits: 1 to 100.
    pub probes: u32,
    /// Time after which a probe that told no outcome frees its place. Default: 30 s; best the time limit of
    /// a call. Limits: 1 ms to 365 days. Cost: shorter than calls last, more probes than `probes` run.
    #[serde(with = "crate::duration::text")]
    pub probe_deadline: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            bucket: Duration::from_secs(1),
            buckets: 10,
            failure_ratio: 0.5,
            min_calls: 20,
            consecutive_failures: 7,
            open: Duration::from_secs(5),
            multiplier: 2.0,
            max_open: Duration::from_secs(60),
            jitter: 0.2,
            probes: 3,
            probe_deadline: Duration::from_secs(30),
        }
    }
}

impl BreakerConfig {
    /// How long it stays open when it opens for the `trips`th time since it was last closed. `unit` is a
    /// fresh draw from 0..1.
    ///
    /// Total: any configuration and any draw give some time of at most a year.
    pub fn open_time(&self, trips: u32, unit: f64) -> Duration {
        let doublings = i32::try_from(trips.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.open.as_secs_f64() * self.multiplier.powi(doublings);
        // Jitter multiplies after the ceiling: at the ceiling, too, clients must not return in step.
        let jittered =
            grown.min(self.max_open.as_secs_f64()) * (1.0 + self.jitter * (2.0 * unit - 1.0));
        Duration::try_from_secs_f64(jittered.max(0.0)).unwrap_or(LONGEST).min(LONGEST)
    }
}

impl Config for BreakerConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::duration("bucket", self.bucket, SHORTEST..=Duration::from_secs(3600))?;
        check::number("buckets", self.buckets, 1..=100)?;
        check::number("failure_ratio", self.failure_ratio, 0.01..=1.0)?;
        check::number("min_calls", self.min_calls, 1..=1_000_000)?;
        check::number("consecutive_failures", self.consecutive_failures, 1..=1_000_000)?;
        check::duration("max_open", self.max_open, SHORTEST..=LONGEST)?;
        check::duration("open", self.open, SHORTEST..=self.max_open)?;
        check::number("multiplier", self.multiplier, 1.0..=10.0)?;
        check::number("jitter", self.jitter, 0.0..=1.0)?;
        check::number("probes", self.probes, 1..=100)?;
        check::duration("probe_deadline", self.probe_deadline, SHORTEST..=LONGEST)
    }
}
