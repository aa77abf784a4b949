//! What a completion queue holds and when its fd is readable; pure, the handle in `mod.rs` acts.

use super::{Refused, WaitError};
use std::collections::VecDeque;

/// The queue's books. The handle keeps them under its one lock and calls [`settle`](Self::settle)
/// after each change.
#[derive(Debug)]
pub(super) struct State<E> {
    events: VecDeque<E>,
    /// Slots that were handed out and neither completed nor dropped.
    outstanding: u32,
    max_pending: u32,
    /// Somebody called `wake` and nobody has returned because of it yet.
    woken: bool,
    shut_down: bool,
    /// A thread is inside `wait`.
    waiting: bool,
    /// Threads that are about to take what others bring meanwhile: the fd need not tell them.
    gathering: u32,
    /// Somebody will say later, through the fd, that there are events.
    announced: bool,
    /// What the fd shows: differs from `readable()` only between a change and `settle`, and while an announcement
    /// is owed.
    raised: bool,
}

/// What has to happen to the fd.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// It was not readable and must become so.
    Raise,
    /// It was readable and must no longer be.
    Clear,
}

/// Who tells of an event that was completed quietly.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Quiet {
    /// Somebody does, or has: nothing is to be done.
    Told,
    /// Nothing else is under way: the next [`State::settle`].
    Alone,
    /// Whoever completed it.
    Owed,
}

impl<E> State<E> {
    pub(super) fn new(max_pending: u32) -> Self {
        Self {
            events: VecDeque::new(),
            outstanding: 0,
            max_pending,
            woken: false,
            shut_down: false,
            waiting: false,
            gathering: 0,
            announced: false,
            raised: false,
        }
    }

    /// Slots outstanding and events undrained: never more than `max_pending`.
    pub(super) fn pending(&self) -> u32 {
        // `reserve` counted each event as a slot before it became one, so the length fits.
        self.outstanding + self.events.len() as u32
    }

    pub(super) fn is_finished(&self) -> bool {
        self.shut_down && self.outstanding == 0 && self.events.is_empty()
    }

    pub(super) fn on_reserve(&mut self) -> Result<(), Refused> {
        if self.shut_down {
            return Err(Refused::Closed);
        }
        if self.pending() >= self.max_pending {
            return Err(Refused::Full { limit: self.max_pending });
        }
        self.outstanding += 1;
        Ok(())
    }

    pub(super) fn on_complete(&mut self, event: E) {
        self.outstanding -= 1;
        self.events.push_back(event);
    }

    /// As [`on_complete`](Self::on_complete), for whoever can say later, by
    /// [`on_announcement`](Self::on_announcement), that there are events: whether that is owed. Where nothing else is
    /// outstanding there is nothing to wait for.
    pub(super) fn on_quiet_complete(&mut self, event: E) -> Quiet {
        self.on_complete(event);
        if self.raised || self.announced {
            Quiet::Told
        } else if self.outstanding == 0 {
            Quiet::Alone
        } else {
            self.announced = true;
            Quiet::Owed
        }
    }

    /// The fd may tell what it was not told before.
    pub(super) fn on_announcement(&mut self) {
        self.announced = false;
    }

    pub(super) fn on_give_back(&mut self) {
        self.outstanding -= 1;
    }

    pub(super) fn on_wake(&mut self) {
        self.woken = true;
    }

    pub(super) fn on_shutdown(&mut self) {
        self.shut_down = true;
    }

    pub(super) fn on_wait_begins(&mut self) -> Result<(), WaitError> {
        if self.waiting {
            return Err(WaitError::Busy);
        }
        self.waiting = true;
        Ok(())
    }

    pub(super) fn on_wait_ends(&mut self) {
        self.waiting = false;
    }

    /// A thread that will look at the queue next lets others add to it before.
    pub(super) fn on_gathering_begins(&mut self) {
        self.gathering += 1;
    }

    /// It has looked: the fd tells again what is left.
    pub(super) fn on_gathering_ends(&mut self) {
        self.gathering -= 1;
    }

    /// Moves at most `max` of the oldest events to `out`.
    pub(super) fn on_drain(&mut self, out: &mut Vec<E>, max: usize) -> usize {
        // A wake is for the thread that waits; without one, this call is the answer to it.
        if !self.waiting {
            self.woken = false;
        }
        self.take(out, max)
    }

    /// What the waiting thread returns with, or `None` if it has to go on waiting.
    pub(super) fn on_wait_looks(
        &mut self,
        out: &mut Vec<E>,
        max: usize,
    ) -> Option<Result<usize, WaitError>> {
        let woken = std::mem::take(&mut self.woken);
        if !self.events.is_empty() {
            Some(Ok(self.take(out, max)))
        } else if woken {
            Some(Err(WaitError::Woken))
        } else if self.is_finished() {
            Some(Err(WaitError::Closed))
        } else {
            None
        }
    }

    /// The step that brings the fd in line, if it is not. The caller must take it before it unlocks.
    pub(super) fn settle(&mut self) -> Option<Edge> {
        if self.gathering > 0 {
            return None;
        }
        let readable = self.readable();
        match (std::mem::replace(&mut self.raised, readable), readable) {
            (false, true) => Some(Edge::Raise),
            (true, false) => Some(Edge::Clear),
            (true, true) | (false, false) => None,
        }
    }

    fn readable(&self) -> bool {
        !self.events.is_empty() || self.woken || self.is_finished()
    }

    fn take(&mut self, out: &mut Vec<E>, max: usize) -> usize {
        let count = max.min(self.events.len());
        out.extend(self.events.drain(..count));
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wake_is_kept_for_the_waiting_thread_when_another_drains() {
        let mut state = State::<u8>::new(1);
        let mut out = Vec::new();
        state.on_wait_begins().unwrap();
        state.on_wake();
        assert_eq!(state.on_drain(&mut out, 9), 0);
        assert!(matches!(state.on_wait_looks(&mut out, 9), Some(Err(WaitError::Woken))));
    }

    #[test]
    fn a_wake_is_spent_by_a_return_with_events() {
        let mut state = State::new(1);
        let mut out = Vec::new();
        state.on_reserve().unwrap();
        state.on_complete(7);
        state.on_wake();
        assert!(matches!(state.on_wait_looks(&mut out, 9), Some(Ok(1))));
        assert!(state.on_wait_looks(&mut out, 9).is_none());
    }

    #[test]
    fn a_second_waiter_is_refused_until_the_first_has_left() {
        let mut state = State::<u8>::new(1);
        state.on_wait_begins().unwrap();
        assert!(matches!(state.on_wait_begins(), Err(WaitError::Busy)));
        state.on_wait_ends();
        state.on_wait_begins().unwrap();
    }

    #[derive(Clone, Debug)]
    enum Op {
        Reserve,
        Complete,
        CompleteQuietly,
        Announce,
        GiveBack,
        Wake,
        Drain(usize),
        Shutdown,
        Gather,
        Gathered,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => Just(Op::Reserve),
            4 => Just(Op::Complete),
            4 => Just(Op::CompleteQuietly),
            3 => Just(Op::Announce),
            1 => Just(Op::GiveBack),
            1 => Just(Op::Wake),
            3 => (0usize..4).prop_map(Op::Drain),
            1 => Just(Op::Shutdown),
            1 => Just(Op::Gather),
            2 => Just(Op::Gathered),
        ]
    }

    proptest! {
        #[test]
        fn the_fd_follows_the_queue_and_no_event_is_lost(
            limit in 0u32..5,
            ops in proptest::collection::vec(op(), 0..60),
        ) {
            let mut state = State::new(limit);
            let (mut held, mut next, mut raised, mut shut) = (0u32, 0u32, false, false);
            let (mut out, mut gathering, mut owed) = (Vec::new(), 0u32, false);
            for op in ops {
                match op {
                    Op::Reserve => {
                        let before = state.pending();
                        match state.on_reserve() {
                            Ok(()) => held += 1,
                            Err(Refused::Closed) => prop_assert!(shut),
                            Err(Refused::Full { .. }) => prop_assert_eq!(before, limit),
                        }
                    }
                    Op::Complete if held > 0 => {
                        state.on_complete(next);
                        (held, next) = (held - 1, next + 1);
                    }
                    Op::GiveBack if held > 0 => {
                        state.on_give_back();
                        held -= 1;
                    }
                    Op::CompleteQuietly if held > 0 => {
                        let told = state.on_quiet_complete(next);
                        (held, next) = (held - 1, next + 1);
                        prop_assert_eq!(told == Quiet::Told, raised || owed);
                        prop_assert!(told != Quiet::Alone || held == 0);
                        owed |= told == Quiet::Owed;
                        if told != Quiet::Alone {
                            continue;
                        }
                    }
                    Op::Announce if owed => {
                        state.on_announcement();
                        owed = false;
                    }
                    Op::Complete | Op::CompleteQuietly | Op::Announce | Op::GiveBack => {}
                    Op::Wake => state.on_wake(),
                    Op::Drain(max) => {
                        state.on_drain(&mut out, max);
                    }
                    Op::Shutdown => {
                        state.on_shutdown();
                        shut = true;
                    }
                    Op::Gather => {
                        state.on_gathering_begins();
                        gathering += 1;
                    }
                    Op::Gathered if gathering > 0 => {
                        state.on_gathering_ends();
                        gathering -= 1;
                    }
                    Op::Gathered => {}
                }
                let edge = state.settle();
                prop_assert!(gathering == 0 || edge.is_none());
                match edge {
                    Some(Edge::Raise) => prop_assert!(!std::mem::replace(&mut raised, true)),
                    Some(Edge::Clear) => prop_assert!(std::mem::replace(&mut raised, false)),
                    None => {}
                }
                let undrained = next - out.len() as u32;
                prop_assert_eq!(state.pending(), held + undrained);
                prop_assert!(state.pending() <= limit);
                prop_assert_eq!(state.is_finished(), shut && held + undrained == 0);
                let tells = undrained > 0 || state.woken || state.is_finished();
                prop_assert!(gathering > 0 || raised == tells);
            }
            prop_assert_eq!(&out, &(0..out.len() as u32).collect::<Vec<_>>());
        }
    }
}
