//! Between an agent's connections and its host: a pipe or a Unix socket for each, as the host likes, also while it runs.
//!
//! ```text
//!   logical connection ── relay ── MemoryConnection ─┬─ pipe ────────┬─▶ the agent's listener
//!                                                    └─ Unix socket ─┘
//! ```
//!
//! What is on either side of it is the same for both. A path that cannot take a connection leaves it to the other.

mod connection;
mod manager;
mod proxy;
mod split;
mod stats;

pub(super) use connection::MemoryConnection;
pub(super) use manager::MemoryConnManager;
pub use proxy::{
    Answering, CertificateChoice, CertificateProvider, FieldChanges, MemoryProxy, MemoryProxyStats,
    Processed, ProxyHello, ProxyHooks, ProxyRefusal, ProxyRequest, ProxyTarget, RequestProcessor,
    Routed, Router,
};
pub use stats::{CommPathStats, MemoryCommStats};

use crate::context::Protocol;

/// One of the two ways to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Memory,
    Socket,
}

impl Path {
    const ALL: [Self; 2] = [Self::Memory, Self::Socket];

    fn other(self) -> Self {
        match self {
            Self::Memory => Self::Socket,
            Self::Socket => Self::Memory,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Socket => "socket",
        }
    }

    fn protocol(self) -> Protocol {
        match self {
            Self::Memory => Protocol::Pipe,
            Self::Socket => Protocol::Unix,
        }
    }
}
