//! When calls are kept away from an address that has enough of them, or that fails.

use super::{BreakerConfig, Config, check};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};

/// When calls are kept away from an address that has enough of them, or that fails. Each address is judged by itself.
///
/// A call goes to another address where there is one. Where every address that is connected to is closed to it, the
/// call ends with UNAVAILABLE at once, also one that waits for ready, and is not tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CircuitConfig {
    /// Calls under way at an address at one time, over all its connections. Default: no limit but those of its server.
    /// Limits: 1 to 2^32 − 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_calls: Option<u32>,
    /// When an address whose calls fail gets none. A call fails here that ends with UNKNOWN, DEADLINE_EXCEEDED,
    /// RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE or DATA_LOSS; one that was given up counts neither way. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerConfig>,
}

impl Config for CircuitConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("max_calls", self.max_calls.unwrap_or(1), 1..=u32::MAX)?;
        match &self.breaker {
            Some(breaker) => check::within("breaker", breaker.validate()),
            None => Ok(()),
        }
    }
}
