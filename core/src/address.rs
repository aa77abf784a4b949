//! Where a connection comes from or goes to: one text form, parsed once.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Longest host name that DNS can carry, in bytes (RFC 1035 §2.3.4, without the root's dot).
const HOST_NAME_MAX: usize = 253;
/// Longest path that a Unix socket address holds on Linux, in bytes (`sun_path` less its NUL).
const UNIX_PATH_MAX: usize = 107;
/// Longest name of an in-memory listener, in bytes.
const MEM_NAME_MAX: usize = 255;
/// Longest name of a cluster, in bytes.
const CLUSTER_NAME_MAX: usize = 128;

/// A place to listen on or to connect to.
///
/// ```text
/// tcp://127.0.0.1:80   tcp://[::1]:80   tcp://db.internal:5432     TCP; port 0 listens on a free port
/// tls://db.internal:5432   tls://127.0.0.1:443                     TLS over TCP
/// unix:/run/app.sock   unix:@app                                   Unix socket; `@` is Linux's abstract namespace
/// mem:app                                                          in-memory pipe, within this process
/// udp://127.0.0.1:53   udp://dns.internal:53                       UDP; port 0 binds a free port
/// tunnel:cluster-1                                                 agent of a tunnel; a hub dials it, a network cannot
/// ```
///
/// The scheme is always written: an address says by itself what it reaches.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP at a literal IP address.
    Tcp(SocketAddr),
    /// TCP at a host name, resolved when it is dialled.
    TcpName {
        /// ASCII name of at most 253 bytes.
        host: Box<str>,
        /// Port, 0 only for listening.
        port: u16,
    },
    /// TLS over TCP at a literal IP address, which is also what the server's certificate must be for.
    Tls(SocketAddr),
    /// TLS over TCP at a host name, which is also what the server's certificate must be for.
    TlsName {
        /// As in [`TcpName`](Self::TcpName).
        host: Box<str>,
        /// Port, 0 only for listening.
        port: u16,
    },
    /// Unix socket at a file system path of at most 107 bytes.
    Unix(PathBuf),
    /// Unix socket in Linux's abstract namespace, without its leading NUL.
    Abstract(Box<str>),
    /// In-memory listener of this process.
    Mem(Box<str>),
    /// UDP at a literal IP address.
    Udp(SocketAddr),
    /// UDP at a host name, resolved when it is reached.
    UdpName {
        /// ASCII name of at most 253 bytes.
        host: Box<str>,
        /// Port, 0 only for binding.
        port: u16,
    },
    /// The agents of a cluster, behind a tunnel; [`is_cluster_name`] says which names there are.
    Tunnel(Box<str>),
}

/// A text that is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid address {text:?}: {reason}")]
pub struct AddressError {
    text: Box<str>,
    reason: &'static str,
}

impl Address {
    /// The path of a Unix socket that lives in the file system.
    pub fn unix_path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Tcp(_)
            | Self::TcpName { .. }
            | Self::Tls(_)
            | Self::TlsName { .. }
            | Self::Abstract(_)
            | Self::Mem(_)
            | Self::Udp(_)
            | Self::UdpName { .. }
            | Self::Tunnel(_) => None,
        }
    }

    /// The socket address, where no name has to be resolved first.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) | Self::Tls(address) | Self::Udp(address) => Some(*address),
            Self::TcpName { .. }
            | Self::TlsName { .. }
            | Self::Unix(_)
            | Self::Abstract(_)
            | Self::Mem(_)
            | Self::UdpName { .. }
            | Self::Tunnel(_) => None,
        }
    }

    /// The same place with TLS: `tls://` for `tcp://`, and every other address as it is.
    #[must_use]
    pub fn with_tls(self) -> Self {
        match self {
            Self::Tcp(address) => Self::Tls(address),
            Self::TcpName { host, port } => Self::TlsName { host, port },
            other => other,
        }
    }

    /// The same place below TLS: `tcp://` for `tls://`, and every other address as it is.
    #[must_use]
    pub fn without_tls(self) -> Self {
        match self {
            Self::Tls(address) => Self::Tcp(address),
            Self::TlsName { host, port } => Self::TcpName { host, port },
            other => other,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::TcpName { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Tls(address) => write!(f, "tls://{address}"),
            Self::TlsName { host, port } => write!(f, "tls://{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
            Self::Mem(name) => write!(f, "mem:{name}"),
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::UdpName { host, port } => write!(f, "udp://{host}:{port}"),
            Self::Tunnel(cluster) => write!(f, "tunnel:{cluster}"),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <Box<str>>::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let parsed = if let Some(rest) = text.strip_prefix("tcp://") {
            parse_ip(rest, Self::Tcp, |host, port| Self::TcpName { host, port })
        } else if let Some(rest) = text.strip_prefix("tls://") {
            parse_ip(rest, Self::Tls, |host, port| Self::TlsName { host, port })
        } else if let Some(rest) = text.strip_prefix("udp://") {
            parse_ip(rest, Self::Udp, |host, port| Self::UdpName { host, port })
        } else if let Some(rest) = text.strip_prefix("unix:") {
            parse_unix(rest)
        } else if let Some(rest) = text.strip_prefix("mem:") {
            parse_mem(rest)
        } else if let Some(rest) = text.strip_prefix("tunnel:") {
            parse_tunnel(rest)
        } else {
            Err(
                "expected tcp://host:port, tls://host:port, udp://host:port, unix:/path, unix:@name, mem:name or tunnel:cluster",
            )
        };
        parsed.map_err(|reason| AddressError { text: text.into(), reason })
    }
}

fn parse_ip(
    text: &str,
    literal: impl FnOnce(SocketAddr) -> Address,
    name: impl FnOnce(Box<str>, u16) -> Address,
) -> Result<Address, &'static str> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(literal(address));
    }
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the port is not a number");
    }
    let port = port.parse().map_err(|_| "the port is above 65535")?;
    if host.contains(':') || host.starts_with('[') {
        return Err("an IPv6 address is written as [address]:port");
    }
    let name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.is_empty() || host.len() > HOST_NAME_MAX || !host.bytes().all(name_byte) {
        return Err("the host is no IP address and no host name");
    }
    Ok(name(host.into(), port))
}

fn parse_unix(text: &str) -> Result<Address, &'static str> {
    if text.bytes().any(|byte| byte == 0) {
        return Err("the path holds a NUL byte");
    }
    if text.len() > UNIX_PATH_MAX {
        return Err("the path is longer than 107 bytes");
    }
    match text.strip_prefix('@') {
        Some("") => Err("the abstract name is empty"),
        Some(name) => Ok(Address::Abstract(name.into())),
        None if text.is_empty() => Err("the path is empty"),
        None => Ok(Address::Unix(text.into())),
    }
}

fn parse_mem(text: &str) -> Result<Address, &'static str> {
    if text.is_empty() || text.len() > MEM_NAME_MAX {
        return Err("a name in memory has 1 to 255 bytes");
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("a name in memory has no spaces and no control characters");
    }
    Ok(Address::Mem(text.into()))
}

fn parse_tunnel(text: &str) -> Result<Address, &'static str> {
    if !is_cluster_name(text) {
        return Err(
            "a cluster's name has 1 to 128 letters, digits, '-', '_' and '.', and starts with no '.'",
        );
    }
    Ok(Address::Tunnel(text.into()))
}

/// Whether `text` may name a cluster: 1 to 128 ASCII letters, digits, `-`, `_` and `.`, the first no `.`.
///
/// Names go into logs, metrics and paths, so nothing in them means anything there.
pub fn is_cluster_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=CLUSTER_NAME_MAX).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_survives_a_round_trip() {
        for text in [
            "tcp://127.0.0.1:80",
            "tcp://[::1]:0",
            "tcp://db.internal:5432",
            "tls://[::1]:443",
            "tls://db.internal:5432",
            "unix:/run/app.sock",
            "unix:@app",
            "mem:app",
            "udp://127.0.0.1:53",
            "udp://[::1]:0",
            "udp://dns.internal:53",
            "tunnel:cluster-1",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (text, reason) in [
            ("127.0.0.1:80", "expected tcp://"),
            ("tcp://127.0.0.1", "port is missing"),
            ("tls://127.0.0.1", "port is missing"),
            ("tcp://host:http", "not a number"),
            ("tcp://host:65536", "above 65535"),
            ("tcp://::1:80", "[address]:port"),
            ("tcp://ho st:80", "no host name"),
            ("unix:", "path is empty"),
            ("unix:@", "name is empty"),
            ("mem:", "1 to 255"),
            ("mem:a b", "no spaces"),
            ("udp://::1:53", "[address]:port"),
            ("udp://127.0.0.1", "port is missing"),
            ("tunnel:", "1 to 128"),
            ("tunnel:a/b", "1 to 128"),
            ("tunnel:..", "starts with no"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn tls_is_put_on_and_taken_off_the_same_place() {
        for (plain, secured) in
            [("tcp://[::1]:1", "tls://[::1]:1"), ("tcp://a:1", "tls://a:1"), ("mem:a", "mem:a")]
        {
            let plain: Address = plain.parse().unwrap();
            assert_eq!(plain.clone().with_tls().to_string(), secured);
            assert_eq!(plain.clone().with_tls().without_tls(), plain);
        }
    }

    proptest! {
        #[test]
        fn parsing_is_total_and_what_parses_prints_as_the_same_address(text in ".{0,300}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
            }
        }
    }
}
