//! What both ends of a link have in common: windows and limits of HTTP/2, and pings.

use crate::config::{LinkConfig, TimeLimit};
use h2::{Ping, PingPong};
use std::time::Duration;

/// The largest window that HTTP/2 has.
const WINDOW_MAX: u64 = (1 << 31) - 1;

/// The limits of one link.
#[derive(Clone, Copy, Debug)]
pub(in crate::tunnel) struct Limits {
    pub(super) window: u32,
    /// All streams together: as much as each by itself may hold, so that none takes another's share.
    pub(super) link_window: u32,
    pub(super) send_buffer: usize,
    pub(super) streams: u32,
    pub(super) pings: Pings,
}

/// When the peer is asked whether it is still there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pings {
    interval: TimeLimit,
    timeout: Duration,
}

/// Time for which frames of a stream that was given up are still known to belong to it.
pub(super) const RESET_MEMORY: Duration = Duration::from_secs(10);
/// Requests that an agent hears beyond its limit, to refuse them at once: without room on the link they would wait.
pub(super) const SPARE: u32 = 256;
/// Headers of a request or an answer have at most this many bytes.
pub(super) const HEADERS_MAX: u32 = 8 << 10;

impl Limits {
    pub(in crate::tunnel) fn new(config: &LinkConfig, streams: u32) -> Self {
        let link_window = u64::from(config.window) * u64::from(streams);
        Self {
            window: config.window,
            link_window: link_window.clamp(1 << 16, WINDOW_MAX) as u32,
            send_buffer: config.send_buffer as usize,
            streams,
            pings: Pings { interval: config.ping_interval, timeout: config.ping_timeout },
        }
    }
}

impl Pings {
    /// Ends when the peer has not answered in time.
    pub(super) async fn silence(self, pings: Option<PingPong>) {
        let (Some(mut pings), Some(interval)) = (pings, self.interval.duration()) else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(interval).await;
            match tokio::time::timeout(self.timeout, pings.ping(Ping::opaque())).await {
                Ok(Ok(_)) => {}
                // The link ends by itself, and says why.
                Ok(Err(_)) => std::future::pending().await,
                Err(_) => return,
            }
        }
    }
}
