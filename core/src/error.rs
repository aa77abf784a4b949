//! The one error of Trunkline: which step, whose fault, where, why, and is a retry safe.

use crate::{
    address::{Address, AddressError},
    status::StatusCode,
};
use bytes::Bytes;
use std::{borrow::Cow, error::Error, fmt, io, sync::Arc, time::Duration};

/// What was being done when an operation failed. The numbers are part of the ABI and are never reused.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Step {
    /// Checking a configuration or an argument.
    Configure = 1,
    /// Looking a host name up.
    Resolve = 2,
    /// Reaching the destination.
    Connect = 3,
    /// Binding the local address.
    Bind = 4,
    /// Taking a connection from a listener.
    Accept = 5,
    /// Taking a connection or a place from a pool.
    Acquire = 6,
    /// Reading.
    Read = 7,
    /// Writing.
    Write = 8,
    /// Ending one direction or the whole connection.
    Shutdown = 9,
    /// Waiting for connections to finish.
    Drain = 10,
    /// Waiting for an event.
    Wait = 11,
    /// Calling a method of a service.
    Call = 12,
}

impl Step {
    /// Lower-case verb, as in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Bind => "bind",
            Self::Accept => "accept",
            Self::Acquire => "acquire",
            Self::Read => "read",
            Self::Write => "write",
            Self::Shutdown => "shutdown",
            Self::Drain => "drain",
            Self::Wait => "wait",
            Self::Call => "call",
        }
    }

    /// The stable number of this step.
    pub fn code(self) -> i32 {
        self as i32
    }
}

/// Why an operation on a connection, listener, manager or pool failed.
///
/// The `Display` text names this level only; walk [`source`](Error::source) for the causes. The text
/// may change in any release: match on the variant, never on the message.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum ConnectionError {
    /// A limit of ours is reached. Nothing was started; later may work.
    LimitExceeded {
        /// What is limited, such as `connections`.
        what: Cow<'static, str>,
        /// The limit that is reached.
        limit: u64,
        /// Where.
        at: Place,
    },
    /// The destination failed so often that it is not tried for a while. Nothing was started.
    CircuitOpen {
        /// When it will be tried again.
        retry_after: Duration,
        /// Where.
        at: Place,
    },
    /// The caller's limit of time has passed.
    Timeout {
        /// How long was waited, where it was measured.
        waited: Option<Duration>,
        /// Where.
        at: Place,
    },
    /// A connection that stood was reset or lost. Bytes may have reached the peer.
    Broken {
        /// Whether it is certain that no byte of the failed operation left this process.
        nothing_sent: bool,
        /// Where.
        at: Place,
    },
    /// The destination refused, or could not be reached.
    ConnectionFailed {
        /// Where.
        at: Place,
    },
    /// The local address could not be bound.
    BindFailed {
        /// Where.
        at: Place,
    },
    /// A failure that only datagrams know.
    Udp {
        /// Which.
        case: UdpCase,
        /// Where.
        at: Place,
    },
    /// The object was closed by this process. Retrying on it cannot succeed.
    Closed {
        /// Where.
        at: Place,
    },
    /// A configuration or an argument is out of its range. Nothing was started.
    InvalidConfig {
        /// The field or argument, such as `backoff.jitter`.
        field: Cow<'static, str>,
        /// What it must be, with the allowed range.
        reason: Cow<'static, str>,
        /// Where.
        at: Place,
    },
    /// TLS did not come about or ended: certificates, names, versions, keys.
    Tls {
        /// Whose fault it is.
        fault: TlsFault,
        /// Where.
        at: Place,
    },
    /// The peer broke the protocol; the connection that carried it is of no more use.
    Protocol {
        /// What it broke.
        reason: Cow<'static, str>,
        /// Where.
        at: Place,
    },
    /// A call ended with a status of gRPC that is not OK.
    Rpc {
        /// The status, with what came with it.
        status: Arc<RpcStatus>,
        /// Where.
        at: Place,
    },
}

/// How a call ended that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcStatus {
    /// gRPC's status.
    pub code: StatusCode,
    /// What the server, or this library, says about it.
    pub message: Box<str>,
    /// What the server sent with it: names in lower case, values of `-bin` names decoded.
    pub metadata: Vec<(Box<str>, Bytes)>,
    /// `grpc-status-details-bin`, decoded; empty if there was none.
    pub details: Bytes,
    /// Whether it is certain that no byte of the call left this process.
    pub nothing_sent: bool,
}

/// Whose fault it is that TLS failed. The numbers are part of the ABI and are never reused.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum TlsFault {
    /// The peer's: its certificate is missing, expired, damaged or not trusted here.
    PeerCertificate = 1,
    /// The peer's, or the address: its certificate is good, and for another name.
    NameMismatch = 2,
    /// Ours: our certificate is expired, does not go with its key, or is refused by the peer.
    OwnCertificate = 3,
    /// The two do not find together, or the peer does not speak TLS or speaks it wrongly.
    Protocol = 4,
}

impl TlsFault {
    /// Lower-case name, as in logs and other languages.
    pub fn name(self) -> &'static str {
        match self {
            Self::PeerCertificate => "peer_certificate",
            Self::NameMismatch => "name_mismatch",
            Self::OwnCertificate => "own_certificate",
            Self::Protocol => "protocol",
        }
    }

    /// The stable number of this fault.
    pub fn code(self) -> i32 {
        self as i32
    }

    fn reason(self) -> &'static str {
        match self {
            Self::PeerCertificate => "the peer's certificate is not acceptable",
            Self::NameMismatch => "the peer's certificate is for another name",
            Self::OwnCertificate => "our own certificate is not acceptable",
            Self::Protocol => "no common TLS with the peer",
        }
    }
}

/// A failure of TLS on its way through [`io::Error`], which [`ConnectionError::from_io`] takes out again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("TLS failed")]
pub struct TlsFailure {
    fault: TlsFault,
    #[source]
    cause: Arc<dyn Error + Send + Sync>,
}

impl TlsFailure {
    /// It is `fault`, because of `cause`.
    pub fn new(fault: TlsFault, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { fault, cause: Arc::new(cause) }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> TlsFault {
        self.fault
    }
}

impl From<TlsFailure> for io::Error {
    fn from(failure: TlsFailure) -> Self {
        Self::new(io::ErrorKind::InvalidData, failure)
    }
}

/// What can go wrong with datagrams alone.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UdpCase {
    /// Every place for a session is taken.
    SessionTableFull,
    /// No session belongs to the datagram's source.
    NoSession,
    /// The datagram was longer than the buffer for it; the rest is lost.
    Truncated,
}

impl UdpCase {
    fn name(self) -> &'static str {
        match self {
            Self::SessionTableFull => "the session table is full",
            Self::NoSession => "no session for this source",
            Self::Truncated => "the datagram was truncated",
        }
    }

    fn is_safe_to_retry(self) -> bool {
        match self {
            Self::SessionTableFull | Self::NoSession => true,
            Self::Truncated => false,
        }
    }
}

/// Where an operation failed: the step, both ends where known, and the cause.
#[derive(Clone, Debug)]
pub struct Place(Box<PlaceFields>);

#[derive(Clone, Debug)]
struct PlaceFields {
    step: Step,
    source: Option<Address>,
    destination: Option<Address>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Place {
    /// A place of which only the step is known yet.
    pub fn at(step: Step) -> Self {
        Self(Box::new(PlaceFields { step, source: None, destination: None, cause: None }))
    }

    /// Names the end that the connection comes from.
    #[must_use]
    pub fn from(mut self, source: Option<Address>) -> Self {
        self.0.source = source;
        self
    }

    /// Names the end that the connection goes to.
    #[must_use]
    pub fn to(mut self, destination: Option<Address>) -> Self {
        self.0.destination = destination;
        self
    }

    /// The same, told as part of another step.
    #[must_use]
    pub(crate) fn during(mut self, step: Step) -> Self {
        self.0.step = step;
        self
    }

    /// Says what lies behind the failure.
    #[must_use]
    pub fn because(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.0.cause = Some(Arc::new(cause));
        self
    }
}

impl ConnectionError {
    /// `what` has reached its `limit`.
    pub fn limit_exceeded(what: impl Into<Cow<'static, str>>, limit: u64, at: Place) -> Self {
        Self::LimitExceeded { what: what.into(), limit, at }
    }

    /// The deadline passed after `waited`.
    pub fn timeout(waited: Option<Duration>, at: Place) -> Self {
        Self::Timeout { waited, at }
    }

    /// A call ended with `status`.
    pub fn rpc(status: RpcStatus, at: Place) -> Self {
        Self::Rpc { status: Arc::new(status), at }
    }

    /// The object was closed by this process.
    pub fn closed(step: Step) -> Self {
        Self::Closed { at: Place::at(step) }
    }

    /// `field` is not what `reason` says it must be.
    pub fn invalid_config(
        field: impl Into<Cow<'static, str>>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::InvalidConfig {
            field: field.into(),
            reason: reason.into(),
            at: Place::at(Step::Configure),
        }
    }

    /// TLS failed.
    pub fn tls(failure: TlsFailure, mut at: Place) -> Self {
        at.0.cause = Some(failure.cause);
        Self::Tls { fault: failure.fault, at }
    }

    /// Whose fault it is that TLS failed, if that is what failed or lies behind the failure.
    pub fn tls_fault(&self) -> Option<TlsFault> {
        match self {
            Self::Tls { fault, .. } => Some(*fault),
            other => other.source()?.downcast_ref::<Self>()?.tls_fault(),
        }
    }

    /// What an I/O error means for a connection that already stood.
    pub fn from_io(cause: io::Error, at: Place) -> Self {
        let cause = match cause.downcast::<TlsFailure>() {
            Ok(failure) => return Self::tls(failure, at),
            Err(cause) => cause,
        };
        match cause.kind() {
            io::ErrorKind::TimedOut => Self::Timeout { waited: None, at: at.because(cause) },
            io::ErrorKind::NotConnected => Self::Closed { at: at.because(cause) },
            _ => Self::Broken { nothing_sent: false, at: at.because(cause) },
        }
    }

    /// Where it happened.
    pub fn place(&self) -> &Place {
        match self {
            Self::LimitExceeded { at, .. }
            | Self::CircuitOpen { at, .. }
            | Self::Timeout { at, .. }
            | Self::Broken { at, .. }
            | Self::ConnectionFailed { at }
            | Self::BindFailed { at }
            | Self::Udp { at, .. }
            | Self::Closed { at }
            | Self::InvalidConfig { at, .. }
            | Self::Tls { at, .. }
            | Self::Protocol { at, .. }
            | Self::Rpc { at, .. } => at,
        }
    }

    /// What was being done.
    pub fn step(&self) -> Step {
        self.place().0.step
    }

    /// The end that the connection comes from, where known.
    pub fn source_address(&self) -> Option<&Address> {
        self.place().0.source.as_ref()
    }

    /// The end that the connection goes to, where known.
    pub fn destination(&self) -> Option<&Address> {
        self.place().0.destination.as_ref()
    }

    /// The text with those of its causes behind it, as in "connection failed: connection refused".
    pub fn with_causes(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| {
            write!(f, "{self}")?;
            let mut cause = Error::source(self);
            while let Some(next) = cause {
                write!(f, ": {next}")?;
                cause = next.source();
            }
            Ok(())
        })
    }

    /// The operating system's error number, where the cause chain has one.
    pub fn os_code(&self) -> Option<i32> {
        let mut next = self.source();
        while let Some(cause) = next {
            if let Some(code) = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error)
            {
                return Some(code);
            }
            next = cause.source();
        }
        None
    }

    /// Whether it is certain that no byte of the operation left this process.
    pub fn is_nothing_sent(&self) -> bool {
        match self {
            Self::Broken { nothing_sent, .. } => *nothing_sent,
            Self::Timeout { .. }
            | Self::Closed { .. }
            | Self::Tls { .. }
            | Self::Protocol { .. } => {
                matches!(
                    self.step(),
                    Step::Configure
                        | Step::Resolve
                        | Step::Connect
                        | Step::Bind
                        | Step::Accept
                        | Step::Acquire
                )
            }
            Self::LimitExceeded { .. }
            | Self::CircuitOpen { .. }
            | Self::ConnectionFailed { .. }
            | Self::BindFailed { .. }
            | Self::InvalidConfig { .. } => true,
            Self::Udp { case, .. } => case.is_safe_to_retry(),
            Self::Rpc { status, .. } => status.nothing_sent,
        }
    }

    /// Whether the same operation may be tried again, on a new connection where this one is gone,
    /// without risk of being applied twice, and with some hope of another result.
    pub fn is_safe_to_retry(&self) -> bool {
        match self {
            Self::LimitExceeded { .. }
            | Self::CircuitOpen { .. }
            | Self::ConnectionFailed { .. } => true,
            Self::Timeout { .. } | Self::Broken { .. } | Self::Rpc { .. } => self.is_nothing_sent(),
            Self::Udp { case, .. } => case.is_safe_to_retry(),
            Self::BindFailed { .. }
            | Self::Closed { .. }
            | Self::InvalidConfig { .. }
            | Self::Tls { .. }
            | Self::Protocol { .. } => false,
        }
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = &self.place().0;
        match self {
            Self::InvalidConfig { field, reason, .. } => return write!(f, "{field}: {reason}"),
            _ => f.write_str(fields.step.name())?,
        }
        if let Some(source) = &fields.source {
            write!(f, " from {source}")?;
        }
        if let Some(destination) = &fields.destination {
            write!(f, " to {destination}")?;
        }
        match self {
            Self::LimitExceeded { what, limit, .. } => {
                write!(f, ": limit of {limit} {what} reached")
            }
            Self::CircuitOpen { retry_after, .. } => {
                write!(f, ": keeps failing, not tried for another {retry_after:.1?}")
            }
            Self::Timeout { waited: Some(waited), .. } => write!(f, ": timed out after {waited:?}"),
            Self::Timeout { waited: None, .. } => f.write_str(": timed out"),
            Self::Broken { .. } => f.write_str(": connection broken"),
            Self::ConnectionFailed { .. } => f.write_str(": connection failed"),
            Self::BindFailed { .. } => f.write_str(": address could not be bound"),
            Self::Udp { case, .. } => write!(f, ": {}", case.name()),
            Self::Closed { .. } => f.write_str(": closed"),
            Self::Tls { fault, .. } => write!(f, ": {}", fault.reason()),
            Self::Protocol { reason, .. } => write!(f, ": peer broke the protocol: {reason}"),
            Self::Rpc { status, .. } if status.message.is_empty() => write!(f, ": {}", status.code),
            Self::Rpc { status, .. } => write!(f, ": {}: {}", status.code, status.message),
            Self::InvalidConfig { .. } => Ok(()),
        }
    }
}

impl Error for ConnectionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.place().0.cause.as_ref().map(|cause| cause.as_ref() as &(dyn Error + 'static))
    }
}

impl From<AddressError> for ConnectionError {
    fn from(error: AddressError) -> Self {
        Self::invalid_config("address", error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> ConnectionError {
        let destination = "tcp://127.0.0.1:1".parse().ok();
        let cause = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        ConnectionError::ConnectionFailed {
            at: Place::at(Step::Connect).to(destination).because(cause),
        }
    }

    #[test]
    fn an_error_says_step_place_and_cause() {
        let error = refused();
        assert_eq!(error.to_string(), "connect to tcp://127.0.0.1:1: connection failed");
        assert_eq!(error.step(), Step::Connect);
        assert_eq!(error.os_code(), Some(libc::ECONNREFUSED));
        assert!(error.is_safe_to_retry());
    }

    #[test]
    fn a_broken_connection_may_be_retried_only_if_nothing_was_sent() {
        let broken =
            |nothing_sent| ConnectionError::Broken { nothing_sent, at: Place::at(Step::Write) };
        assert!(broken(true).is_safe_to_retry());
        assert!(!broken(false).is_safe_to_retry());
    }

    #[test]
    fn a_timeout_may_be_retried_only_before_the_connection_stood() {
        let timeout = |step| ConnectionError::timeout(None, Place::at(step));
        assert!(timeout(Step::Connect).is_safe_to_retry());
        assert!(timeout(Step::Acquire).is_safe_to_retry());
        assert!(!timeout(Step::Read).is_safe_to_retry());
    }

    #[test]
    fn a_tls_failure_comes_through_an_io_error_with_its_fault_and_cause() {
        let failure = TlsFailure::new(TlsFault::NameMismatch, io::Error::other("for example.org"));
        let error = ConnectionError::from_io(failure.into(), Place::at(Step::Connect));
        assert_eq!(error.tls_fault(), Some(TlsFault::NameMismatch));
        assert_eq!(error.to_string(), "connect: the peer's certificate is for another name");
        assert_eq!(error.source().unwrap().to_string(), "for example.org");
        assert!(error.is_nothing_sent() && !error.is_safe_to_retry());
    }

    #[test]
    fn a_bad_config_names_the_field() {
        let error = ConnectionError::invalid_config("backoff.jitter", "must be within 0 and 1");
        assert_eq!(error.to_string(), "backoff.jitter: must be within 0 and 1");
        assert!(!error.is_safe_to_retry());
    }
}
