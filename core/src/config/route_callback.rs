//! How a program is asked where connections go.

use super::{
    Config,
    check::{self, LONGEST, SHORTEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a program is asked where connections go, where it has said that it wants to be. Whenever there is no answer, the
/// routes decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteCallbackConfig {
    /// Time for an answer. Default: 1 s. Limits: 1 ms to 365 days. Cost: a program that hangs holds each connection up for
    /// so long.
    #[serde(with = "crate::duration::text")]
    pub timeout: Duration,
    /// Connections that it is asked about at one time; of those above it is not asked. Default: 1024. Limits: 1 to
    /// 1,000,000.
    pub max_pending: u32,
    /// Whether the first bytes of every connection are looked at before it is asked, also where no route needs them.
    /// Default: true. Cost: a client that waits for its server to speak waits for the listener's `probe.timeout` first.
    pub probe: bool,
}

impl Default for RouteCallbackConfig {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(1), max_pending: 1024, probe: true }
    }
}

impl Config for RouteCallbackConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::duration("timeout", self.timeout, SHORTEST..=LONGEST)?;
        check::number("max_pending", self.max_pending, 1..=1_000_000)
    }
}
