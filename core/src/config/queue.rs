//! Who may wait for a place in a backend, and for how long.

use super::{
    Config, TimeLimit,
    check::{self, LONGEST, SHORTEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};

/// Who may wait while a backend has as many connections as it may, and for how long. Places are given in the order in
/// which connections came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueConfig {
    /// Connections that wait at one time; who comes when so many do is reset. Default: 1024. Limits: 0 (nobody waits) to
    /// 1,000,000. Cost: each that waits counts for every other limit.
    pub max_waiting: u32,
    /// Time that a connection waits, before any attempt to connect; then it is reset. Default: 5 s. Limits: 1 ms to
    /// 365 days, or never. Cost: longer than its client has patience serves those who have left.
    pub timeout: TimeLimit,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { max_waiting: 1024, timeout: TimeLimit::secs(5) }
    }
}

impl Config for QueueConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("max_waiting", self.max_waiting, 0..=1_000_000)?;
        check::limit("timeout", self.timeout, SHORTEST..=LONGEST)
    }
}
