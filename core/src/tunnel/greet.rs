//! Carries the hello and its answer over a stream that just stands.

use super::hello::{HEAD, Head, Hello, Malformed, VERSION, Verdict};
use crate::{
    address::Address,
    error::{ConnectionError, Place, Step},
    transport::Stream,
};
use std::io;

/// Says who the agent is, and hears what the hub says to it.
///
/// # Errors
///
/// What the hub has against it; what broke. Dropping the future leaves the stream of no use.
pub(super) async fn introduce(stream: &Stream, hello: &Hello) -> Result<(), ConnectionError> {
    stream.write_all(&hello.to_bytes()).await?;
    let hub = stream.context().destination.clone();
    let malformed = |what: Malformed| protocol(format!("the hub's answer: {what}"), hub.clone());
    let head = read_head(stream).await?.map_err(malformed)?;
    let mut text = vec![0; head.length];
    read_exact(stream, &mut text).await?;
    let text = String::from_utf8_lossy(&text).escape_debug().to_string();
    match Verdict::of(head) {
        Some(Verdict::Welcome) => Ok(()),
        Some(Verdict::NotProved) => Err(refused(io::ErrorKind::PermissionDenied, text, hub)),
        Some(Verdict::Full | Verdict::Draining) => {
            Err(refused(io::ErrorKind::ConnectionRefused, text, hub))
        }
        Some(Verdict::OtherVersion | Verdict::Malformed) | None => {
            Err(protocol(format!("the hub refuses the hello: {text}"), hub))
        }
    }
}

fn refused(kind: io::ErrorKind, text: String, hub: Option<Address>) -> ConnectionError {
    let cause = io::Error::new(kind, format!("the hub refuses: {text}"));
    ConnectionError::ConnectionFailed { at: Place::at(Step::Connect).to(hub).because(cause) }
}

fn protocol(reason: String, hub: Option<Address>) -> ConnectionError {
    ConnectionError::Protocol { reason: reason.into(), at: Place::at(Step::Connect).to(hub) }
}

/// Hears who an agent is. A hello that is none is the inner error.
pub(super) async fn hear(stream: &Stream) -> Result<Result<Hello, Malformed>, ConnectionError> {
    let head = match read_head(stream).await? {
        Ok(head) => head,
        Err(malformed) => return Ok(Err(malformed)),
    };
    let mut body = vec![0; head.length];
    read_exact(stream, &mut body).await?;
    let hello = Hello::parse(&body);
    zeroize::Zeroize::zeroize(&mut body);
    Ok(hello)
}

/// Answers a hello.
pub(super) async fn answer(
    stream: &Stream,
    verdict: Verdict,
    text: &str,
) -> Result<(), ConnectionError> {
    stream.write_all(&verdict.to_bytes(text)).await
}

/// What is said to a hello that is none.
pub(super) fn verdict_on(malformed: Malformed) -> (Verdict, String) {
    match malformed {
        Malformed::Version(_) => {
            (Verdict::OtherVersion, format!("this hub speaks version {VERSION}"))
        }
        other => (Verdict::Malformed, other.to_string()),
    }
}

async fn read_head(stream: &Stream) -> Result<Result<Head, Malformed>, ConnectionError> {
    let mut head = [0; HEAD];
    read_exact(stream, &mut head).await?;
    Ok(Head::parse(&head))
}

async fn read_exact(stream: &Stream, mut into: &mut [u8]) -> Result<(), ConnectionError> {
    while !into.is_empty() {
        let count = stream.read(into).await?;
        if count == 0 {
            let at = Place::at(Step::Read).to(stream.context().destination.clone());
            let cause = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(ConnectionError::ConnectionFailed { at: at.because(cause) });
        }
        into = &mut into[count..];
    }
    Ok(())
}
