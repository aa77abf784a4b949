//! The one with the least load.

use super::{Peers, index, load};

/// Picks the ready endpoint with the least load, looking at all of them.
#[derive(Debug)]
pub struct LeastConnections {
    len: usize,
}

impl LeastConnections {
    /// For `len` endpoints.
    pub fn new(len: usize) -> Self {
        Self { len }
    }

    /// The least loaded of those that are ready, or `None` if none is. `unit`, a fresh draw from 0..1, says
    /// where the search begins: of several with the least load the first from there is taken.
    pub fn pick(&self, peers: &impl Peers, unit: f64) -> Option<usize> {
        let start = index(unit, self.len);
        let mut least: Option<(usize, f64)> = None;
        for at in (start..self.len).chain(0..start) {
            if !peers.is_ready(at) {
                continue;
            }
            let load = load(peers, at);
            if least.is_none_or(|(_, least)| load < least) {
                least = Some((at, load));
            }
        }
        least.map(|(at, _)| at)
    }
}
