//! gRPC's service config: what its JSON says, parsed once and checked as a whole.

mod balancing;
mod parse;
mod policy;
mod read;
#[cfg(test)]
mod tests;

pub use balancing::{LoadBalancing, WeightedRoundRobin};

use super::{OutlierConfig, RetryPolicy};
use crate::{config::StatusCode, error::ConnectionError};
use serde_json::Value;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// A service config of gRPC, checked.
///
/// Fields that gRPC does not know are ignored, as are `null`s. A known field that is not what it must be
/// refuses the whole document and is named with its path, such as `methodConfig[0].retryPolicy.maxAttempts`.
/// Names of statuses may be in capitals or not, or be numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceDocument {
    methods: HashMap<Name, Arc<MethodConfig>>,
    /// When retries and hedges pause because most calls fail.
    pub retry_throttling: Option<RetryThrottling>,
    /// The service whose health decides whether an address is used; empty for the whole server.
    pub health_check_service: Option<String>,
    /// How calls are spread over addresses.
    pub load_balancing: Option<LoadBalancing>,
    /// When addresses that fail more than the others get no calls for a while.
    pub outlier_detection: Option<OutlierConfig>,
    /// How many addresses are used at most, drawn by chance. Limits: at least 1.
    pub subset_size: Option<u32>,
    /// Connections to each address that calls may be spread over. Limits: 1 to 10; more means 10.
    pub max_connections: Option<u32>,
}

/// What a document says of some methods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MethodConfig {
    /// Whether calls that do not say so themselves wait out failures to connect.
    pub wait_for_ready: Option<bool>,
    /// The longest that a call may take; a caller's own deadline counts too.
    pub timeout: Option<Duration>,
    /// Largest message to the server, in bytes; a channel's own limit counts too.
    pub max_request_message_bytes: Option<u32>,
    /// Largest message from the server, in bytes; a channel's own limit counts too.
    pub max_response_message_bytes: Option<u32>,
    /// What happens to calls that fail, or take long.
    pub policy: Option<CallPolicy>,
}

/// What happens to calls that fail, or take long.
#[derive(Clone, Debug, PartialEq)]
pub enum CallPolicy {
    /// They are tried again.
    Retry(RetryPolicy),
    /// They are sent more than once, and the first answer counts.
    Hedging(HedgingPolicy),
}

/// How often, and how soon, a call is sent again that has no answer yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HedgingPolicy {
    /// Copies in all, the first included. Limits: 2 to 5; more means 5.
    pub max_attempts: u32,
    /// Time without an answer after which the next copy is sent. Zero: all are sent at once.
    pub hedging_delay: Duration,
    /// Answers that do not end the call while other copies are under way.
    pub non_fatal_status_codes: Vec<StatusCode>,
}

/// When retries and hedges pause because most calls fail. Counts are thousandths of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryThrottling {
    /// Most tokens, which is also how many there are at first; retries pause at half of it and below.
    /// Limits: 1,000 to 1,000,000 thousandths.
    pub max_milli_tokens: u32,
    /// What a success gives back; a failure takes 1,000. Limits: at least 1 thousandth.
    pub milli_token_ratio: u32,
}

/// `/service/method`, `/service/` for every method of a service, or empty for every method.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name(Box<str>);

impl ServiceDocument {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] with the path of the field; `json` for what is no JSON.
    pub fn from_json(text: &str) -> Result<Self, ConnectionError> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| ConnectionError::invalid_config("json", error.to_string()))?;
        Self::from_value(&value)
    }

    /// Reads a document that is parsed already.
    ///
    /// # Errors
    ///
    /// As [`from_json`](Self::from_json).
    pub fn from_value(value: &Value) -> Result<Self, ConnectionError> {
        parse::document(value)
    }

    /// A document that says of every method what `policy` says.
    pub fn retrying(policy: &RetryPolicy) -> Self {
        let config = MethodConfig {
            policy: (policy.max_attempts > 1).then(|| CallPolicy::Retry(policy.clone())),
            ..MethodConfig::default()
        };
        Self { methods: HashMap::from([(Name("".into()), Arc::new(config))]), ..Self::default() }
    }

    /// What holds for a method such as `/package.Service/Method`: what is said of it, else of its service,
    /// else of all.
    pub fn method(&self, path: &str) -> Option<&Arc<MethodConfig>> {
        let service = path.rfind('/').map_or("", |end| &path[..=end]);
        [path, service, ""].into_iter().find_map(|name| self.methods.get(name))
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}
