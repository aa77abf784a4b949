//! How an endpoint is checked, how often, and how many results in a row are believed.

use super::{
    Config, EndpointCheck,
    check::{self, LONGEST, SHORTEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How an endpoint is checked, how often, and how many results in a row are believed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthConfig {
    /// What a check is. Default: `connect`.
    pub check: EndpointCheck,
    /// Time from the start of one check to the start of the next, before jitter. Default: 10 s. Limits:
    /// 1 ms to 365 days. Cost: shorter loads the endpoints.
    #[serde(with = "crate::duration::text")]
    pub interval: Duration,
    /// Part of `interval` that chance adds or takes away each time, so that endpoints are not checked all
    /// at once. Default: 0.2, that is ±20 %. Limits: 0 to 1.
    pub jitter: f64,
    /// Checks in a row that must pass before an unhealthy endpoint is healthy. Default: 2. Limits: 1 to
    /// 1000.
    pub rise: u32,
    /// Checks in a row that must fail before a healthy endpoint is not. Default: 3. Limits: 1 to 1000.
    pub fall: u32,
    /// Time after which a check has failed. Default: 2 s. Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub timeout: Duration,
}

impl HealthConfig {
    /// Time from the start of a check to the start of the next. `unit` is a fresh draw from 0..1.
    pub fn pause(&self, unit: f64) -> Duration {
        let jittered = self.interval.as_secs_f64() * (1.0 + self.jitter * (2.0 * unit - 1.0));
        Duration::try_from_secs_f64(jittered.max(0.0)).unwrap_or(LONGEST).min(LONGEST)
    }
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            check: EndpointCheck::Connect,
            interval: Duration::from_secs(10),
            jitter: 0.2,
            rise: 2,
            fall: 3,
            timeout: Duration::from_secs(2),
        }
    }
}

impl HealthConfig {
    /// Checks it for endpoints of which one `is_nameless`, without a host of its own.
    pub(super) fn validate_for(&self, is_nameless: bool) -> Result<(), ConnectionError> {
        check::within("check", self.check.validate(is_nameless))?;
        check::duration("interval", self.interval, SHORTEST..=LONGEST)?;
        check::number("jitter", self.jitter, 0.0..=1.0)?;
        check::number("rise", self.rise, 1..=1000)?;
        check::number("fall", self.fall, 1..=1000)?;
        check::duration("timeout", self.timeout, SHORTEST..=LONGEST)
    }
}

impl Config for HealthConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        self.validate_for(false)
    }
}
