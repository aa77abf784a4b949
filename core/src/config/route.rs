//! Which backend a connection goes to, by what is known of it.

use super::{Config, SourcePrefix, check};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};

/// Which backend a connection goes to. What is set must all be true of it; what is not set does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// The name of the listener that it came in by.
    pub listener: Option<String>,
    /// What it speaks: `tls`, `http1`, `http2`, `ssh`, `socks5`, `postgresql`, `redis` or `mqtt`.
    pub protocol: Option<String>,
    /// The host that it asks for, by the server name of TLS or the host of HTTP/1: `shop.example`, or
    /// `*.shop.example` for everything below it but not for itself.
    pub host: Option<String>,
    /// A protocol that a client of TLS offers to speak inside (ALPN), such as `h2`.
    pub alpn: Option<String>,
    /// Where it comes from, as a proxy in front announced it where one did: `10.0.0.0/8`, `2001:db8::/32`,
    /// or one address.
    pub source: Option<SourcePrefix>,
    /// The name of the backend. Must be set.
    pub backend: String,
}

impl RouteConfig {
    /// Whether the first bytes must be looked at to tell whether it holds.
    pub(crate) fn needs_probe(&self) -> bool {
        self.protocol.is_some() || self.host.is_some() || self.alpn.is_some()
    }
}

impl Config for RouteConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        if let Some(protocol) = &self.protocol
            && !PROTOCOLS.contains(&protocol.as_str())
        {
            let reason = format!("must be one of {}, is {protocol:?}", PROTOCOLS.join(", "));
            return check::refuse("protocol", reason);
        }
        if let Some(host) = &self.host {
            let name = host.strip_prefix("*.").unwrap_or(host);
            let is_plain =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.:".contains(c);
            if name.is_empty() || name.len() > 253 || !name.chars().all(is_plain) {
                let reason = format!(
                    "must be a host in lower case, with or without *. before it, is {host:?}"
                );
                return check::refuse("host", reason);
            }
        }
        Ok(())
    }
}

/// The names of what a probe can tell of a stream.
pub(crate) const PROTOCOLS: [&str; 8] =
    ["tls", "http1", "http2", "ssh", "socks5", "postgresql", "redis", "mqtt"];
