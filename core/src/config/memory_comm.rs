//! How connections reach the host of an agent: in memory, or over a Unix socket of the agent's own.

use super::{Config, check};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::{os::unix::ffi::OsStrExt, path::PathBuf};

/// How an agent's connections reach its host where they do not come as they are: in memory, or over a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryCommConfig {
    /// Bytes that each direction of a connection in memory holds. Default: 64 KiB. Limits: 1 byte to 1 GiB. Cost: up
    /// to twice as much memory for each connection.
    pub buffer_size: u32,
    /// Connections in memory at one time; the next go over the socket. Default: 1000. Limits: 1 to 1,000,000.
    pub max_connections: u32,
    /// Whether the registry tells the two paths apart. Default: false; the agent's own counts do so always.
    pub enable_metrics: bool,
    /// Where the socket's private directory is made, when the first connection needs it. Default: `/tmp`. Limits: an absolute path
    /// of at most 64 bytes.
    pub socket_directory: PathBuf,
}

impl Default for MemoryCommConfig {
    fn default() -> Self {
        Self {
            buffer_size: 64 << 10,
            max_connections: 1000,
            enable_metrics: false,
            socket_directory: "/tmp".into(),
        }
    }
}

impl Config for MemoryCommConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("buffer_size", self.buffer_size, 1..=1 << 30)?;
        check::number("max_connections", self.max_connections, 1..=1_000_000)?;
        // What a socket's address holds, less the names that are put behind it.
        const LONGEST: usize = 64;
        let path = &self.socket_directory;
        if path.is_absolute() && path.as_os_str().as_bytes().len() <= LONGEST {
            return Ok(());
        }
        let rule = format!("must be an absolute path of at most {LONGEST} bytes");
        check::refuse("socket_directory", format!("{rule}; is {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_out_of_range_are_named() {
        MemoryCommConfig::default().validate().unwrap();
        for (document, field) in [
            (r#"{"buffer_size": 0}"#, "buffer_size"),
            (r#"{"max_connections": 0}"#, "max_connections"),
            (r#"{"socket_directory": "here"}"#, "socket_directory"),
            (&format!(r#"{{"socket_directory": "/{}"}}"#, "x".repeat(64)), "socket_directory"),
        ] {
            let error = MemoryCommConfig::from_json(document).unwrap_err().to_string();
            assert!(error.starts_with(field), "{document}: {error}");
        }
    }
}
