//! Asks a peer from time to time whether it is still there.

use crate::config::{LinkConfig, TimeLimit};
use h2::{Ping, PingPong};
use std::time::Duration;

/// When the peer is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pings {
    interval: TimeLimit,
    timeout: Duration,
    /// The peer has complained about more than this.
    least: Duration,
}

impl Pings {
    pub(super) fn new(config: &LinkConfig) -> Self {
        Self { interval: config.ping_interval, timeout: config.ping_timeout, least: Duration::ZERO }
    }

    /// The same, with at least this time between two.
    pub(super) fn no_more_often_than(self, least: Duration) -> Self {
        Self { least, ..self }
    }

    /// Ends when the peer has not answered in time. It is asked no more often than `least` allows.
    pub(super) async fn silence(self, pings: Option<PingPong>, least: impl Fn() -> Duration) {
        let (Some(mut pings), Some(interval)) = (pings, self.interval.duration()) else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(interval.max(self.least).max(least())).await;
            match tokio::time::timeout(self.timeout, pings.ping(Ping::opaque())).await {
                Ok(Ok(_)) => {}
                // The link ends by itself, and says why.
                Ok(Err(_)) => std::future::pending().await,
                Err(_) => return,
            }
        }
    }
}
