//! Where a TCP manager listens, and what it asks of those who connect there.

use super::{
    Config, SourcePrefix,
    backend::is_tls,
    check::{self, LONGEST, SHORTEST},
};
use crate::{address::Address, error::ConnectionError};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where a TCP manager listens, and what it asks of those who connect there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerConfig {
    /// What is listened on; port 0 means a free port. Must be set.
    pub address: Option<Address>,
    /// Connections that came in here at one time, within the manager's `max_connections`; those above wait in the
    /// backlog. Default: as many as the manager lets in. Limits: 1 to 1,000,000.
    pub max_connections: Option<u32>,
    /// Whether a proxy in front says for whom it speaks.
    pub proxy_protocol: AcceptProxyConfig,
    /// How long and how much is waited for to tell what a client speaks.
    pub probe: ProbeConfig,
    /// The backend of what no route takes; unset, the manager's `default_backend`.
    pub default_backend: Option<String>,
}

/// Whether a proxy in front says for whom it speaks, by the PROXY protocol of either version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AcceptProxyConfig {
    /// Default: `off`.
    pub mode: AcceptProxy,
    /// Sources that are believed; Unix sockets and pipes are always. Default: none, so that a header from
    /// anywhere is refused.
    pub trusted: Vec<SourcePrefix>,
    /// Time for a whole header, from the accept. Default: 3 s, which survives one lost packet. Limits: 1 ms
    /// to 365 days. Cost: with `optional`, a client that waits for its server to speak waits this long first.
    #[serde(with = "crate::duration::text")]
    pub timeout: Duration,
}

/// Whether a listener takes a PROXY header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceptProxy {
    /// No header is looked for: one that comes is passed on like any other bytes.
    #[default]
    Off,
    /// A header from a trusted source counts, one from elsewhere is refused, and none is needed.
    Optional,
    /// Every connection must come from a trusted source and start with a header.
    Required,
}

/// How long and how much is waited for to tell what a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeConfig {
    /// Time in all, from the accept or the end of a PROXY header. What is not told by then has no protocol and
    /// goes where nothing else matches, as do clients that wait for their server to speak. Default: 200 ms.
    /// Limits: 1 ms to 365 days. Cost: such a client waits this long first; a slower one of another protocol
    /// is taken for one.
    #[serde(with = "crate::duration::text")]
    pub timeout: Duration,
    /// Bytes that are read ahead at most. Default: 16 KiB. Limits: 64 bytes to 1 MiB. Cost: as much memory
    /// for each client that is being told.
    pub max_bytes: u32,
}

impl Default for AcceptProxyConfig {
    fn default() -> Self {
        let timeout = Duration::from_secs(3);
        Self { mode: AcceptProxy::Off, trusted: Vec::new(), timeout }
    }
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self { timeout: Duration::from_millis(200), max_bytes: 16 << 10 }
    }
}

impl Config for ListenerConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        let Some(address) = &self.address else {
            return check::refuse("address", "must be set".to_owned());
        };
        check::connections(self.max_connections)?;
        if is_tls(address) && self.proxy_protocol.mode != AcceptProxy::Off {
            let reason =
                "no header is read before a handshake of TLS: must be off, or address a plain one";
            return check::refuse("proxy_protocol.mode", reason.to_owned());
        }
        check::within("proxy_protocol", self.proxy_protocol.validate())?;
        check::within("probe", self.probe.validate())
    }
}

impl Config for AcceptProxyConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::duration("timeout", self.timeout, SHORTEST..=LONGEST)?;
        check::number("trusted.length", self.trusted.len(), 0..=1024)
    }
}

impl Config for ProbeConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::duration("timeout", self.timeout, SHORTEST..=LONGEST)?;
        check::number("max_bytes", self.max_bytes, 64..=1 << 20)
    }
}
