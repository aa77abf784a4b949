//! What a memory proxy says of itself.

use super::shared::Shared;
use std::sync::atomic::Ordering;

/// The counts of one memory proxy at one moment: `opened - closed == active`, `active <= limit`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryProxyStats {
    /// Connections that stand.
    pub active: u64,
    /// The most that may stand at one time.
    pub limit: u64,
    /// Connections that stood.
    pub opened: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Requests that were answered, by a service or by the proxy itself.
    pub requests: u64,
    /// Those of them that the proxy answered itself.
    pub denied: u64,
    /// Connections that were upgraded to another protocol.
    pub upgraded: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Questions to hooks that have no answer.
    pub hooks_failed: u64,
    /// Bytes that came from clients.
    pub bytes_received: u64,
    /// Bytes that went to clients.
    pub bytes_sent: u64,
}

pub(super) fn read(shared: &Shared) -> MemoryProxyStats {
    let live = shared.live.stats();
    let of = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    MemoryProxyStats {
        active: live.active,
        limit: shared.budget.limit(),
        opened: live.opened,
        closed: live.closed(),
        requests: of(&shared.counts.requests),
        denied: of(&shared.counts.denied),
        upgraded: of(&shared.counts.upgraded),
        handshakes_failed: of(&shared.counts.handshakes_failed),
        hooks_failed: of(&shared.hooks_failed),
        bytes_received: live.bytes_received,
        bytes_sent: live.bytes_sent,
    }
}
