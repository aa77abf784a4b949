//! What a memory proxy answers where it passes nothing on: a status, and why.

use super::hooks::ProxyRefusal;
use crate::{
    error::ConnectionError,
    manager::Unanswered,
    tunnel::http::{Broken, Denial, Fault, status_of, with_causes},
};
use http::StatusCode;

/// Why a request got no answer of a service.
#[derive(Debug)]
pub(in crate::tunnel::memory) enum Denied {
    Malformed(Fault),
    NoRoute,
    /// The host says so.
    Refused(ProxyRefusal),
    /// The host does not say what is to become of it.
    Unanswered {
        hook: &'static str,
        why: Unanswered,
    },
    /// What the host says is nothing that can be done.
    Unusable(ConnectionError),
    /// The service was not reached.
    NotReached(ConnectionError),
    Broken(Broken),
    /// It was reached, and has not answered in time.
    Silent,
}

impl From<Fault> for Denied {
    fn from(fault: Fault) -> Self {
        Self::Malformed(fault)
    }
}

impl From<Broken> for Denied {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl Denial for Denied {
    fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(fault) => fault.status(),
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Refused(refusal) => match refusal.status.as_u16() {
                400..600 => refusal.status,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Unanswered { why: Unanswered::NotAsked, .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unanswered { why: Unanswered::TimedOut, .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Unanswered { .. } | Self::Unusable(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotReached(error) => status_of(error),
            Self::Broken(_) => StatusCode::BAD_GATEWAY,
            Self::Silent => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Malformed(fault) => fault.text().into(),
            Self::NoRoute => "no route of the proxy is for this request".into(),
            Self::Refused(refusal) => refusal.text.to_string(),
            // What failed inside of the host is for its log.
            Self::Unanswered { hook, why } => format!("the proxy's {hook} did not answer: {why}"),
            Self::Unusable(error) | Self::NotReached(error) => with_causes(error),
            Self::Broken(Broken(why)) => format!("the service broke off: {why}"),
            Self::Silent => "the service has not answered in time".into(),
        }
    }

    fn is_challenge(&self) -> bool {
        false
    }
}
