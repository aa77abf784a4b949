//! When a pool should be larger or smaller, and whether it may change by itself.

use super::{
    Config,
    check::{self, LONGEST, SHORTEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When a pool should be larger or smaller, and whether it may change by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TunerConfig {
    /// What becomes of advice. Default: `observe`.
    pub mode: TunerMode,
    /// Time that one sample covers. Default: 10 s. Limits: 1 ms to 1 day. Cost: shorter, and chance looks
    /// like a trend.
    #[serde(with = "crate::duration::text")]
    pub interval: Duration,
    /// Wait for a connection that 95 of 100 callers should stay within. Default: 10 ms. Limits: zero to 365
    /// days.
    #[serde(with = "crate::duration::text")]
    pub target_wait: Duration,
    /// Samples in a row with longer waits and every connection in use before the pool should grow.
    /// Default: 3. Limits: 1 to 10,000.
    pub grow_after: u32,
    /// Samples in a row with a slowing backend and every connection in use before the pool should shrink.
    /// Default: 2. Limits: 1 to 10,000.
    pub yield_after: u32,
    /// Samples in a row in which less than half was ever in use before the pool should shrink. Default: 30,
    /// that is 5 min. Limits: 1 to 10,000.
    pub shrink_after: u32,
    /// The backend is slowing if its usual latency is less than this part of its latest. Default: 0.9.
    /// Limits: 0.1 to 1. Cost: near 1, chance looks like a slowing backend, and the pool never grows.
    pub gradient: f64,
    /// Time after advice in which there is no other, so that its effect is seen first. Default: 60 s.
    /// Limits: zero to 365 days.
    #[serde(with = "crate::duration::text")]
    pub cool_down: Duration,
    /// Size below which the pool is never advised to go. Default: 1. Limits: 1 to `max_size`.
    pub min_size: u32,
    /// Size above which the pool is never advised to go. Default: 50. Limits: 1 to 1,000,000. Cost: the
    /// backend must bear this many from every process at one time.
    pub max_size: u32,
}

/// What becomes of a tuner's advice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TunerMode {
    /// There is none.
    Off,
    /// It is given with its reason, and changes nothing.
    #[default]
    Observe,
    /// It changes the size of the pool.
    Apply,
}

impl Default for TunerConfig {
    fn default() -> Self {
        Self {
            mode: TunerMode::default(),
            interval: Duration::from_secs(10),
            target_wait: Duration::from_millis(10),
            grow_after: 3,
            yield_after: 2,
            shrink_after: 30,
            gradient: 0.9,
            cool_down: Duration::from_secs(60),
            min_size: 1,
            max_size: 50,
        }
    }
}

impl Config for TunerConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::duration("interval", self.interval, SHORTEST..=Duration::from_secs(24 * 3600))?;
        check::duration("target_wait", self.target_wait, Duration::ZERO..=LONGEST)?;
        check::number("grow_after", self.grow_after, 1..=10_000)?;
        check::number("yield_after", self.yield_after, 1..=10_000)?;
        check::number("shrink_after", self.shrink_after, 1..=10_000)?;
        check::number("gradient", self.gradient, 0.1..=1.0)?;
        check::duration("cool_down", self.cool_down, Duration::ZERO..=LONGEST)?;
        check::number("max_size", self.max_size, 1..=1_000_000)?;
        check::number("min_size", self.min_size, 1..=self.max_size)
    }
}
