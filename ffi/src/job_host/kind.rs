//! What a host is asked for, and what its failures mean to whoever asks.

use crate::{error::trunkline_error_t, job::*, status::*};
use trunkline_core::{ConnectionError, Place, Step};

/// What a job asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobKind {
    Connect,
    Check,
    Reset,
    /// Where a connection goes.
    Route,
    /// Where a channel's target is.
    Resolve,
    /// How an endpoint is.
    CheckEndpoint,
    /// What a memory proxy does.
    Proxy(ProxyHook),
    /// For one of TRUNKLINE_POOL_CLOSE_*.
    Close {
        reason: u32,
    },
}

/// What a memory proxy asks its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyHook {
    /// Where a request goes.
    Route,
    /// Whether it may, and with which fields.
    Process,
    /// Which certificate is shown.
    Certificate,
}

impl JobKind {
    pub(super) fn code(self) -> u32 {
        match self {
            Self::Connect => TRUNKLINE_JOB_CONNECT,
            Self::Check => TRUNKLINE_JOB_CHECK,
            Self::Reset => TRUNKLINE_JOB_RESET,
            Self::Route => TRUNKLINE_JOB_ROUTE,
            Self::Resolve => TRUNKLINE_JOB_RESOLVE,
            Self::CheckEndpoint => TRUNKLINE_JOB_CHECK_ENDPOINT,
            Self::Proxy(ProxyHook::Route) => TRUNKLINE_JOB_PROXY_ROUTE,
            Self::Proxy(ProxyHook::Process) => TRUNKLINE_JOB_PROXY_PROCESS,
            Self::Proxy(ProxyHook::Certificate) => TRUNKLINE_JOB_PROXY_CERTIFICATE,
            Self::Close { .. } => TRUNKLINE_JOB_CLOSE,
        }
    }

    pub(super) fn reason(self) -> u32 {
        match self {
            Self::Close { reason } => reason,
            Self::Connect
            | Self::Check
            | Self::Reset
            | Self::Route
            | Self::Resolve
            | Self::CheckEndpoint
            | Self::Proxy(_) => 0,
        }
    }

    /// As an event carries it.
    pub(super) fn event_value(self) -> u64 {
        u64::from(self.reason()) << 32 | u64::from(self.code())
    }

    pub(super) fn step(self) -> Step {
        match self {
            Self::Connect | Self::CheckEndpoint => Step::Connect,
            Self::Check | Self::Reset => Step::Acquire,
            Self::Route | Self::Proxy(_) => Step::Accept,
            Self::Resolve => Step::Resolve,
            Self::Close { .. } => Step::Shutdown,
        }
    }

    /// What the host's failure of such a job is to the pool. Its text, and what lies behind it, are the cause.
    pub(super) fn failed(self, error: trunkline_error_t) -> ConnectionError {
        let (status, reason) = (error.status(), error.to_string());
        let nothing_sent = error.is_nothing_sent();
        let at = Place::at(self.step()).because(error);
        match (status, self) {
            (TRUNKLINE_E_TIMEOUT, _) => ConnectionError::timeout(None, at),
            (TRUNKLINE_E_BIND_FAILED, _) => ConnectionError::BindFailed { at },
            (TRUNKLINE_E_PROTOCOL, _) => ConnectionError::Protocol { reason: reason.into(), at },
            (TRUNKLINE_E_INVALID_ARGUMENT, _) => ConnectionError::InvalidConfig {
                field: self.step().name().into(),
                reason: reason.into(),
                at,
            },
            (TRUNKLINE_E_BROKEN, _) => ConnectionError::Broken { nothing_sent, at },
            (
                _,
                Self::Connect | Self::Route | Self::Resolve | Self::CheckEndpoint | Self::Proxy(_),
            ) => ConnectionError::ConnectionFailed { at },
            (_, Self::Check | Self::Reset | Self::Close { .. }) => {
                ConnectionError::Broken { nothing_sent, at }
            }
        }
    }
}
