//! What an agent says of itself.

use super::shared::Shared;

/// The counts of one agent at one moment: `opened - closed == active`, `active <= limit`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentStats {
    /// Links to hubs that stand; `hubs` times `links` of the configuration are wanted.
    pub links: u64,
    /// Links that stood so far.
    pub links_opened: u64,
    /// Attempts that led to no link.
    pub links_failed: u64,
    /// Links whose place another agent of the cluster has taken.
    pub replaced: u64,
    /// Logical connections that stand.
    pub active: u64,
    /// The most that may stand at one time.
    pub limit: u64,
    /// Logical connections that stood. One counts once it is accepted by the host, or its target was reached.
    pub opened: u64,
    /// Logical connections that ended.
    pub closed: u64,
    /// Logical connections that were not opened: at a limit, while draining, to targets that are not allowed or not reached.
    pub refused: u64,
    /// Bytes that came from the hubs on logical connections.
    pub bytes_received: u64,
    /// Bytes that went to the hubs on logical connections.
    pub bytes_sent: u64,
}

pub(super) fn read(shared: &Shared) -> AgentStats {
    let live = shared.live.stats();
    let [links_opened, links_closed, links_failed, replaced, refused] = shared.counts.read();
    AgentStats {
        links: links_opened - links_closed,
        links_opened,
        links_failed,
        replaced,
        active: live.active,
        limit: shared.budget.limit(),
        opened: live.opened,
        closed: live.closed(),
        refused,
        bytes_received: live.bytes_received,
        bytes_sent: live.bytes_sent,
    }
}
