//! What failures of connections and of HTTP/2 are in gRPC's statuses.

use crate::{
    address::Address,
    config::StatusCode,
    error::{ConnectionError, Place, RpcStatus, Step, TlsFault},
};
use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;
use std::{
    fmt,
    time::{Duration, Instant},
};
use tonic::{Code, Status};

/// Why no address of a channel carries calls.
#[derive(Clone, Debug)]
pub(super) struct Unreached {
    target: Box<str>,
    addresses: Vec<(Address, Option<ConnectionError>, Option<Duration>)>,
    resolving: Option<ConnectionError>,
}

impl Unreached {
    pub(super) fn new(
        target: &str,
        addresses: Vec<(Address, Option<ConnectionError>, Option<Instant>)>,
        resolving: Option<ConnectionError>,
        now: Instant,
    ) -> Self {
        let left = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(now));
        let addresses =
            addresses.into_iter().map(|(address, why, at)| (address, why, left(at))).collect();
        Self { target: target.into(), addresses, resolving }
    }

    /// Whose fault it is that TLS failed, if that is what failed at every address, in the same way.
    pub(super) fn tls_fault(&self) -> Option<TlsFault> {
        let fault = |(_, why, _): &(_, Option<ConnectionError>, _)| why.as_ref()?.tls_fault();
        let first = self.addresses.first().and_then(fault)?;
        self.addresses.iter().all(|one| fault(one) == Some(first)).then_some(first)
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no address of {} carries calls", self.target)?;
        if let Some(error) = &self.resolving {
            write!(f, ": {}", error.with_causes())?;
        }
        for (nth, (address, why, left)) in self.addresses.iter().enumerate() {
            write!(f, "{} {address}: ", if nth == 0 { ":" } else { ";" })?;
            match why {
                Some(error) => write!(f, "{}", error.with_causes())?,
                None => f.write_str("not reached yet")?,
            }
            if let Some(left) = left {
                write!(f, " (tried again in {:.1} s)", left.as_secs_f64())?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Unreached {}

/// The status of a stream that ended with an error of HTTP/2.
pub(super) fn of_h2(error: &h2::Error) -> Status {
    let code = match error.reason() {
        // The connection went: what it carried may be tried elsewhere.
        _ if error.is_io() || error.is_go_away() => Code::Unavailable,
        Some(Reason::REFUSED_STREAM) => Code::Unavailable,
        Some(Reason::CANCEL) => Code::Cancelled,
        Some(Reason::ENHANCE_YOUR_CALM) => Code::ResourceExhausted,
        Some(Reason::INADEQUATE_SECURITY) => Code::PermissionDenied,
        Some(_) | None => Code::Internal,
    };
    Status::new(code, format!("the peer or the connection ended the call: {error}"))
}

/// The status of an answer that is not gRPC's, by the status of HTTP.
pub(super) fn of_http(status: http::StatusCode) -> Status {
    let code = match status.as_u16() {
        400 | 431 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(code, format!("the answer is HTTP {status} without a status of gRPC"))
}

/// The code in headers or trailers; `None` if there is none. What is no number counts as unknown.
pub(super) fn code_of(headers: &HeaderMap) -> Option<StatusCode> {
    let value = headers.get("grpc-status")?;
    let code = value.to_str().ok().and_then(|text| text.parse().ok());
    Some(code.and_then(StatusCode::from_code).unwrap_or(StatusCode::Unknown))
}

/// The code as the configuration names it.
pub(super) fn code(status: &Status) -> StatusCode {
    StatusCode::from_code(status.code() as i32).unwrap_or(StatusCode::Unknown)
}

/// What a call that ended with `status` fails with. `nothing_sent`: none of it left this process.
pub(super) fn failure(status: Status, nothing_sent: bool) -> ConnectionError {
    let metadata = super::metadata::from_map(status.metadata());
    let status = RpcStatus {
        code: code(&status),
        message: status.message().into(),
        metadata,
        details: Bytes::copy_from_slice(status.details()),
        nothing_sent,
    };
    ConnectionError::rpc(status, Place::at(Step::Call))
}
