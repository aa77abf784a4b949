//! Why a logical connection was not opened: on the wire an HTTP status, to the caller an error.

use super::carrier::Lost;
use crate::{
    address::Address,
    error::{ConnectionError, Place, Step},
};
use http::StatusCode;
use std::{error::Error, fmt, io};

/// Why an agent opened no connection. Nothing was sent by it in any case.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// The target is not on the agent's list.
    NotAllowed,
    /// No target was named, and nobody listens at the agent.
    NobodyListens,
    /// A limit of the agent is reached.
    Full { limit: u64 },
    /// The agent lets nothing new in.
    Draining,
    /// The target could not be reached.
    NotReached { os_code: Option<i32>, text: Box<str> },
    /// The target did not answer in time.
    TooSlow,
    /// The hub asked for something that this agent does not understand.
    NotUnderstood,
    /// The link was lost, or is about to be closed.
    Lost(Lost),
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::NobodyListens => StatusCode::NOT_FOUND,
            Self::Full { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotReached { .. } => StatusCode::BAD_GATEWAY,
            Self::TooSlow => StatusCode::GATEWAY_TIMEOUT,
            Self::NotUnderstood | Self::Lost(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// The number that goes beside the status.
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Full { limit } => Some(*limit),
            Self::NotReached { os_code, .. } => os_code.and_then(|code| u64::try_from(code).ok()),
            _ => None,
        }
    }

    /// What it is, in a few words, to those who know no status.
    pub(super) fn summary(&self) -> &'static str {
        match self {
            Self::NotAllowed => "the agent does not allow this target",
            Self::NobodyListens => "nobody listens at the agent",
            Self::Full { .. } => "the agent has as many connections as it may",
            Self::Draining => "local connection manager is closing",
            Self::NotReached { .. } => "the target was not reached",
            Self::TooSlow => "the target did not answer in time",
            Self::NotUnderstood => "the agent does not understand the request",
            Self::Lost(_) => "the tunnel was lost",
        }
    }

    /// The text that goes beside the status.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::NotReached { text, .. } => Some(text),
            _ => None,
        }
    }

    /// What a status other than OK says, with the number and the text beside it.
    pub(super) fn of(status: StatusCode, number: Option<u64>, text: &str) -> Self {
        match status {
            StatusCode::FORBIDDEN => Self::NotAllowed,
            StatusCode::NOT_FOUND => Self::NobodyListens,
            StatusCode::TOO_MANY_REQUESTS => Self::Full { limit: number.unwrap_or(0) },
            StatusCode::SERVICE_UNAVAILABLE => Self::Draining,
            StatusCode::BAD_GATEWAY => {
                let os_code = number.and_then(|number| i32::try_from(number).ok());
                Self::NotReached { os_code, text: text.into() }
            }
            StatusCode::GATEWAY_TIMEOUT => Self::TooSlow,
            _ => Self::NotUnderstood,
        }
    }

    /// What a failed dial of a target is to the hub.
    pub(super) fn of_dial(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::Timeout { .. } => Self::TooSlow,
            ConnectionError::ConnectionFailed { .. } if error.os_code() == Some(libc::EACCES) => {
                Self::NotAllowed
            }
            error => Self::NotReached { os_code: error.os_code(), text: error.to_string().into() },
        }
    }

    /// Whether another agent of the cluster may do better.
    pub(super) fn is_elsewhere(&self) -> bool {
        match self {
            Self::Draining | Self::Lost(_) | Self::Full { .. } | Self::NobodyListens => true,
            Self::NotAllowed | Self::NotReached { .. } | Self::TooSlow | Self::NotUnderstood => {
                false
            }
        }
    }

    /// The error for who dialled `address`.
    pub(super) fn error(&self, address: &Address) -> ConnectionError {
        let at = Place::at(Step::Connect).to(Some(address.clone()));
        match self {
            Self::NotAllowed => {
                ConnectionError::invalid_config("target", "the agent does not allow this target")
            }
            Self::NotUnderstood => ConnectionError::Protocol {
                reason: "the agent does not understand the request".into(),
                at,
            },
            Self::Full { limit } => {
                ConnectionError::limit_exceeded("connections at the agent", *limit, at)
            }
            Self::TooSlow => ConnectionError::timeout(None, at),
            Self::NobodyListens => absent(at, "nobody listens at the agent", None),
            Self::Draining => absent(at, "the agent is draining", None),
            Self::Lost(error) => absent(at, "the tunnel was lost", Some(Box::new(error.clone()))),
            Self::NotReached { os_code, text } => {
                let text = format!("at the agent: {}", text.escape_debug());
                let os = os_code.map(io::Error::from_raw_os_error);
                failed(at, text, os.map(|os| os.into()))
            }
        }
    }
}

/// Whether a failed dial through a tunnel means that nobody is there who could serve it, now.
pub(super) fn is_absence(error: &ConnectionError) -> bool {
    let Some(cause) = error.source() else { return false };
    cause.is::<NoAgent>() || cause.downcast_ref::<AgentSays>().is_some_and(|says| says.is_absence)
}

/// No agent of the cluster is connected.
#[derive(Debug, thiserror::Error)]
#[error("no agent of this cluster is connected")]
pub(super) struct NoAgent;

type Cause = Option<Box<dyn Error + Send + Sync>>;

fn failed(at: Place, text: impl Into<Box<str>>, cause: Cause) -> ConnectionError {
    let says = AgentSays { text: text.into(), cause, is_absence: false };
    ConnectionError::ConnectionFailed { at: at.because(says) }
}

fn absent(at: Place, text: &'static str, cause: Cause) -> ConnectionError {
    let says = AgentSays { text: text.into(), cause, is_absence: true };
    ConnectionError::ConnectionFailed { at: at.because(says) }
}

/// A refusal as the cause of an error.
#[derive(Debug)]
struct AgentSays {
    text: Box<str>,
    cause: Cause,
    /// Nobody is there who could serve the connection, now.
    is_absence: bool,
}

impl fmt::Display for AgentSays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for AgentSays {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}
