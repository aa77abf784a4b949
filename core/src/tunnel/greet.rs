//! Carries the hello and its answer over a stream that just stands.

use super::{
    carrier::Lost,
    hello::{ALPN, HEAD, Head, Hello, Malformed, VERSION, Verdict, is_tls},
};
use crate::{
    address::Address,
    config::TunnelCarrier,
    error::{ConnectionError, Place, Step, TlsFailure, TlsFault},
    transport::Stream,
};
use std::io;
use tonic::Code;

/// What both ends agree on where TLS carries packets: HTTP/2.
const HTTP2: &str = "h2";
/// The first bytes of a client of HTTP/2, as many as the head of a hello has.
const PREFACE: &[u8; HEAD] = b"PRI * HT";

/// Says who the agent is, and hears what the hub says to it.
///
/// # Errors
///
/// What the hub has against it; what broke; over TLS, before anything is said, that no tunnel was agreed on. Dropping
/// the future leaves the stream of no use.
pub(super) async fn introduce(stream: &Stream, hello: &Hello) -> Result<(), ConnectionError> {
    check_agreed(stream, TunnelCarrier::Native)?;
    let hub = stream.context().destination.clone();
    stream.write_all(&hello.to_bytes()).await?;
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

/// The hub's certificate is good, and what it speaks is something else.
#[derive(Debug, thiserror::Error)]
#[error("the peer has not agreed on {0}: it is no hub")]
struct NotAgreed(&'static str);

/// What the ends of a carrier agree on where TLS carries it.
pub(super) fn alpn(carrier: TunnelCarrier) -> &'static str {
    match carrier {
        TunnelCarrier::Native => ALPN,
        TunnelCarrier::Packet => HTTP2,
    }
}

/// Whether TLS, where there is any, was made for this carrier.
pub(super) fn is_agreed(stream: &Stream, carrier: TunnelCarrier) -> bool {
    stream.tls().is_none_or(|session| session.alpn.as_deref() == Some(alpn(carrier)))
}

/// Refuses to say anything to who has agreed on something else.
pub(super) fn check_agreed(stream: &Stream, carrier: TunnelCarrier) -> Result<(), ConnectionError> {
    if is_agreed(stream, carrier) {
        return Ok(());
    }
    let failure = TlsFailure::new(TlsFault::Protocol, NotAgreed(alpn(carrier)));
    let at = Place::at(Step::Connect).to(stream.context().destination.clone());
    Err(ConnectionError::tls(failure, at))
}

/// The error of an agent whose call was not answered by a tunnel.
pub(super) fn not_let_in(lost: Lost, hub: &Address) -> ConnectionError {
    let hub = Some(hub.clone());
    match lost {
        Lost::Status { code: Code::PermissionDenied | Code::Unauthenticated, text } => {
            refused(io::ErrorKind::PermissionDenied, text.into(), hub)
        }
        Lost::Status { code: Code::ResourceExhausted | Code::Unavailable, text } => {
            refused(io::ErrorKind::ConnectionRefused, text.into(), hub)
        }
        Lost::Status { .. } | Lost::Legacy | Lost::Violation(_) | Lost::Malformed(_) => {
            protocol(lost.to_string(), hub)
        }
        Lost::Http(_) | Lost::Silent | Lost::Ended => {
            let at = Place::at(Step::Connect).to(hub).because(lost);
            ConnectionError::ConnectionFailed { at }
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

/// What an agent begins with.
pub(super) enum First {
    Hello(Result<Head, Malformed>),
    /// HTTP/2, and with it packets: these bytes of it were read.
    Http2([u8; HEAD]),
}

/// Hears which carrier an agent speaks.
pub(super) async fn hear_first(stream: &Stream) -> Result<First, ConnectionError> {
    let head = match read_head_bytes(stream).await? {
        Ok(head) => head,
        Err(malformed) => return Ok(First::Hello(Err(malformed))),
    };
    if &head == PREFACE {
        return Ok(First::Http2(head));
    }
    Ok(First::Hello(Head::parse(&head)))
}

/// Hears who an agent is that has begun with a hello. A hello that is none is the inner error.
pub(super) async fn hear_rest(
    stream: &Stream,
    head: Result<Head, Malformed>,
) -> Result<Result<Hello, Malformed>, ConnectionError> {
    let head = match head {
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
        Malformed::Tls => {
            (Verdict::Malformed, "it speaks TLS, which is not spoken at this address".into())
        }
        other => (Verdict::Malformed, other.to_string()),
    }
}

async fn read_head(stream: &Stream) -> Result<Result<Head, Malformed>, ConnectionError> {
    Ok(read_head_bytes(stream).await?.and_then(|head| Head::parse(&head)))
}

async fn read_head_bytes(
    stream: &Stream,
) -> Result<Result<[u8; HEAD], Malformed>, ConnectionError> {
    let mut head = [0; HEAD];
    let mut got = 0;
    while got < HEAD {
        match read_some(stream, &mut head[got..]).await {
            Ok(count) => got += count,
            // The alert of a peer that expects TLS is shorter than a head.
            Err(_) if is_tls(&head[..got]) => return Ok(Err(Malformed::Tls)),
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(head))
}

async fn read_exact(stream: &Stream, mut into: &mut [u8]) -> Result<(), ConnectionError> {
    while !into.is_empty() {
        let count = read_some(stream, into).await?;
        into = &mut into[count..];
    }
    Ok(())
}

/// At least one byte; the end is an error.
async fn read_some(stream: &Stream, into: &mut [u8]) -> Result<usize, ConnectionError> {
    match stream.read(into).await? {
        0 => {
            let at = Place::at(Step::Read).to(stream.context().destination.clone());
            let cause = io::Error::from(io::ErrorKind::UnexpectedEof);
            Err(ConnectionError::ConnectionFailed { at: at.because(cause) })
        }
        count => Ok(count),
    }
}
