//! What a stream speaks, told by its first byte and then by the parser of that one protocol.

use super::{
    Verdict,
    hello::TlsHello,
    http, mqtt,
    postgres::{self, PostgresRequest},
    redis, socks5, tls,
};
use crate::config::PROTOCOLS;
use serde::Serialize;

/// A protocol over a stream, with what its first bytes say of it.
///
/// Protocols in which the server speaks first, such as SMTP or MySQL, have no such bytes: a client of
/// theirs stays silent, and whoever probes stops waiting at a deadline of his own.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "protocol", rename_all = "snake_case")]
pub enum TcpProbedProtocol {
    /// TLS, from a whole ClientHello.
    Tls(TlsHello),
    /// HTTP/1, as far as the host that is asked for.
    #[non_exhaustive]
    Http1 {
        /// The host of the target or of the first Host field: a name in lower case or an IP address,
        /// without port. `None` without one, and for one that is neither.
        host: Option<Box<str>>,
    },
    /// HTTP/2 without TLS, from its preface.
    Http2,
    /// SSH.
    Ssh,
    /// SOCKS5, from a whole greeting.
    Socks5,
    /// PostgreSQL, from its whole first message.
    #[serde(rename = "postgresql")]
    PostgreSql(PostgresRequest),
    /// Redis, from the beginning of its first command.
    Redis,
    /// MQTT.
    #[non_exhaustive]
    Mqtt {
        /// The level of the protocol: 3 for MQTT 3.1, 4 for 3.1.1, 5 for 5.0.
        level: u8,
    },
}

const SSH: &[u8] = b"SSH-";

impl TcpProbedProtocol {
    /// The names of all of them, as in JSON.
    pub const NAMES: [&'static str; 8] = PROTOCOLS;

    /// Looks at all bytes of a stream so far.
    ///
    /// Costs one pass over them: whoever is handed them one by one pays for each pass.
    pub fn probe(bytes: &[u8]) -> Verdict<Self> {
        match bytes.first() {
            None => Verdict::NeedMore,
            Some(&tls::HANDSHAKE) => tls::probe(bytes).map(Self::Tls),
            Some(&socks5::VERSION) => socks5::probe(bytes),
            Some(&mqtt::CONNECT) => mqtt::probe(bytes),
            Some(&redis::ARRAY) => redis::probe(bytes),
            // A message of PostgreSQL starts with its length, which is small.
            Some(0) => postgres::probe(bytes).map(Self::PostgreSql),
            Some(b'S') if bytes.starts_with(SSH) => Verdict::Is(Self::Ssh),
            Some(b'S') if SSH.starts_with(bytes) => Verdict::NeedMore,
            Some(_) => http::probe(bytes),
        }
    }

    /// Lower-case name, as in JSON and in routes.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tls(_) => "tls",
            Self::Http1 { .. } => "http1",
            Self::Http2 => "http2",
            Self::Ssh => "ssh",
            Self::Socks5 => "socks5",
            Self::PostgreSql(_) => "postgresql",
            Self::Redis => "redis",
            Self::Mqtt { .. } => "mqtt",
        }
    }

    /// The host that the client asks for, in lower case: the server name of TLS, the host of HTTP/1.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Tls(hello) => hello.server_name.as_deref(),
            Self::Http1 { host } => host.as_deref(),
            Self::Http2
            | Self::Ssh
            | Self::Socks5
            | Self::PostgreSql(_)
            | Self::Redis
            | Self::Mqtt { .. } => None,
        }
    }

    /// The protocols that a client of TLS offers to speak inside; empty for all others.
    pub fn alpn(&self) -> &[Box<str>] {
        match self {
            Self::Tls(hello) => &hello.alpn,
            Self::Http1 { .. }
            | Self::Http2
            | Self::Ssh
            | Self::Socks5
            | Self::PostgreSql(_)
            | Self::Redis
            | Self::Mqtt { .. } => &[],
        }
    }
}
