//! Copies bytes both ways between two streams until both have ended, one broke, or silence lasted too long.
//!
//! ```text
//!   client ── read ──▶ Buffer (≤ buffer_size) ── write ──▶ server
//!          ◀── write ── Buffer (≤ buffer_size) ◀── read ──
//!   or, in bulk between sockets: ── splice ──▶ KernelPipe (≤ pipe_size) ── splice ──▶
//! ```
//!
//! - An orderly end crosses after the last byte; the other direction goes on.
//! - A reset crosses after what the broken side had sent was delivered.
//! - A slow reader stalls its own writer, by the writer's window, and costs one buffer or pipe.
//! - Memory is held only between a read and the write that follows; an idle connection holds no pipe either.
//! - However much there is to carry, others get their turn.
//!
//! One task serves both directions; `state`, `bulk` and `bucket` decide, `driver` and `conduit` act.

mod bucket;
mod buffer;
mod bulk;
mod conduit;
mod driver;
mod pulse;
mod socket;
mod spare;
mod state;
#[cfg(test)]
mod tests;

pub use bucket::Rate;
pub(crate) use driver::Relay;
pub(crate) use pulse::Pulse;
pub use socket::to_socket;

use crate::{
    config::{ByteLimit, SpliceConfig, TcpManagerConfig, TimeLimit},
    context::CloseReason,
    error::ConnectionError,
    transport::{Pipes, Stream},
};

/// One of the two sides of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that asked for the connection.
    Client,
    /// The one that was asked.
    Server,
}

impl Side {
    /// Both sides.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    /// The opposite side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    fn index(self) -> usize {
        self.pick(0, 1)
    }

    fn pick<T>(self, client: T, server: T) -> T {
        match self {
            Self::Client => client,
            Self::Server => server,
        }
    }
}

/// How long a relay bears silence, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// Time without a byte either way after which both sides are closed. Default: 1 h.
    pub idle: TimeLimit,
    /// Time without a byte for the second side to end after the end of the first was delivered. Default:
    /// 60 s. Zero ends both with the first.
    pub half_close: TimeLimit,
    /// Time after which both sides are closed, whatever moves. Default: 365 days.
    pub max_duration: TimeLimit,
    /// Bytes held for each direction at most. Default: 64 KiB. Zero counts as 1.
    pub buffer_size: usize,
    /// Bytes that a direction between two sockets carries, without a second of silence, before the kernel moves them
    /// without copying (Linux). Default: 1 MiB.
    pub splice_after: ByteLimit,
    /// How fast bytes go to the server. Default: as fast as both sides can.
    pub to_server: Rate,
    /// How fast bytes go to the client. Default: as fast as both sides can.
    pub to_client: Rate,
}

impl From<&TcpManagerConfig> for RelayLimits {
    fn from(config: &TcpManagerConfig) -> Self {
        let burst = u64::from(config.bandwidth.burst);
        let rate = |per_second| Rate { per_second, burst };
        Self {
            idle: config.idle_timeout,
            half_close: config.half_close_timeout,
            max_duration: config.max_duration,
            buffer_size: config.buffer_size as usize,
            splice_after: config.splice.after,
            to_server: rate(config.bandwidth.to_server),
            to_client: rate(config.bandwidth.to_client),
        }
    }
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self::from(&TcpManagerConfig::default())
    }
}

/// How a relay ended. Both streams are closed, with the same reason.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct RelayOutcome {
    /// Why.
    pub reason: CloseReason,
    /// The side that was reset or lost first, if one was, and what its stream says of it.
    pub broken: Option<(Side, ConnectionError)>,
    /// Bytes of the client that were written to the server.
    pub to_server: u64,
    /// Bytes of the server that were written to the client.
    pub to_client: u64,
}

/// Copies both ways until it is over, then closes both streams.
///
/// After a timeout or a cut a side is closed in order if everything the other one sent had reached
/// it, and reset if something is missing, so that no one takes a part for the whole.
///
/// # Cancel safety
///
/// Dropping the future ends the relay as a cut does: both streams are closed as
/// [`Cancelled`](CloseReason::Cancelled).
pub async fn relay(client: &Stream, server: &Stream, limits: &RelayLimits) -> RelayOutcome {
    // One for each direction.
    let pipes = Pipes::new(2, SpliceConfig::default().pipe_size as usize);
    Relay::new(client, server, limits).splicing(&pipes).run().await
}
