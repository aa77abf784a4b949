//! How a program's own resolver is asked where a channel's target is.

use super::{
    Config,
    check::{self, LONGEST, SHORTEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a program's own resolver is asked where a channel's target is. One question is asked at a time; after one that
/// failed the next waits 1 s, by 1.6 more after each, to 30 s, ± 20 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResolverConfig {
    /// Time for an answer. Default: 30 s. Limits: 1 ms to 365 days. Cost: a program that hangs holds up the first calls
    /// for so long.
    #[serde(with = "crate::duration::text")]
    pub timeout: Duration,
    /// Time from an answer until the program is asked again, because addresses do not work. Default: 1 s. Limits: 1 ms to
    /// 365 days.
    #[serde(with = "crate::duration::text")]
    pub min_interval: Duration,
    /// Addresses of an answer. Default: 1000. Limits: 1 to 10,000. Cost: an answer with more is refused, and
    /// some policies connect to each.
    pub max_addresses: u32,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            min_interval: Duration::from_secs(1),
            max_addresses: 1000,
        }
    }
}

impl Config for ResolverConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::duration("timeout", self.timeout, SHORTEST..=LONGEST)?;
        check::duration("min_interval", self.min_interval, SHORTEST..=LONGEST)?;
        check::number("max_addresses", self.max_addresses, 1..=10_000)
    }
}
