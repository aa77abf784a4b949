//! What a manager says of the endpoints of its backends.

use crate::{address::Address, endpoint::Ejection, error::ConnectionError};
use std::{sync::Arc, time::Duration};

/// An endpoint of a backend, as it was seen at one moment.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct LiveEndpoint {
    /// The name of its backend.
    pub backend: Arc<str>,
    /// Where it is.
    pub address: Address,
    /// The name that led there; `None` where its address was given.
    pub host: Option<Box<str>>,
    /// Whether it gets connections, and else what keeps them away.
    pub state: EndpointState,
    /// Since when it is in this state.
    pub state_age: Duration,
    /// Why it is unhealthy, ejected, or its breaker is not closed; `None` in every other state.
    pub reason: Option<EndpointReason>,
    /// Time until it may be in use again, or has its whole weight, where that is known beforehand.
    pub remaining: Option<Duration>,
    /// Connections and attempts to connect that stand.
    pub active: u64,
    /// As it is configured.
    pub weight: u32,
    /// What the policy goes by now: less than `weight` while the endpoint starts slowly, and 0 while it gets nothing. Where so
    /// few are healthy that health is ignored, one that is not has its weight.
    pub effective_weight: f64,
}

/// Whether an endpoint gets connections, and else what keeps them away: the first of these that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndpointState {
    /// It fails its checks.
    Unhealthy,
    /// It failed more than the others, and is left out for a while.
    Ejected,
    /// It kept failing, and is not tried for a while.
    BreakerOpen,
    /// It kept failing, and is tried with a few connections.
    BreakerHalfOpen,
    /// It has weight 0.
    Drained,
    /// It is new or healthy again, and has a part of its weight.
    SlowStart,
    /// It passes its checks.
    Healthy,
    /// No check has said anything, and nothing else speaks against it.
    Unchecked,
}

impl EndpointState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Unhealthy,
        Self::Ejected,
        Self::BreakerOpen,
        Self::BreakerHalfOpen,
        Self::Drained,
        Self::SlowStart,
        Self::Healthy,
        Self::Unchecked,
    ];

    /// Lower-case name, as it crosses into other languages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unhealthy => "unhealthy",
            Self::Ejected => "ejected",
            Self::BreakerOpen => "breaker_open",
            Self::BreakerHalfOpen => "breaker_half_open",
            Self::Drained => "drained",
            Self::SlowStart => "slow_start",
            Self::Healthy => "healthy",
            Self::Unchecked => "unchecked",
        }
    }
}

/// Why an endpoint gets no connections.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointReason {
    /// What it failed at.
    pub kind: ReasonKind,
    /// The step that failed: of a check `resolve`, `connect`, `tls`, `request`, `response`, `status`, `body` or `callback`; of a
    /// connection as [`Step`](crate::Step) names it; of an ejection the rule.
    pub step: &'static str,
    /// In words, with causes.
    pub text: Arc<str>,
}

/// What an endpoint failed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReasonKind {
    /// Its last check that failed.
    Check,
    /// The last connection that was not made.
    Connect,
    /// What it did beside the others.
    Ejection,
}

impl ReasonKind {
    /// Lower-case name, as it crosses into other languages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Connect => "connect",
            Self::Ejection => "ejection",
        }
    }
}

impl EndpointReason {
    /// A check failed at `step`.
    pub(super) fn of_check(step: &'static str, text: impl Into<Arc<str>>) -> Self {
        Self { kind: ReasonKind::Check, step, text: text.into() }
    }

    /// A check got no connection.
    pub(super) fn of_reaching(error: &ConnectionError) -> Self {
        let step = match error {
            ConnectionError::Tls { .. } => "tls",
            other => other.step().name(),
        };
        Self::of_check(step, error.with_causes().to_string())
    }

    /// A connection was not made.
    pub(super) fn of_connect(error: &ConnectionError) -> Self {
        let text = error.with_causes().to_string().into();
        Self { kind: ReasonKind::Connect, step: error.step().name(), text }
    }

    pub(super) fn of_ejection(why: Ejection) -> Self {
        let calls = why.successes + why.failures;
        let text = format!("{} of {calls} connections failed", why.failures).into();
        Self { kind: ReasonKind::Ejection, step: why.rule.name(), text }
    }
}
