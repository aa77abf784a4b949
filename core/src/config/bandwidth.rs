//! How fast a relay carries bytes.

use super::{ByteLimit, Config, check};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};

/// How fast a relay carries the bytes of one connection, each way on its own.
///
/// What comes faster waits in the sender: nothing is dropped, and no more is held than without a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BandwidthConfig {
    /// Bytes per second from the client to its server. Default: never limited. Limits: 1 to 2^53, or never.
    pub to_server: ByteLimit,
    /// Bytes per second from the server to its client. Default: never limited. Limits: 1 to 2^53, or never.
    pub to_client: ByteLimit,
    /// Bytes that pass at once after a silence, each way. Default: 64 KiB. Limits: 1 byte to 1 GiB. Cost: smaller makes
    /// more system calls, as no more passes at once.
    pub burst: u32,
}

impl Default for BandwidthConfig {
    fn default() -> Self {
        Self { to_server: ByteLimit::Never, to_client: ByteLimit::Never, burst: 64 << 10 }
    }
}

impl Config for BandwidthConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("to_server", self.to_server.bytes().unwrap_or(1), 1..=1 << 53)?;
        check::number("to_client", self.to_client.bytes().unwrap_or(1), 1..=1 << 53)?;
        check::number("burst", self.burst, 1..=1 << 30)
    }
}
