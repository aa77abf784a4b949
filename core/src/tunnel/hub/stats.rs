//! What a hub says of itself.

use super::shared::Shared;

/// The counts of one hub at one moment: `opened - closed == active`, `active <= limit`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubStats {
    /// Clusters that have an agent.
    pub clusters: u64,
    /// Links to agents that may get new connections.
    pub links: u64,
    /// Links that stood so far.
    pub links_opened: u64,
    /// Hellos that were turned away: not proved, malformed, too slow, or above a limit.
    pub links_refused: u64,
    /// Links whose place another agent of the cluster has taken.
    pub replaced: u64,
    /// Logical connections that stand.
    pub active: u64,
    /// The most that may stand at one time.
    pub limit: u64,
    /// Logical connections that stood.
    pub opened: u64,
    /// Logical connections that ended.
    pub closed: u64,
    /// Dials that led to none.
    pub refused: u64,
    /// Bytes that came from the agents on logical connections.
    pub bytes_received: u64,
    /// Bytes that went to the agents on logical connections.
    pub bytes_sent: u64,
}

pub(super) fn read(shared: &Shared) -> HubStats {
    let live = shared.live.stats();
    let [links_opened, _, links_refused, replaced, refused] = shared.counts.read();
    let (clusters, links) = {
        let registry = shared.registry.lock();
        (registry.clusters() as u64, registry.links() as u64)
    };
    HubStats {
        clusters,
        links,
        links_opened,
        links_refused,
        replaced,
        active: live.active,
        limit: shared.connections.limit(),
        opened: live.opened,
        closed: live.closed(),
        refused,
        bytes_received: live.bytes_received,
        bytes_sent: live.bytes_sent,
    }
}
