//! The less loaded of two that are drawn.

use super::{Peers, first_ready, index, load};

/// Picks the less loaded of two endpoints that chance chooses.
///
/// Nearly as even as looking at all, and callers who see the same loads do not all run to one endpoint.
#[derive(Debug)]
pub struct P2c {
    len: usize,
}

impl P2c {
    /// For `len` endpoints.
    pub fn new(len: usize) -> Self {
        Self { len }
    }

    /// The less loaded of two different ready ones, the only ready one, or `None`. `units` are two fresh draws
    /// from 0..1; one that falls on an endpoint that is not ready means the next that is.
    pub fn pick(&self, peers: &impl Peers, units: [f64; 2]) -> Option<usize> {
        let one = first_ready(peers, self.len, index(units[0], self.len), None)?;
        // Drawn from the others, so that each pair is as likely as any.
        let start = (one + 1 + index(units[1], self.len - 1)) % self.len;
        let Some(other) = first_ready(peers, self.len, start, Some(one)) else {
            return Some(one);
        };
        Some(if load(peers, other) < load(peers, one) { other } else { one })
    }
}
