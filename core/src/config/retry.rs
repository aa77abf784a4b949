//! What happens to calls: when a failed one is tried again.

use super::{
    Config,
    check::{self, LONGEST, SHORTEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What happens to the calls of a connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceConfig {
    /// When a failed call is tried again.
    pub retry_policy: RetryPolicy,
}

/// When a failed call is tried again. Attempts share the deadline of their call.
///
/// The wait before attempt n + 1 is `initial_backoff` × `backoff_multiplier`ⁿ⁻¹, at most
/// `max_backoff`, then ± 20 % by chance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Attempts in all, the first included. Default: 5 (other presets 3). Limits: 1, no retry, to 5.
    /// Cost: a failing service gets up to as many times the load.
    pub max_attempts: u32,
    /// Wait before the second attempt. Default: 1 s (development 500 ms, high throughput 2 s).
    /// Limits: 1 ms to `max_backoff`.
    #[serde(with = "crate::duration::text")]
    pub initial_backoff: Duration,
    /// Longest wait, before chance. Default: 30 s (development 5 s, high throughput 60 s).
    /// Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub max_backoff: Duration,
    /// What each attempt multiplies the wait by. Default: 2 (development 1.5). Limits: 1 to 10.
    pub backoff_multiplier: f64,
    /// Which answers are tried again. Default: UNAVAILABLE, DEADLINE_EXCEEDED and ABORTED
    /// (development the first, high throughput the first two). Limits: at least one, without OK.
    ///
    /// Cost: DEADLINE_EXCEEDED helps only where the server has a shorter deadline than the call.
    pub retryable_status_codes: Vec<StatusCode>,
}

/// How a call ended, by gRPC's numbers and names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(i32)]
pub enum StatusCode {
    /// It succeeded.
    Ok = 0,
    /// The caller gave it up.
    Cancelled = 1,
    /// The server does not say.
    Unknown = 2,
    /// The request makes no sense whatever the server's state.
    InvalidArgument = 3,
    /// Its deadline passed.
    DeadlineExceeded = 4,
    /// What it asks for is not there.
    NotFound = 5,
    /// What it would create is there.
    AlreadyExists = 6,
    /// The caller is known and not allowed to.
    PermissionDenied = 7,
    /// A quota or a size limit is reached.
    ResourceExhausted = 8,
    /// The server's state forbids it until somebody changes that.
    FailedPrecondition = 9,
    /// A conflict with another call; the whole sequence may be tried again.
    Aborted = 10,
    /// Past the end of something.
    OutOfRange = 11,
    /// The server does not offer it.
    Unimplemented = 12,
    /// An invariant of the server or of the transport is broken.
    Internal = 13,
    /// The service cannot be reached now.
    Unavailable = 14,
    /// Data is lost or corrupt beyond repair.
    DataLoss = 15,
    /// The caller is not known.
    Unauthenticated = 16,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 5,
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(30),
            backoff_multiplier: 2.0,
            retryable_status_codes: vec![
                StatusCode::Unavailable,
                StatusCode::DeadlineExceeded,
                StatusCode::Aborted,
            ],
        }
    }
}

impl Config for RetryPolicy {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("max_attempts", self.max_attempts, 1..=5)?;
        check::duration("max_backoff", self.max_backoff, SHORTEST..=LONGEST)?;
        check::duration("initial_backoff", self.initial_backoff, SHORTEST..=self.max_backoff)?;
        check::number("backoff_multiplier", self.backoff_multiplier, 1.0..=10.0)?;
        if self.retryable_status_codes.is_empty() {
            return check::refuse("retryable_status_codes", "must name at least one".into());
        }
        if self.retryable_status_codes.contains(&StatusCode::Ok) {
            return check::refuse("retryable_status_codes", "must not name OK".into());
        }
        Ok(())
    }
}

impl Config for ServiceConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::within("retry_policy", self.retry_policy.validate())
    }
}
