//! Who stands in line before a listener; no lock, no waker.

use std::collections::VecDeque;

/// The place of one offer in line; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// Offers to a listener, in the order they came.
///
/// ```text
///   pop ◀── │ admitted: connected, to be accepted │ waiting for a place │ ◀── push
///           0                                   limit
/// ```
///
/// An offer is admitted when its place is below the limit, so admission needs no mark of its own
/// and whoever leaves the front part admits the first of those that wait.
#[derive(Debug)]
pub(super) struct Backlog<T> {
    /// Tickets ascend.
    line: VecDeque<(Ticket, T)>,
    /// At least 1.
    limit: usize,
    last: u64,
}

impl<T> Backlog<T> {
    pub(super) fn new(limit: usize) -> Self {
        debug_assert!(limit > 0, "checked where the listener is made");
        Self { line: VecDeque::new(), limit, last: 0 }
    }

    /// Whether the next offer is admitted at once.
    pub(super) fn has_room(&self) -> bool {
        self.line.len() < self.limit
    }

    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    pub(super) fn push(&mut self, offer: T) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.line.push_back((ticket, offer));
        ticket
    }

    /// Takes the oldest offer, which is always an admitted one.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.line.pop_front().map(|(_, offer)| offer)
    }

    /// Takes an offer back; `None` if it was accepted already.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> Option<T> {
        let place = self.line.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()?;
        self.line.remove(place).map(|(_, offer)| offer)
    }

    /// Admits so many from now on, at least 1. Who was admitted before stays admitted.
    pub(super) fn set_limit(&mut self, limit: usize) {
        debug_assert!(limit > 0, "checked with the configuration");
        self.limit = limit;
    }

    /// Those below the limit, from the oldest on.
    pub(super) fn admitted(&mut self) -> impl Iterator<Item = &mut T> {
        self.line.iter_mut().take(self.limit).map(|(_, offer)| offer)
    }

    /// The youngest admitted offer of a full backlog: the one that a `pop` or `withdraw` just admitted, if any.
    pub(super) fn last_admitted(&mut self) -> Option<&mut T> {
        self.line.get_mut(self.limit - 1).map(|(_, offer)| offer)
    }

    pub(super) fn into_offers(self) -> impl Iterator<Item = T> {
        self.line.into_iter().map(|(_, offer)| offer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn leaving_the_front_part_admits_the_first_that_waits() {
        let mut backlog = Backlog::new(2);
        let tickets = ["a", "b", "c", "d"].map(|offer| backlog.push(offer));
        assert_eq!(backlog.pop(), Some("a"));
        assert_eq!(backlog.last_admitted(), Some(&mut "c"));
        assert_eq!(backlog.withdraw(tickets[1]), Some("b"));
        assert_eq!(backlog.last_admitted(), Some(&mut "d"));
        assert_eq!(backlog.withdraw(tickets[0]), None, "accepted already");
    }

    #[test]
    fn leaving_the_waiting_part_admits_nobody_else() {
        let mut backlog = Backlog::new(1);
        let [_, b, _] = ["a", "b", "c"].map(|offer| backlog.push(offer));
        assert_eq!(backlog.withdraw(b), Some("b"));
        assert_eq!(backlog.last_admitted(), Some(&mut "a"));
    }

    proptest! {
        /// Each offer carries whether it was told of its admission.
        #[test]
        fn all_that_stand_below_the_limit_are_told_so_in_their_order(
            first in 1usize..5,
            steps in proptest::collection::vec((0u8..5, any::<prop::sample::Index>()), 1..100),
        ) {
            let mut backlog = Backlog::new(first);
            let mut tickets = Vec::new();
            for (step, index) in steps {
                match step {
                    0 | 1 => {
                        let admitted = backlog.has_room();
                        tickets.push(backlog.push(admitted));
                    }
                    2 => {
                        prop_assert_ne!(backlog.pop(), Some(false), "accepted without admission");
                    }
                    3 => {
                        backlog.set_limit(1 + index.index(5));
                        backlog.admitted().for_each(|told| *told = true);
                    }
                    _ if !tickets.is_empty() => {
                        backlog.withdraw(tickets[index.index(tickets.len())]);
                    }
                    _ => {}
                }
                if let Some(told) = backlog.last_admitted() {
                    *told = true;
                }
                // A lower limit takes no admission back, so some above it may have been told as well.
                let told: Vec<_> = backlog.line.iter().map(|(_, told)| *told).collect();
                let admitted = told.iter().filter(|told| **told).count();
                prop_assert!(admitted >= told.len().min(backlog.limit));
                prop_assert!(told[..admitted].iter().all(|told| *told));
            }
        }
    }
}
