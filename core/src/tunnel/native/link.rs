//! What both ends of a link have in common: windows and limits of HTTP/2.

use crate::{config::LinkConfig, tunnel::pings::Pings};
use std::time::Duration;

/// The largest frame that is taken: what is written in one piece crosses in one, and no stream keeps the others from
/// their turn for longer.
pub(super) const MAX_FRAME: u32 = 64 << 10;
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
            pings: Pings::new(config),
        }
    }
}
