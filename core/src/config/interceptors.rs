//! What is done with every call of a channel by interceptors that are there already.

use super::{
    Config, TimeLimit,
    check::{self, LONGEST, SHORTEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Interceptors that are there already. A call passes those that are asked for in this order, and then the program's own; in
/// Python and Go the program's own come first, and what they deny is not seen here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InterceptorsConfig {
    /// Whether calls say who makes them, and on whose behalf. Default: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<CallerConfig>,
    /// Whether calls are logged. Default: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging: Option<CallLogConfig>,
    /// Whether calls are counted by method, as `trunkline_channel_method_*`. Default: false. Cost: a short lock for each
    /// call, and the series of at most 128 methods; calls of others are counted together as `_other`.
    pub metrics: bool,
}

/// How calls say who makes them, and on whose behalf: in metadata, which is a claim and no proof.
///
/// A program that makes a call while it serves another hands the metadata on whose names begin with `prefix`. Then
/// `original-caller` and `request-id` stay, and the program's name is put at the end of `call-chain`. A call of a program
/// that is in the chain already, or whose chain is too long, is not sent and ends with FAILED_PRECONDITION.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallerConfig {
    /// Of this program, as `service-name` says it. Must be given: 1 to 256 printable characters of ASCII without `>`.
    pub name: String,
    /// As `trust-domain` says it. Default: it is not said. Limits: as for `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_domain: Option<String>,
    /// What the names of the metadata begin with. Default: `x-trunkline-`. Limits: 1 to 64 of `a` to `z`, digits, `-`, `_`
    /// and `.`, and not gRPC's own `grpc-`.
    pub prefix: String,
    /// Most names in a chain. Default: 10. Limits: 1 to 100.
    pub max_depth: u32,
}

/// How calls are logged, each with its method: at DEBUG as it begins, with the names of its metadata; as it ends, at INFO if
/// that was with OK and in time, at WARN if it was slow or failed. Messages are never logged, nor are credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallLogConfig {
    /// Time after which a call was slow. Default: 500 ms. Limits: 1 ms to 365 days, or never.
    pub slow: TimeLimit,
    /// Methods that are not logged, such as `/package.Service/Method`. Default: `Check` and `Watch` of gRPC's health
    /// service. Limits: at most 1000.
    pub skip: Vec<String>,
    /// Names of metadata whose values are logged; those of all others are `redacted`. Default: none. Limits: at most 100, in
    /// lower case.
    pub show_metadata: Vec<String>,
}

impl Config for InterceptorsConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        if let Some(caller) = &self.caller {
            check::within("caller", caller.validate())?;
        }
        match &self.logging {
            Some(logging) => check::within("logging", logging.validate()),
            None => Ok(()),
        }
    }
}

impl Default for CallerConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            trust_domain: None,
            prefix: "x-trunkline-".to_owned(),
            max_depth: 10,
        }
    }
}

impl Config for CallerConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        name("name", &self.name)?;
        name("trust_domain", self.trust_domain.as_deref().unwrap_or("none"))?;
        let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        let is_prefix =
            (1..=64).contains(&self.prefix.len()) && self.prefix.bytes().all(is_allowed);
        if !is_prefix || self.prefix.starts_with("grpc-") {
            return check::refuse("prefix", format!("{:?} begins no name", self.prefix));
        }
        check::number("max_depth", self.max_depth, 1..=100)
    }
}

impl Default for CallLogConfig {
    fn default() -> Self {
        let skip = ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"];
        Self {
            slow: TimeLimit::After(Duration::from_millis(500)),
            skip: skip.map(str::to_owned).into(),
            show_metadata: Vec::new(),
        }
    }
}

impl Config for CallLogConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::limit("slow", self.slow, SHORTEST..=LONGEST)?;
        check::number("skip.length", self.skip.len(), 0..=1000)?;
        check::number("show_metadata.length", self.show_metadata.len(), 0..=100)?;
        if let Some(method) = self.skip.iter().find(|method| !method.starts_with('/')) {
            return check::refuse("skip", format!("{method:?} does not begin with /"));
        }
        let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_allowed);
        match self.show_metadata.iter().find(|name| !is_name(name)) {
            Some(name) => {
                check::refuse("show_metadata", format!("{name:?} is no name of metadata"))
            }
            None => Ok(()),
        }
    }
}

fn name(field: &'static str, name: &str) -> Result<(), ConnectionError> {
    let is_allowed = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'>';
    if (1..=256).contains(&name.len()) && name.bytes().all(is_allowed) && name.trim() == name {
        return Ok(());
    }
    check::refuse(field, format!("must be 1 to 256 printable characters without >, is {name:?}"))
}
