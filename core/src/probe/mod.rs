//! Tells from the first bytes of a connection which protocol it speaks, and to whom it wants.
//!
//! ```text
//!   bytes so far ─────▶ TcpProbedProtocol::probe ─┐
//!                                                 ├─▶ Verdict: NeedMore, Is(protocol), Unknown
//!   datagrams so far ─▶ UdpProbedProtocol::probe ─┘
//! ```
//!
//! Each look starts at the first byte and remembers nothing, so how the bytes were cut on their way does
//! not matter: once a beginning has a verdict other than [`Verdict::NeedMore`], whatever follows does not
//! change it. Nothing here reads, waits or answers; whoever asks bounds how long and how much it
//! reads for. No input makes it panic.

mod dns;
mod hello;
mod host;
mod http;
mod mqtt;
mod postgres;
mod quic;
mod redis;
mod socks5;
mod stun;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
mod udp;
mod wireguard;

pub use dns::DnsQuery;
pub use hello::TlsHello;
pub use postgres::PostgresRequest;
pub use tcp::TcpProbedProtocol;
pub use udp::UdpProbedProtocol;

use serde::Serialize;

/// What the bytes so far say.
///
/// As JSON it is one object, such as `{"verdict":"is","protocol":"tls","server_name":"a.example",
/// "alpn":["h2"],"ech":false}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict<P> {
    /// The beginning of something known, too short to tell; also no byte at all.
    NeedMore,
    /// It is this protocol.
    Is(P),
    /// None of those that are known, or one of them with a mistake in it.
    Unknown,
}

impl<P> Verdict<P> {
    /// Puts what was found into something else.
    pub(crate) fn map<Q>(self, wrap: impl FnOnce(P) -> Q) -> Verdict<Q> {
        match self {
            Self::NeedMore => Verdict::NeedMore,
            Self::Is(found) => Verdict::Is(wrap(found)),
            Self::Unknown => Verdict::Unknown,
        }
    }

    /// The protocol, where there is one.
    pub fn found(self) -> Option<P> {
        match self {
            Self::Is(found) => Some(found),
            Self::NeedMore | Self::Unknown => None,
        }
    }
}

/// Ends a look early: with this verdict instead of a value.
type Looked<T, P> = Result<T, Verdict<P>>;

/// The verdict that a look came to, by either way out.
fn settled<P>(looked: Looked<P, P>) -> Verdict<P> {
    looked.map_or_else(|early| early, Verdict::Is)
}
