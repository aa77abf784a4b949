//! One after the other.

use super::{Peers, first_ready, index};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Picks one after the other, whatever their weights.
#[derive(Debug)]
pub struct RoundRobin {
    len: usize,
    next: AtomicUsize,
}

impl RoundRobin {
    /// For `len` endpoints; `unit`, a draw from 0..1, says where the round begins.
    pub fn new(len: usize, unit: f64) -> Self {
        Self { len, next: AtomicUsize::new(index(unit, len)) }
    }

    /// The next ready one, or `None` if none is.
    ///
    /// Each that is passed over takes a turn of the round, so that its neighbour gets no more than the
    /// others.
    pub fn pick(&self, peers: &impl Peers) -> Option<usize> {
        for _ in 0..self.len {
            let at = self.next.fetch_add(1, Ordering::Relaxed) % self.len;
            if peers.is_ready(at) {
                return Some(at);
            }
        }
        // Turns that others took meanwhile are no proof that none is ready.
        first_ready(peers, self.len, 0, None)
    }
}
