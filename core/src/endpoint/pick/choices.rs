//! The least loaded of several that are drawn.

use super::{Peers, first_ready, hash::mix, index, load};

/// Picks the least loaded of as many endpoints as are drawn; one may be drawn twice.
///
/// More draws come closer to looking at all, and callers who see the same loads run to one endpoint more often.
#[derive(Debug)]
pub struct LeastOf {
    len: usize,
    choices: u32,
}

impl LeastOf {
    /// For `len` endpoints, of which `choices` are drawn.
    pub fn new(len: usize, choices: u32) -> Self {
        Self { len, choices: choices.max(1) }
    }

    /// The same for another number of endpoints.
    pub fn of(&self, len: usize) -> Self {
        Self { len, choices: self.choices }
    }

    /// The least loaded of those that are drawn, or `None` if none is ready. All draws come from `unit`, a fresh one
    /// from 0..1; one that falls on an endpoint that is not ready means the next that is.
    pub fn pick(&self, peers: &impl Peers, unit: f64) -> Option<usize> {
        let mut seed = unit.to_bits();
        let mut least: Option<(usize, f64)> = None;
        for _ in 0..self.choices {
            seed = mix(seed.wrapping_add(GOLDEN));
            let drawn = index((seed >> 11) as f64 / (1_u64 << 53) as f64, self.len);
            let at = first_ready(peers, self.len, drawn, None)?;
            let load = load(peers, at);
            if least.is_none_or(|(_, least)| load < least) {
                least = Some((at, load));
            }
        }
        least.map(|(at, _)| at)
    }
}

/// Sets the draws of one pick apart.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
