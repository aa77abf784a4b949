//! Waiters in the order of their arrival; no lock, no clock, no waking.

use crate::pool::moment::Moment;

/// A place in a [`Line`], good for one wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    index: u32,
    turn: u32,
}

/// First in, first out, with removal from the middle at the cost of a few links.
///
/// ```text
///             push              pop                settle
///   nothing ───────▶ Waiting ────────▶ (taken out) ───────▶ Settled ── collect, remove ──▶ nothing
///                       └──────────── remove ──────────────────────────────────────────▶ nothing
/// ```
///
/// `W` is whatever waits, `A` the answer that it will collect.
#[derive(Debug)]
pub(crate) struct Line<W, A> {
    nodes: Vec<Node<W, A>>,
    vacant: Vec<u32>,
    first: Option<u32>,
    last: Option<u32>,
    waiting: usize,
    /// No waiter's deadline is before this one.
    soonest: Option<Moment>,
}

#[derive(Debug)]
struct Node<W, A> {
    /// Tells a ticket from an earlier one of the same place.
    turn: u32,
    state: State<W, A>,
}

#[derive(Debug)]
enum State<W, A> {
    Vacant,
    Waiting {
        waiter: W,
        deadline: Option<Moment>,
        before: Option<u32>,
        after: Option<u32>,
    },
    /// Out of the line, about to be settled or forgotten.
    Popped,
    Settled(A),
}

/// What [`Line::remove`] found.
#[derive(Debug)]
pub(crate) enum Removed<W, A> {
    /// It was still in line.
    Waiting(W),
    /// It had an answer, which nobody will collect now.
    Settled(A),
}

impl<W, A> Line<W, A> {
    pub(crate) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            vacant: Vec::new(),
            first: None,
            last: None,
            waiting: 0,
            soonest: None,
        }
    }

    /// How many stand in line, without those that were settled.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// When [`expire`](Self::expire) should be called, at the latest.
    pub(crate) fn soonest(&self) -> Option<Moment> {
        self.soonest
    }

    /// Puts `waiter` at the end.
    pub(crate) fn push(&mut self, waiter: W, deadline: Option<Moment>) -> Ticket {
        let state = State::Waiting { waiter, deadline, before: self.last, after: None };
        let index = self.place(state);
        match self.last.replace(index) {
            Some(last) => self.set_after(last, Some(index)),
            None => self.first = Some(index),
        }
        self.join(index, deadline)
    }

    fn join(&mut self, index: u32, deadline: Option<Moment>) -> Ticket {
        self.waiting += 1;
        self.soonest = match (self.soonest, deadline) {
            (Some(soonest), Some(deadline)) => Some(soonest.min(deadline)),
            (one, other) => one.or(other),
        };
        Ticket { index, turn: self.nodes[index as usize].turn }
    }

    /// Puts `waiter` before all others: it was first in line already.
    pub(crate) fn push_front(&mut self, waiter: W, deadline: Option<Moment>) -> Ticket {
        let state = State::Waiting { waiter, deadline, before: None, after: self.first };
        let index = self.place(state);
        match self.first.replace(index) {
            Some(first) => self.set_before(first, Some(index)),
            None => self.last = Some(index),
        }
        self.join(index, deadline)
    }

    /// Takes the oldest waiter out. Its ticket must be settled or forgotten next.
    pub(crate) fn pop(&mut self) -> Option<(Ticket, W)> {
        self.first.map(|index| self.take_out(index))
    }

    /// Takes the oldest waiter out whose deadline is not after `now`, if there is one.
    ///
    /// Looks at every waiter once the soonest deadline has come, and at none before.
    pub(crate) fn expire(&mut self, now: Moment) -> Option<(Ticket, W)> {
        if self.soonest.is_none_or(|soonest| soonest > now) {
            return None;
        }
        let mut soonest = None::<Moment>;
        let mut next = self.first;
        while let Some(index) = next {
            let State::Waiting { deadline, after, .. } = &self.nodes[index as usize].state else {
                unreachable!("only those who wait are linked")
            };
            match deadline {
                Some(deadline) if *deadline <= now => return Some(self.take_out(index)),
                Some(deadline) => {
                    soonest = Some(soonest.map_or(*deadline, |found| found.min(*deadline)));
                }
                None => {}
            }
            next = *after;
        }
        self.soonest = soonest;
        None
    }

    /// Leaves the answer for the one who holds the ticket of a waiter that was taken out.
    pub(crate) fn settle(&mut self, ticket: Ticket, answer: A) {
        let node = &mut self.nodes[ticket.index as usize];
        debug_assert!(node.turn == ticket.turn && matches!(node.state, State::Popped));
        node.state = State::Settled(answer);
    }

    /// Ends the ticket of a waiter that was taken out and will collect nothing.
    pub(crate) fn forget(&mut self, ticket: Ticket) {
        debug_assert!(matches!(self.nodes[ticket.index as usize].state, State::Popped));
        self.vacate(ticket.index);
    }

    /// Takes the answer, if the ticket is settled; the ticket ends with it.
    pub(crate) fn collect(&mut self, ticket: Ticket) -> Option<A> {
        if !matches!(self.node(ticket)?.state, State::Settled(_)) {
            return None;
        }
        match self.vacate(ticket.index) {
            State::Settled(answer) => Some(answer),
            State::Vacant | State::Waiting { .. } | State::Popped => None,
        }
    }

    /// The waiter behind the ticket, if it still stands in line.
    pub(crate) fn waiter_mut(&mut self, ticket: Ticket) -> Option<&mut W> {
        match &mut self.node(ticket)?.state {
            State::Waiting { waiter, .. } => Some(waiter),
            State::Vacant | State::Popped | State::Settled(_) => None,
        }
    }

    /// Ends the ticket, wherever it stands; `None` if it ended before.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<Removed<W, A>> {
        match self.node(ticket)?.state {
            State::Waiting { .. } => {
                let (ticket, waiter) = self.take_out(ticket.index);
                self.forget(ticket);
                Some(Removed::Waiting(waiter))
            }
            State::Settled(_) => self.collect(ticket).map(Removed::Settled),
            State::Vacant | State::Popped => None,
        }
    }

    fn node(&mut self, ticket: Ticket) -> Option<&mut Node<W, A>> {
        self.nodes.get_mut(ticket.index as usize).filter(|node| node.turn == ticket.turn)
    }

    fn place(&mut self, state: State<W, A>) -> u32 {
        if let Some(index) = self.vacant.pop() {
            self.nodes[index as usize].state = state;
            return index;
        }
        self.nodes.push(Node { turn: 0, state });
        (self.nodes.len() - 1) as u32
    }

    fn take_out(&mut self, index: u32) -> (Ticket, W) {
        let node = &mut self.nodes[index as usize];
        let turn = node.turn;
        let State::Waiting { waiter, before, after, .. } =
            std::mem::replace(&mut node.state, State::Popped)
        else {
            unreachable!("only those who wait are linked")
        };
        match before {
            Some(before) => self.set_after(before, after),
            None => self.first = after,
        }
        match after {
            Some(after) => self.set_before(after, before),
            None => self.last = before,
        }
        self.waiting -= 1;
        if self.waiting == 0 {
            self.soonest = None;
        }
        (Ticket { index, turn }, waiter)
    }

    fn vacate(&mut self, index: u32) -> State<W, A> {
        let node = &mut self.nodes[index as usize];
        node.turn = node.turn.wrapping_add(1);
        self.vacant.push(index);
        std::mem::replace(&mut node.state, State::Vacant)
    }

    fn set_after(&mut self, index: u32, value: Option<u32>) {
        if let State::Waiting { after, .. } = &mut self.nodes[index as usize].state {
            *after = value;
        }
    }

    fn set_before(&mut self, index: u32, value: Option<u32>) {
        if let State::Waiting { before, .. } = &mut self.nodes[index as usize].state {
            *before = value;
        }
    }
}

#[cfg(all(test, not(trunkline_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{collections::VecDeque, time::Duration};

    #[test]
    fn a_ticket_of_the_past_means_nothing() {
        let mut line = Line::<u32, ()>::new();
        let old = line.push(1, None);
        assert!(matches!(line.remove(old), Some(Removed::Waiting(1))));
        let new = line.push(2, None);
        assert!(line.remove(old).is_none() && line.collect(old).is_none());
        assert_eq!(line.waiter_mut(new), Some(&mut 2));
    }

    #[test]
    fn an_answer_is_collected_once() {
        let mut line = Line::<u32, &str>::new();
        let ticket = line.push(1, None);
        assert!(line.collect(ticket).is_none());
        let (popped, waiter) = line.pop().unwrap();
        assert_eq!((popped, waiter), (ticket, 1));
        line.settle(ticket, "yours");
        assert_eq!((line.collect(ticket), line.collect(ticket)), (Some("yours"), None));
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Push(Option<u64>),
        PushFront(Option<u64>),
        Pop,
        Remove(usize),
        Expire(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => proptest::option::of(0u64..40).prop_map(Step::Push),
            1 => proptest::option::of(0u64..40).prop_map(Step::PushFront),
            2 => Just(Step::Pop),
            2 => (0usize..20).prop_map(Step::Remove),
            1 => (0u64..40).prop_map(Step::Expire),
        ]
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_queue(steps in proptest::collection::vec(step(), 1..200)) {
            let start = Moment::from_nanos(1);
            let at = |ms: u64| start + Duration::from_millis(ms);
            let mut line = Line::<u32, ()>::new();
            let mut model = VecDeque::<(Ticket, u32, Option<u64>)>::new();
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Push(deadline) => {
                        let ticket = line.push(next, deadline.map(at));
                        model.push_back((ticket, next, deadline));
                        next += 1;
                    }
                    Step::PushFront(deadline) => {
                        let ticket = line.push_front(next, deadline.map(at));
                        model.push_front((ticket, next, deadline));
                        next += 1;
                    }
                    Step::Pop => {
                        let popped = line.pop();
                        if let Some((ticket, _)) = popped {
                            line.forget(ticket);
                        }
                        let expected = model.pop_front().map(|(ticket, waiter, _)| (ticket, waiter));
                        prop_assert_eq!(popped, expected);
                    }
                    Step::Remove(place) if !model.is_empty() => {
                        let (ticket, waiter, _) = model.remove(place % model.len()).unwrap();
                        let removed = line.remove(ticket);
                        prop_assert!(matches!(removed, Some(Removed::Waiting(found)) if found == waiter));
                    }
                    Step::Remove(_) => {}
                    Step::Expire(now) => {
                        let mut gone = Vec::new();
                        while let Some((ticket, waiter)) = line.expire(at(now)) {
                            line.forget(ticket);
                            gone.push(waiter);
                        }
                        let due = |deadline: Option<u64>| deadline.is_some_and(|due| due <= now);
                        let expected: Vec<_> =
                            model.iter().filter(|(.., d)| due(*d)).map(|(_, w, _)| *w).collect();
                        model.retain(|(.., deadline)| !due(*deadline));
                        prop_assert_eq!(gone, expected);
                    }
                }
                prop_assert_eq!(line.waiting(), model.len());
                let least = model.iter().filter_map(|(.., deadline)| *deadline).min().map(at);
                prop_assert!(line.soonest().is_none_or(|soonest| least.is_none_or(|l| soonest <= l)));
                prop_assert!(least.is_none() || line.soonest().is_some());
            }
        }
    }
}
