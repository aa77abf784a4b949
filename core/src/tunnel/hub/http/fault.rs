//! What a hub's HTTP front answers where it forwards nothing: a status, and why.

use crate::error::ConnectionError;
use http::StatusCode;

/// What is wrong with a request, as far as its form goes. Nothing of it went anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    BareLineFeed,
    BareReturn,
    Chunk,
    Connect,
    Field,
    Folded,
    HeadTooLong,
    Host,
    Length,
    LengthAndEncoding,
    Path,
    RequestLine,
    TooManyFields,
    TransferEncoding,
    TwoLengths,
    Version,
}

impl Fault {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::HeadTooLong | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::BareLineFeed
            | Self::BareReturn
            | Self::Chunk
            | Self::Field
            | Self::Folded
            | Self::Host
            | Self::Length
            | Self::LengthAndEncoding
            | Self::Path
            | Self::RequestLine
            | Self::TransferEncoding
            | Self::TwoLengths => StatusCode::BAD_REQUEST,
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::BareLineFeed => "a line ends in a line feed without a carriage return",
            Self::BareReturn => "a carriage return is not followed by a line feed",
            Self::Chunk => "a chunk of the body is malformed",
            Self::Connect => "CONNECT is not served here",
            Self::Field => "a header field is malformed",
            Self::Folded => "a header field goes on over a second line",
            Self::HeadTooLong => "the head of the request is too long",
            Self::Host => "the request must have one host, and one that is well-formed",
            Self::Length => "Content-Length is no number",
            Self::LengthAndEncoding => "there are both Content-Length and Transfer-Encoding",
            Self::Path => "the path has dot segments or backslashes, or the request has none",
            Self::RequestLine => "the request line is malformed",
            Self::TooManyFields => "there are too many header fields",
            Self::TransferEncoding => "Transfer-Encoding is not chunked alone, once, in HTTP/1.1",
            Self::TwoLengths => "there are two Content-Lengths",
            Self::Version => "the version is neither HTTP/1.1 nor HTTP/1.0",
        }
    }
}

/// Why a request that is well-formed was not answered by what it is for.
#[derive(Debug)]
pub(super) enum Denied {
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
    /// It was reached, and broke off before it answered, or answered with what is no response.
    Broken(Box<str>),
    /// It was reached, and has not answered in time.
    Silent,
}

impl Denied {
    pub(super) fn status(&self) -> StatusCode {
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

    pub(super) fn text(&self) -> String {
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
            Self::Broken(why) => format!("the service broke off: {why}"),
            Self::Silent => "the service has not answered in time".into(),
        }
    }

    /// Whether the same may work in a moment.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }
}

fn status_of(error: &ConnectionError) -> StatusCode {
    match error {
        ConnectionError::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        ConnectionError::LimitExceeded { .. } | ConnectionError::Closed { .. } => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        error if crate::tunnel::refusal::is_absence(error) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// An error with what is below it, in one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        below = cause.source();
    }
    text
}
