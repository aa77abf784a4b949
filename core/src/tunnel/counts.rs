//! What the ends of tunnels count besides their connections, for their own statistics and in the registry.

use crate::metrics::{CellSpec, Ledger, Metrics};
use parking_lot::Mutex;

/// What can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A link stood.
    Opened = 0,
    /// A link is over.
    Closed = 1,
    /// An agent could not reach its hub, or a hub turned an agent away.
    Failed = 2,
    /// Another agent took an agent's place.
    Replaced = 3,
    /// A logical connection was not opened.
    Refused = 4,
}

/// The counts of one agent or hub.
#[derive(Debug)]
pub(super) struct Counts {
    own: Mutex<[u64; 5]>,
    /// Those of all agents, or of all hubs, of the network. A sixth cell is the links that stand.
    ledger: Ledger,
}

impl Counts {
    /// `role` is `agent` or `hub`.
    pub(super) fn new(metrics: &Metrics, role: &'static str) -> Self {
        let labels = [("role", role)];
        let counter = |name, help| CellSpec::counter(name, help, &labels);
        let ledger = metrics.ledger(&[
            counter("trunkline_tunnel_links_opened_total", "Links of tunnels that stood."),
            counter("trunkline_tunnel_links_closed_total", "Links of tunnels that ended."),
            counter("trunkline_tunnel_links_failed_total", "Links of tunnels that never stood."),
            counter(
                "trunkline_tunnel_replaced_total",
                "Links that lost their place to another agent.",
            ),
            counter("trunkline_tunnel_refused_total", "Logical connections that were not opened."),
            CellSpec::gauge("trunkline_tunnel_links", "Links of tunnels that stand.", &labels),
        ]);
        Self { own: Mutex::default(), ledger }
    }

    pub(super) fn add(&self, what: What) {
        self.own.lock()[what as usize] += 1;
        let standing = match what {
            What::Opened => 1,
            What::Closed => -1,
            What::Failed | What::Replaced | What::Refused => 0,
        };
        self.ledger.apply(&[(what as usize, 1), (5, standing)]);
    }

    /// All of one moment, in the order of [`What`].
    pub(super) fn read(&self) -> [u64; 5] {
        *self.own.lock()
    }
}
