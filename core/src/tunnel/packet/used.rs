//! Which numbers of connections were used: a hub of `tunnel.v1` opens by merely using a new one. No I/O.

use std::collections::{HashSet, VecDeque};

/// Numbers that are kept one by one; older ones are known by the highest of them.
const KEPT: usize = 4096;

/// The numbers of connections so far. They go up, though not strictly in the order in which they come.
#[derive(Debug, Default)]
pub(super) struct Used {
    recent: HashSet<i64>,
    /// The oldest first.
    order: VecDeque<i64>,
    /// Every number up to this one counts as used.
    up_to: i64,
}

impl Used {
    /// A connection has this number.
    pub(super) fn add(&mut self, id: i64) {
        if !self.recent.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.recent.remove(&oldest);
            self.up_to = self.up_to.max(oldest);
        }
    }

    /// Whether a number was used before, or is none that could be.
    pub(super) fn has(&self, id: i64) -> bool {
        id <= self.up_to || self.recent.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_never_used_twice_however_long_ago_it_was() {
        let mut used = Used::default();
        assert!(used.has(0) && used.has(-1) && !used.has(1));
        for id in 1..=10_000 {
            used.add(id);
            used.add(id);
            assert!(used.has(id) && !used.has(id + 1));
        }
        assert!((1..=10_000).all(|id| used.has(id)));
        assert!(used.order.len() <= KEPT && used.recent.len() <= KEPT);
    }

    #[test]
    fn numbers_that_come_out_of_order_are_new_as_long_as_they_are_recent() {
        let mut used = Used::default();
        used.add(6);
        assert!(!used.has(5) && used.has(6));
    }
}
