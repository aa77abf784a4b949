//! How a UDP connection manager admits, limits and ends sessions.

use super::{
    Config, TimeLimit,
    check::{self, LONGEST, SHORTEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a UDP connection manager admits, limits and ends sessions.
///
/// A session is what datagrams of one source to one of our addresses belong to. It is *verified* once its client
/// has sent again after an answer went out to it, as one that forged its source cannot know when to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UdpManagerConfig {
    /// Sessions at one time, verified or not. When all places are taken, an unverified session makes room for
    /// a new one; a verified one never does. Default: 2048. Limits: 1 to 1,000,000. Cost: each takes one
    /// descriptor and one local port.
    pub max_sessions: u32,
    /// Unverified sessions at one time, within `max_sessions`. Above it the one that was used least recently makes
    /// room. Default: 1024. Limits: 1 to 1,000,000. Cost: a flood of forged sources keeps so many
    /// descriptors busy.
    pub max_unverified: u32,
    /// Time without a datagram either way after which a verified session ends. Default: 60 s. Limits: 1 ms to
    /// 365 days, or never; sessions are looked at once a second. Cost: never keeps the session of every client
    /// that has gone; shorter than the silence of a protocol breaks it.
    pub idle_timeout: TimeLimit,
    /// The same for sessions that are not verified. Default: 5 s. Limits: 1 ms to 365 days, or never. Cost: a
    /// destination that takes longer to answer finds its client gone.
    pub unverified_timeout: TimeLimit,
    /// How many times the bytes that an unverified source has sent may be sent to it, as QUIC limits it
    /// (RFC 9000, section 8.1). Default: 3. Limits: 1 to 65535, of which the last is as good as none. Cost:
    /// answers above it are dropped; short questions with long answers, as in DNS, need about 100, and then
    /// serve forgers that much.
    pub amplification_limit: u32,
    /// Datagrams that wait for a session's upstream while it is made. Default: 64. Limits: 1 to 65536.
    pub early_datagrams: u32,
    /// Bytes of those. Default: 64 KiB. Limits: 1 KiB to 16 MiB. Cost: a flood of forged sources may hold so
    /// much for each unverified session.
    pub early_bytes: u32,
    /// Time to look a destination's name up and reach it. Default: 5 s. Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub connect_timeout: Duration,
    /// Time that a drain gives sessions to fall silent before it closes them. Default: 30 s. Limits: zero (at
    /// once) to 365 days, or never.
    pub drain_timeout: TimeLimit,
    /// Pause of receiving on a socket on which it keeps failing. Default: 100 ms. Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub receive_pause: Duration,
}

impl Default for UdpManagerConfig {
    fn default() -> Self {
        Self {
            max_sessions: 2048,
            max_unverified: 1024,
            idle_timeout: TimeLimit::secs(60),
            unverified_timeout: TimeLimit::secs(5),
            amplification_limit: 3,
            early_datagrams: 64,
            early_bytes: 64 << 10,
            connect_timeout: Duration::from_secs(5),
            drain_timeout: TimeLimit::secs(30),
            receive_pause: Duration::from_millis(100),
        }
    }
}

impl UdpManagerConfig {
    /// Checks an idle timeout that is given for one relay instead of the configured one.
    pub(crate) fn check_idle_timeout(limit: TimeLimit) -> Result<(), ConnectionError> {
        check::limit("idle_timeout", limit, SHORTEST..=LONGEST)
    }
}

impl Config for UdpManagerConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("max_sessions", self.max_sessions, 1..=1_000_000)?;
        check::number("max_unverified", self.max_unverified, 1..=1_000_000)?;
        Self::check_idle_timeout(self.idle_timeout)?;
        check::limit("unverified_timeout", self.unverified_timeout, SHORTEST..=LONGEST)?;
        check::number("amplification_limit", self.amplification_limit, 1..=65535)?;
        check::number("early_datagrams", self.early_datagrams, 1..=65536)?;
        check::number("early_bytes", self.early_bytes, 1 << 10..=16 << 20)?;
        check::duration("connect_timeout", self.connect_timeout, SHORTEST..=LONGEST)?;
        check::limit("drain_timeout", self.drain_timeout, Duration::ZERO..=LONGEST)?;
        check::duration("receive_pause", self.receive_pause, SHORTEST..=LONGEST)
    }
}
