//! What a hub's HTTP front answers where it forwards nothing: a status, and why.

use crate::{
    error::ConnectionError,
    tunnel::http::{Broken, Denial, Fault, status_of, with_causes},
};
use http::StatusCode;

/// Why a request that is well-formed was not answered by what it is for.
#[derive(Debug)]
pub(in super::super) enum Denied {
    Malformed(Fault),
    /// Nobody who is known asks for it.
    Unknown,
    /// Who asks may not use the cluster.
    NotAllowed,
    NoRoute,
    /// The user has as many requests under way as it may.
    UserFull {
        limit: u64,
    },
    /// The cluster's agent keeps no order, so that no more than one packet may be sent to it.
    TooLong {
        limit: usize,
    },
    /// The same: another protocol would need more than one.
    NoUpgrade,
    /// The cluster, or what is behind it, was not reached.
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
            Self::Unknown => StatusCode::UNAUTHORIZED,
            Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::UserFull { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoUpgrade => StatusCode::NOT_IMPLEMENTED,
            Self::NotReached(error) => status_of(error),
            Self::Broken(_) => StatusCode::BAD_GATEWAY,
            Self::Silent => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Malformed(fault) => fault.text().into(),
            Self::Unknown => "the hub does not know who asks".into(),
            Self::NotAllowed => "this user may not use this cluster".into(),
            Self::NoRoute => "no route of the hub is for this request".into(),
            Self::UserFull { limit } => format!("this user has {limit} requests under way already"),
            Self::TooLong { limit } => {
                format!(
                    "this cluster's agent keeps no order: a body may have {limit} bytes at most"
                )
            }
            Self::NoUpgrade => {
                "this cluster's agent keeps no order: it cannot carry another protocol".into()
            }
            Self::NotReached(error) => with_causes(error),
            Self::Broken(Broken(why)) => format!("the service broke off: {why}"),
            Self::Silent => "the service has not answered in time".into(),
        }
    }

    fn is_challenge(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}
