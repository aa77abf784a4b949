//! How long the addresses of a name are used, and what happens while it cannot be resolved.

use super::{
    BackoffConfig, Config,
    check::{self, LONGEST, SHORTEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long the addresses of a name are used, and what happens while it cannot be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResolveConfig {
    /// Time that an answer is used at least, whatever its TTL. Default: 30 s. Limits: 1 ms to `max_ttl`.
    /// Cost: shorter, and a TTL of 0 makes every connection wait for DNS.
    #[serde(with = "crate::duration::text")]
    pub min_ttl: Duration,
    /// Time that an answer is used at most. Default: 1 h. Limits: 1 ms to 365 days. Cost: longer than an
    /// address moves.
    #[serde(with = "crate::duration::text")]
    pub max_ttl: Duration,
    /// Time since it expired for which an answer is still given at once while a lookup runs. Default:
    /// 30 s. Limits: zero (who asks waits for the lookup) to 365 days.
    #[serde(with = "crate::duration::text")]
    pub stale_while_lookup: Duration,
    /// Time since it expired for which an answer is given if lookups fail. Default: 1 h. Limits: zero to
    /// 365 days.
    #[serde(with = "crate::duration::text")]
    pub stale_if_error: Duration,
    /// Time after which a lookup that told nothing has failed. Default: 5 s. Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub timeout: Duration,
    /// Time between lookups that fail. Default: 1.6 s after the first, by 1.6 more
    /// after each, to 30 s, ± 20 %.
    pub retry: BackoffConfig,
}

impl Default for ResolveConfig {
    fn default() -> Self {
        Self {
            min_ttl: Duration::from_secs(30),
            max_ttl: Duration::from_secs(3600),
            stale_while_lookup: Duration::from_secs(30),
            stale_if_error: Duration::from_secs(3600),
            timeout: Duration::from_secs(5),
            retry: BackoffConfig { max_delay: Duration::from_secs(30), ..BackoffConfig::default() },
        }
    }
}

impl Config for ResolveConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::duration("max_ttl", self.max_ttl, SHORTEST..=LONGEST)?;
        check::duration("min_ttl", self.min_ttl, SHORTEST..=self.max_ttl)?;
        check::duration("stale_while_lookup", self.stale_while_lookup, Duration::ZERO..=LONGEST)?;
        check::duration("stale_if_error", self.stale_if_error, Duration::ZERO..=LONGEST)?;
        check::duration("timeout", self.timeout, SHORTEST..=LONGEST)?;
        check::within("retry", self.retry.validate())
    }
}
