//! What is counted of the two ways to an agent's host, side by side.

use super::Path;
use crate::{
    manager::Live,
    metrics::{CellSpec, Ledger, Metrics},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The counts of the two ways to an agent's host, each of one moment. All are zero where connections come as they are.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MemoryCommStats {
    /// The share of new connections that go by memory, from 0 to 1.
    pub memory_share: f64,
    /// Those by a pipe.
    pub memory: CommPathStats,
    /// Those over a Unix socket.
    pub socket: CommPathStats,
}

/// The counts of one way to an agent's host: `opened - closed == active`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommPathStats {
    /// Connections that stand.
    pub active: u64,
    /// Connections that stood.
    pub opened: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Connections that went this way because the other one could not take them.
    pub fallbacks: u64,
    /// Connections that this way could not take: at its limit, or for want of descriptors or of the directory.
    pub failed: u64,
    /// Bytes that came from the host.
    pub bytes_received: u64,
    /// Bytes that went to the host.
    pub bytes_sent: u64,
}

/// The counts of one way.
#[derive(Debug)]
pub(super) struct Counts {
    /// The agent's ends of its connections.
    pub(super) live: Arc<Live>,
    fallbacks: AtomicU64,
    failed: AtomicU64,
    registry: Option<Ledger>,
}

/// The cells of the registry, in their order.
#[derive(Clone, Copy)]
enum Cell {
    Opened = 0,
    Closed = 1,
    Fallbacks = 2,
    Failed = 3,
    Active = 4,
}

impl Counts {
    /// With `metrics`, in the registry too.
    pub(super) fn new(path: Path, metrics: Option<&Metrics>) -> Self {
        let registry = metrics.map(|metrics| {
            let labels = [("path", path.name())];
            let counter = |name, help| CellSpec::counter(name, help, &labels);
            metrics.ledger(&[
                counter(
                    "trunkline_memory_comm_opened_total",
                    "Connections to hosts of agents that stood, by their way.",
                ),
                counter(
                    "trunkline_memory_comm_closed_total",
                    "Connections to hosts of agents that ended, by their way.",
                ),
                counter(
                    "trunkline_memory_comm_fallbacks_total",
                    "Connections that took this way because the other one could not take them.",
                ),
                counter(
                    "trunkline_memory_comm_failed_total",
                    "Connections that this way could not take.",
                ),
                CellSpec::gauge(
                    "trunkline_memory_comm_connections",
                    "Connections to hosts of agents that stand, by their way.",
                    &labels,
                ),
            ])
        });
        Self {
            live: Live::new(),
            fallbacks: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            registry,
        }
    }

    /// A connection went this way.
    pub(super) fn on_opened(&self, is_fallback: bool) -> Standing {
        let mut changes = vec![(Cell::Opened as usize, 1), (Cell::Active as usize, 1)];
        if is_fallback {
            self.fallbacks.fetch_add(1, Ordering::Relaxed);
            changes.push((Cell::Fallbacks as usize, 1));
        }
        self.apply(&changes);
        Standing(self.registry.clone())
    }

    pub(super) fn on_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.apply(&[(Cell::Failed as usize, 1)]);
    }

    fn apply(&self, changes: &[(usize, i64)]) {
        if let Some(registry) = &self.registry {
            registry.apply(changes);
        }
    }

    pub(super) fn read(&self) -> CommPathStats {
        let live = self.live.stats();
        CommPathStats {
            active: live.active,
            opened: live.opened,
            closed: live.closed(),
            fallbacks: self.fallbacks.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            bytes_received: live.bytes_received,
            bytes_sent: live.bytes_sent,
        }
    }
}

/// Counts the end of a connection in the registry.
#[derive(Debug)]
pub(super) struct Standing(Option<Ledger>);

impl Drop for Standing {
    fn drop(&mut self) {
        if let Some(registry) = &self.0 {
            registry.apply(&[(Cell::Closed as usize, 1), (Cell::Active as usize, -1)]);
        }
    }
}
