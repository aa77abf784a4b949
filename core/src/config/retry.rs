//! What happens to calls: when a failed one is tried again.

use super::{
    Config, ServiceDocument, StatusCode,
    check::{self, LONGEST, SHORTEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What happens to the calls of a connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceConfig {
    /// When a failed call is tried again. Default: see there. Without effect where there is a `document`.
    pub retry_policy: RetryPolicy,
    /// gRPC's service config, the JSON form of `grpc.service_config.ServiceConfig`: timeouts, retries, hedging
    /// and more by method, throttling, balancing. Default: none. Limits: those of gRPC; see
    /// [`ServiceDocument`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<serde_json::Value>,
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
        check::within("retry_policy", self.retry_policy.validate())?;
        let parsed = self.document.as_ref().map(ServiceDocument::from_value);
        check::within("document", parsed.transpose().map(drop))
    }
}
