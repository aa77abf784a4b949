//! Who a connection is: id, protocol, source, destination, and why it ended.

use crate::address::Address;
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// A number that no other connection of this process has or had. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// Draws the next id.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The id with this number, as it comes back from another language; `None` for zero.
    pub(crate) fn of(number: u64) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }

    /// The number itself, as it crosses into other languages.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What carries the bytes of a connection.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// A TCP socket.
    Tcp,
    /// A Unix stream socket.
    Unix,
    /// An in-memory pipe.
    Pipe,
    /// Datagrams of one source.
    Udp,
    /// TLS over a TCP socket.
    Tls,
    /// A logical connection through a tunnel.
    Tunnel,
}

impl Protocol {
    /// Lower-case name, as in metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Unix => "unix",
            Self::Pipe => "pipe",
            Self::Udp => "udp",
            Self::Tls => "tls",
            Self::Tunnel => "tunnel",
        }
    }
}

/// Which side asked for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The peer connected to a listener of ours.
    Accepted,
    /// We connected to the peer.
    Dialled,
}

impl Direction {
    /// Lower-case name, as in metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Dialled => "dialled",
        }
    }
}

/// Everything about a connection that stays the same while it lives.
#[derive(Clone, Debug)]
pub struct ConnectionContext {
    /// Unique in this process.
    pub id: ConnectionId,
    /// What carries the bytes.
    pub protocol: Protocol,
    /// Which side asked for it.
    pub direction: Direction,
    /// The end that asked for the connection; `None` where it has no name (an unbound Unix socket, a pipe).
    pub source: Option<Address>,
    /// The end that was asked; `None` for the ends of an anonymous pipe.
    pub destination: Option<Address>,
    /// When it stood, on the monotonic clock.
    pub created: Instant,
}

impl ConnectionContext {
    /// The address of the other side, where it has a name.
    pub fn peer(&self) -> Option<&Address> {
        match self.direction {
            Direction::Accepted => self.source.as_ref(),
            Direction::Dialled => self.destination.as_ref(),
        }
    }

    /// The address of this side, where it has a name.
    pub fn local(&self) -> Option<&Address> {
        match self.direction {
            Direction::Accepted => self.destination.as_ref(),
            Direction::Dialled => self.source.as_ref(),
        }
    }
}

/// Why a connection ended. The numbers are part of the ABI and are never reused.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum CloseReason {
    /// Both sides had said all they wanted to: an orderly end.
    Finished = 1,
    /// Closed by the local program while it could still have been used.
    Local = 2,
    /// The peer reset it, or the network broke it.
    Reset = 3,
    /// No byte moved for the idle timeout.
    IdleTimeout = 4,
    /// One side had finished and the other stayed silent for the half-close timeout.
    HalfCloseTimeout = 5,
    /// The destination could not be reached.
    ConnectFailed = 6,
    /// A drain reached its deadline first, or found it waiting for a place of its backend.
    Drained = 7,
    /// Its owner was dropped or its task was cancelled.
    Cancelled = 8,
    /// It made room for another one.
    Evicted = 9,
    /// It was turned away before it reached a backend: no route, or no good PROXY header.
    Refused = 10,
    /// Ended by its number, by this program.
    Killed = 11,
    /// It had lasted for the maximum that was configured.
    MaxDuration = 12,
    /// Its source had as many connections as it may have, or there was no room to count one more source.
    SourceLimit = 13,
    /// Its backend had as many connections as it may have, and no room in its line.
    BackendFull = 14,
    /// It had waited for a place of its backend for as long as it may.
    QueueTimeout = 15,
}

impl CloseReason {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 15] = [
        Self::Finished,
        Self::Local,
        Self::Reset,
        Self::IdleTimeout,
        Self::HalfCloseTimeout,
        Self::ConnectFailed,
        Self::Drained,
        Self::Cancelled,
        Self::Evicted,
        Self::Refused,
        Self::Killed,
        Self::MaxDuration,
        Self::SourceLimit,
        Self::BackendFull,
        Self::QueueTimeout,
    ];

    /// Lower-case name, as in metric labels and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Local => "local",
            Self::Reset => "reset",
            Self::IdleTimeout => "idle_timeout",
            Self::HalfCloseTimeout => "half_close_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::Drained => "drained",
            Self::Cancelled => "cancelled",
            Self::Evicted => "evicted",
            Self::Refused => "refused",
            Self::Killed => "killed",
            Self::MaxDuration => "max_duration",
            Self::SourceLimit => "source_limit",
            Self::BackendFull => "backend_full",
            Self::QueueTimeout => "queue_timeout",
        }
    }

    /// The stable number of this reason.
    pub fn code(self) -> i32 {
        self as i32
    }
}
