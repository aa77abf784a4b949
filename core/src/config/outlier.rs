//! When an endpoint that fails more than its peers is left out for a while.

use super::{
    Config,
    check::{self, LONGEST, SHORTEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When an endpoint that fails more than its peers is left out for a while. Defaults are those of gRPC's
/// outlier detection (gRFC A50).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutlierConfig {
    /// Time from one sweep over the endpoints to the next; calls are counted per sweep. Default: 10 s.
    /// Limits: 1 ms to 1 day.
    #[serde(with = "crate::duration::text")]
    pub interval: Duration,
    /// Time that an endpoint is left out the first time; the second time in short succession it is twice
    /// that, and so on. Default: 30 s. Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub base_ejection: Duration,
    /// Ceiling of that time, unless `base_ejection` is longer. Default: 300 s. Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub max_ejection: Duration,
    /// Part of the endpoints that may be left out at one time, in percent, rounded down, the next one
    /// included. Default: 10. Limits: 0 to 100.
    pub max_ejection_percent: u32,
    /// Whether one may be left out although `max_ejection_percent` allows none. Default: true. Without it
    /// fewer than ten endpoints at 10 % are never touched.
    pub allow_one: bool,
    /// Those are left out whose success rate is far below the mean of all.
    pub success_rate: SuccessRateConfig,
    /// Those are left out of whose calls too many failed, whatever the others do.
    pub failure_percentage: FailurePercentageConfig,
}

/// Leaves those out whose success rate is far below the mean of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SuccessRateConfig {
    /// Thousandths of the standard deviation that the rate must be below the mean. Default: 1900. Limits:
    /// 0 to 100,000.
    pub stdev_factor: u32,
    /// Chance in percent that a finding has consequences. Default: 100. Limits: 0 (the rule is off) to
    /// 100.
    pub enforcement: u32,
    /// Endpoints with enough calls below which there is no mean. Default: 5. Limits: 1 to 1,000,000.
    pub minimum_hosts: u32,
    /// Calls in an interval that are enough. Default: 100. Limits: 1 to 1,000,000,000.
    pub request_volume: u32,
}

/// Leaves those out of whose calls too many failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailurePercentageConfig {
    /// Percentage of failures above which an endpoint is left out. Default: 85. Limits: 0 to 100.
    pub threshold: u32,
    /// Chance in percent that a finding has consequences. Default: 100. Limits: 0 (the rule is off) to
    /// 100.
    pub enforcement: u32,
    /// Endpoints with enough calls below which nothing is done. Default: 5. Limits: 1 to 1,000,000.
    pub minimum_hosts: u32,
    /// Calls in an interval that are enough. Default: 50. Limits: 1 to 1,000,000,000.
    pub request_volume: u32,
}

impl OutlierConfig {
    /// How long an endpoint is left out whose ejections in short succession are `multiplier`. At most a
    /// year, whatever a configuration that nobody checked says.
    pub fn ejection_time(&self, multiplier: u32) -> Duration {
        let ceiling = self.base_ejection.max(self.max_ejection).min(LONGEST);
        self.base_ejection.checked_mul(multiplier).map_or(ceiling, |time| time.min(ceiling))
    }

    /// How many of `total` endpoints may be left out at one time.
    pub fn cap(&self, total: usize) -> usize {
        let percent = self.max_ejection_percent.min(100) as usize;
        let share = (total as u128 * percent as u128 / 100) as usize;
        share.max(usize::from(self.allow_one)).min(total)
    }
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            max_ejection_percent: 10,
            allow_one: true,
            success_rate: SuccessRateConfig::default(),
            failure_percentage: FailurePercentageConfig::default(),
        }
    }
}

impl Default for SuccessRateConfig {
    fn default() -> Self {
        Self { stdev_factor: 1900, enforcement: 100, minimum_hosts: 5, request_volume: 100 }
    }
}

impl Default for FailurePercentageConfig {
    fn default() -> Self {
        Self { threshold: 85, enforcement: 100, minimum_hosts: 5, request_volume: 50 }
    }
}

impl Config for OutlierConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::duration("interval", self.interval, SHORTEST..=Duration::from_secs(24 * 3600))?;
        check::duration("base_ejection", self.base_ejection, SHORTEST..=LONGEST)?;
        check::duration("max_ejection", self.max_ejection, SHORTEST..=LONGEST)?;
        check::number("max_ejection_percent", self.max_ejection_percent, 0..=100)?;
        check::within("success_rate", self.success_rate.validate())?;
        check::within("failure_percentage", self.failure_percentage.validate())
    }
}

impl Config for SuccessRateConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("stdev_factor", self.stdev_factor, 0..=100_000)?;
        check::number("enforcement", self.enforcement, 0..=100)?;
        check::number("minimum_hosts", self.minimum_hosts, 1..=1_000_000)?;
        check::number("request_volume", self.request_volume, 1..=1_000_000_000)
    }
}

impl Config for FailurePercentageConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("threshold", self.threshold, 0..=100)?;
        check::number("enforcement", self.enforcement, 0..=100)?;
        check::number("minimum_hosts", self.minimum_hosts, 1..=1_000_000)?;
        check::number("request_volume", self.request_volume, 1..=1_000_000_000)
    }
}
