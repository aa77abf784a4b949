//! What is wrong with a request, or with what is behind it.

use crate::error::ConnectionError;
use http::StatusCode;

/// What is wrong with a request, as far as its form goes. Nothing of it went anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tunnel) enum Fault {
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
    pub(in crate::tunnel) fn status(self) -> StatusCode {
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

    pub(in crate::tunnel) fn text(self) -> &'static str {
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

/// Why a request got no answer of a service: what is said instead.
pub(in crate::tunnel) trait Denial: From<Fault> + From<Broken> + Send {
    fn status(&self) -> StatusCode;

    /// In one line.
    fn text(&self) -> String;

    /// Whether whoever asks may say who it is.
    fn is_challenge(&self) -> bool;
}

/// The service was reached, and broke off before it answered, or answered with what is no response.
#[derive(Debug)]
pub(in crate::tunnel) struct Broken(pub(in crate::tunnel) Box<str>);

impl Broken {
    pub(in crate::tunnel) fn of(error: &dyn std::error::Error) -> Self {
        Self(with_causes(error).into())
    }

    /// Its response could be read in two ways.
    pub(in crate::tunnel) fn unclear() -> Self {
        Self("its response can be read in two ways".into())
    }
}

/// What a failure to reach a service is to whoever asked.
pub(in crate::tunnel) fn status_of(error: &ConnectionError) -> StatusCode {
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
pub(in crate::tunnel) fn with_causes(error: &dyn std::error::Error) -> String {
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
