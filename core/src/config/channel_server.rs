//! How the server half of channels treats its connections.

use super::{
    Config, TimeLimit,
    check::{self, LONGEST, SHORTEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How the server half of channels treats its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelServerConfig {
    /// Age at which a connection is asked to end, ± 10 % by chance: no new calls, those under way go on. Default:
    /// never. Limits: 1 ms to 365 days, or never.
    pub max_connection_age: TimeLimit,
    /// Time that calls have from then on, until they are cut. Default: never. Limits: zero to 365 days, or never.
    pub max_connection_age_grace: TimeLimit,
    /// The least time between the pings of a client. One that asks sooner three times, while nothing is sent to it, loses
    /// its connection to GOAWAY `too_many_pings`. Default: zero, any number is allowed: a channel's
    /// own default is every 10 s. gRPC servers have 5 min. Limits: zero to 365 days.
    #[serde(with = "crate::duration::text")]
    pub min_ping_interval: Duration,
    /// Whether pings are allowed while no call is open; if not, once in 2 h is. Default: false.
    pub permit_pings_without_calls: bool,
    /// Calls that each connection carries at one time. Default: 100. Limits: 1 to 1,000,000.
    pub max_concurrent_streams: u32,
    /// Largest message from a client, in bytes, after decompression. Default: 4 MiB. Limits: 1 to 2 GiB − 1.
    pub max_message_size: u32,
}

impl Default for ChannelServerConfig {
    fn default() -> Self {
        Self {
            max_connection_age: TimeLimit::Never,
            max_connection_age_grace: TimeLimit::Never,
            min_ping_interval: Duration::ZERO,
            permit_pings_without_calls: false,
            max_concurrent_streams: 100,
            max_message_size: 4 << 20,
        }
    }
}

impl Config for ChannelServerConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::limit("max_connection_age", self.max_connection_age, SHORTEST..=LONGEST)?;
        let grace = self.max_connection_age_grace;
        check::limit("max_connection_age_grace", grace, Duration::ZERO..=LONGEST)?;
        check::duration("min_ping_interval", self.min_ping_interval, Duration::ZERO..=LONGEST)?;
        check::number("max_concurrent_streams", self.max_concurrent_streams, 1..=1_000_000)?;
        check::number("max_message_size", self.max_message_size, 1..=i32::MAX as u32)
    }
}
