//! When a relay lets the kernel move its bytes.

use super::{ByteLimit, Config, check};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};

/// When a relay lets the kernel move bytes from socket to socket (`splice`) instead of copying them itself.
///
/// Only between plain TCP and Unix sockets, and on Linux; everything else is copied. So is what comes while there is no
/// pipe to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpliceConfig {
    /// Bytes that a direction has to carry, without a second of silence, before it is spliced. Default: 1 MiB. Limits:
    /// zero (after the first read) to 2^53, or never. Cost: lower makes a pipe for those who have little to say.
    pub after: ByteLimit,
    /// Pipes at one time; each direction that is spliced takes one. Default: 256. Limits: 1 to 1,000,000. Cost: two
    /// descriptors each, and what they hold of the kernel's memory.
    pub max_pipes: u32,
    /// Bytes that a pipe holds at most. Default: 256 KiB. Limits: 4 KiB to 1 MiB. Cost: larger means fewer system calls
    /// and more memory; who is not privileged is granted 64 MiB for all pipes together, and smaller ones from there on.
    pub pipe_size: u32,
}

impl Default for SpliceConfig {
    fn default() -> Self {
        Self { after: ByteLimit::After(1 << 20), max_pipes: 256, pipe_size: 256 << 10 }
    }
}

impl Config for SpliceConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("after", self.after.bytes().unwrap_or(0), 0..=1 << 53)?;
        check::number("max_pipes", self.max_pipes, 1..=1_000_000)?;
        check::number("pipe_size", self.pipe_size, 4 << 10..=1 << 20)
    }
}
