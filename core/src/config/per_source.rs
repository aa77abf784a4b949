//! How many connections those of one network may have with a manager.

use super::{Config, check};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};

/// How many connections those of one network may have with a manager at one time, so that none takes all places.
///
/// It counts what is relayed, by the address of the client: as a proxy in front announced it where one did. Who has no
/// IP address, on a Unix socket or a pipe, is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PerSourceConfig {
    /// Connections of one network at one time; those above are reset. Default: as many as the manager lets in, and
    /// nothing is counted. Limits: 1 to 1,000,000.
    pub max_connections: Option<u32>,
    /// Leading bits of an IPv4 address that make a network. Default: 32, each address is one of its own. Limits: 0 (all
    /// are one) to 32.
    pub ipv4_prefix: u8,
    /// The same of an IPv6 address. Default: 64, what a single customer has of one as a rule. Limits: 0 to 128.
    pub ipv6_prefix: u8,
    /// Networks that are counted at one time: those with a connection that stands. Default: 65,536. Limits: 1 to
    /// 1,000,000. Cost: about 200 bytes for each that has one.
    pub max_networks: u32,
    /// What becomes of those of a further network. Default: `refuse`.
    pub when_full: SourcesFull,
}

/// What becomes of a connection from a network that there is no more room to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourcesFull {
    /// It is reset.
    #[default]
    Refuse,
    /// It comes in and is not counted, under the other limits alone.
    Admit,
}

impl Default for PerSourceConfig {
    fn default() -> Self {
        Self {
            max_connections: None,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
            max_networks: 65_536,
            when_full: SourcesFull::Refuse,
        }
    }
}

impl Config for PerSourceConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::connections(self.max_connections)?;
        check::number("ipv4_prefix", self.ipv4_prefix, 0..=32)?;
        check::number("ipv6_prefix", self.ipv6_prefix, 0..=128)?;
        check::number("max_networks", self.max_networks, 1..=1_000_000)
    }
}
