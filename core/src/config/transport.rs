//! How sockets and in-memory pipes are set up.

use super::{
    Config, TimeLimit,
    check::{self, LONGEST, SHORTEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How TCP connections are made and what their sockets are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpConfig {
    /// Whether small writes leave at once (`TCP_NODELAY`). Default: true. Cost: many small writes
    /// become many packets; gather them before writing.
    pub nodelay: bool,
    /// When the kernel asks a silent peer whether it is still there.
    pub keepalive: TcpKeepalive,
    /// How long sent bytes may stay unacknowledged, and unsent bytes may find the peer's window
    /// closed, before the connection is cut (`TCP_USER_TIMEOUT`; Linux, elsewhere without effect).
    /// Default: 5 min. Limits: 1 ms to 24 days, or never (the kernel's own limit, about 15 min, and
    /// none for a closed window).
    ///
    /// Cost: a peer that pauses reading for longer loses the connection. On Linux it also takes the
    /// place of `keepalive.count`.
    pub user_timeout: TimeLimit,
    /// Time to reach any of a destination's addresses, resolving included. Default: 5 s. Limits:
    /// 1 ms to 365 days. Cost: a destination that silently drops packets is given up this late.
    #[serde(with = "crate::duration::text")]
    pub connect_timeout: Duration,
    /// Time that an address has to itself before the next one is tried beside it (RFC 8305).
    /// Default: 250 ms. Limits: zero (all at once) to 365 days. Cost: shorter means more sockets
    /// that are opened and dropped.
    #[serde(with = "crate::duration::text")]
    pub attempt_stagger: Duration,
    /// Connections that the kernel completes and holds before they are accepted. Default: 1024,
    /// of which Linux grants at most `net.core.somaxconn`. Limits: 1 to 65535.
    pub backlog: u32,
}

/// When the kernel asks a silent peer whether it is still there. Whole seconds; parts are rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpKeepalive {
    /// Silence after which the first probe is sent. Default: 60 s. Limits: 1 s to 32767 s, or never.
    /// Cost: a packet each way for each idle connection.
    pub idle: TimeLimit,
    /// Time between probes. Default: 10 s. Limits: 1 s to 32767 s.
    #[serde(with = "crate::duration::text")]
    pub interval: Duration,
    /// Probes without an answer after which the connection is cut. Default: 6. Limits: 1 to 127.
    pub count: u32,
}

/// How in-memory pipes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PipeConfig {
    /// Bytes that each direction holds between writer and reader. Default: 64 KiB. Limits: 1 byte to
    /// 1 GiB. Cost: up to twice as much memory per pipe.
    pub capacity: u32,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            nodelay: true,
            keepalive: TcpKeepalive::default(),
            user_timeout: TimeLimit::secs(5 * 60),
            connect_timeout: Duration::from_secs(5),
            attempt_stagger: Duration::from_millis(250),
            backlog: 1024,
        }
    }
}

impl Config for TcpConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        // The kernel keeps it as an int of milliseconds.
        let longest_user_timeout = Duration::from_secs(24 * 24 * 3600);
        check::within("keepalive", self.keepalive.validate())?;
        check::limit("user_timeout", self.user_timeout, SHORTEST..=longest_user_timeout)?;
        check::duration("connect_timeout", self.connect_timeout, SHORTEST..=LONGEST)?;
        check::duration("attempt_stagger", self.attempt_stagger, Duration::ZERO..=LONGEST)?;
        check::number("backlog", self.backlog, 1..=65535)
    }
}

impl Default for TcpKeepalive {
    fn default() -> Self {
        Self { idle: TimeLimit::secs(60), interval: Duration::from_secs(10), count: 6 }
    }
}

impl Config for TcpKeepalive {
    fn validate(&self) -> Result<(), ConnectionError> {
        let range = Duration::from_secs(1)..=Duration::from_secs(32767);
        check::limit("idle", self.idle, range.clone())?;
        check::duration("interval", self.interval, range)?;
        check::number("count", self.count, 1..=127)
    }
}

impl Default for PipeConfig {
    fn default() -> Self {
        Self { capacity: 64 << 10 }
    }
}

impl Config for PipeConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("capacity", self.capacity, 1..=1 << 30)
    }
}
