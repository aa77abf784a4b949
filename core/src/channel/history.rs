//! The latest changes of a channel's state, each with a number, so that none is missed unseen.

use super::ConnectivityState;
use crate::error::ConnectionError;
use std::{collections::VecDeque, time::Instant};

/// The state of a channel became another.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct StateChange {
    /// The first change of a channel has number 1, each other one more than that before it.
    pub number: u64,
    /// When, on the monotonic clock.
    pub at: Instant,
    /// What was told before.
    pub from: ConnectivityState,
    /// What is told since.
    pub to: ConnectivityState,
    /// What failed, where that is why.
    pub why: Option<ConnectionError>,
}

/// What [`Channel::history`](super::Channel::history) found.
#[must_use]
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct History {
    /// In the order in which they came.
    pub changes: Vec<StateChange>,
    /// Changes that came behind the number that was asked for and before the first of these, and are kept no longer.
    pub lost: u64,
}

/// The changes that are kept: as many as there is room for, the latest.
#[derive(Debug)]
pub(super) struct Changes {
    kept: VecDeque<StateChange>,
    capacity: usize,
    /// The number of the last one that came; 0 before the first.
    last: u64,
}

impl Changes {
    pub(super) fn new(capacity: u32) -> Self {
        Self { kept: VecDeque::new(), capacity: capacity as usize, last: 0 }
    }

    pub(super) fn push(
        &mut self,
        (from, to): (ConnectivityState, ConnectivityState),
        why: Option<ConnectionError>,
        at: Instant,
    ) {
        self.last += 1;
        if self.kept.len() == self.capacity {
            self.kept.pop_front();
        }
        self.kept.push_back(StateChange { number: self.last, at, from, to, why });
    }

    /// The number of the last change; 0 before the first.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// When the last change came.
    pub(super) fn last_at(&self) -> Option<Instant> {
        self.kept.back().map(|change| change.at)
    }

    /// The first `max` changes with a number above `after`.
    pub(super) fn after(&self, after: u64, max: usize) -> History {
        let first = self.last + 1 - self.kept.len() as u64;
        let lost = first.saturating_sub(after.saturating_add(1));
        let known = after.saturating_add(1).saturating_sub(first);
        let skip = usize::try_from(known).unwrap_or(usize::MAX);
        let changes = self.kept.iter().skip(skip).take(max).cloned().collect();
        History { changes, lost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConnectivityState::{Connecting, Idle};
    use proptest::prelude::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn changes(capacity: u32, count: u64) -> Changes {
        let mut changes = Changes::new(capacity);
        (0..count).for_each(|_| changes.push((Idle, Connecting), None, Instant::now()));
        changes
    }

    fn numbers(history: &History) -> Vec<u64> {
        history.changes.iter().map(|change| change.number).collect()
    }

    #[test]
    fn a_reader_gets_each_change_once_and_hears_how_many_it_missed() {
        let changes = changes(3, 7);
        let first = changes.after(1, 2);
        assert_eq!((numbers(&first), first.lost), (vec![5, 6], 3));
        let second = changes.after(6, 9);
        assert_eq!((numbers(&second), second.lost), (vec![7], 0));
        let third = changes.after(7, 9);
        assert_eq!((numbers(&third), third.lost, changes.last()), (vec![], 0, 7));
    }

    proptest! {
        #[test]
        fn what_was_asked_for_is_given_or_counted_as_lost(
            capacity in 1u32..6, count in 0u64..20, after in 0u64..25, max in 0usize..8,
        ) {
            let history = changes(capacity, count).after(after, max);
            let given = numbers(&history);
            for (nth, number) in given.iter().enumerate() {
                prop_assert_eq!(*number, after + history.lost + nth as u64 + 1);
            }
            let wanted = count.saturating_sub(after);
            let kept = wanted - history.lost;
            prop_assert_eq!(given.len() as u64, kept.min(max as u64));
            prop_assert_eq!(history.lost, wanted.saturating_sub(u64::from(capacity)));
        }
    }
}
