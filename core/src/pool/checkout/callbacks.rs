//! How callbacks and wakers of others are run: one after the other in each thread, and a panic of one is its own.

use std::{
    cell::RefCell,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
};

type Callback = Box<dyn FnOnce()>;

thread_local! {
    /// Callbacks that wait until the one that runs in this thread returns; `None` while none runs.
    static LATER: RefCell<Option<VecDeque<Callback>>> = const { RefCell::new(None) };
}

/// Runs `callback`; where one runs in this thread already, after it.
///
/// A callback that puts a connection back is the reason for the next. Run inside each other, as many as stand in
/// line would overflow the stack.
pub(crate) fn run_in_turn(callback: impl FnOnce() + 'static) {
    let mut callback = Some(callback);
    let mut defer_or_begin = |later: &RefCell<Option<VecDeque<Callback>>>| {
        let mut later = later.borrow_mut();
        match (&mut *later, callback.take()) {
            (Some(later), Some(callback)) => later.push_back(Box::new(callback)),
            (begins, taken) => (*begins, callback) = (Some(VecDeque::new()), taken),
        }
    };
    // A thread that is ending has no such list any more: there the callback runs at once.
    let has_list = LATER.try_with(&mut defer_or_begin).is_ok();
    let Some(first) = callback else { return };
    shield(first);
    while has_list && let Some(next) = next_or_end() {
        shield(next);
    }
}

fn next_or_end() -> Option<Callback> {
    let take = |later: &RefCell<Option<VecDeque<Callback>>>| {
        let mut later = later.borrow_mut();
        let next = later.as_mut().and_then(VecDeque::pop_front);
        if next.is_none() {
            *later = None;
        }
        next
    };
    LATER.try_with(take).ok().flatten()
}

/// Runs what is another's. If it panics, that is logged, and goes no further.
pub(crate) fn shield<T>(run: impl FnOnce() -> T) -> Option<T> {
    let result = catch_unwind(AssertUnwindSafe(run));
    if result.is_err() {
        tracing::error!("a callback, waker or connector of a pool panicked");
    }
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn callbacks_that_cause_each_other_run_in_order_and_not_inside_each_other() {
        fn step(left: u32, seen: &Rc<RefCell<Vec<u32>>>) {
            let mine = Rc::clone(seen);
            run_in_turn(move || {
                if left > 0 {
                    step(left - 1, &mine);
                }
                mine.borrow_mut().push(left);
            });
        }
        let seen = Rc::default();
        step(100_000, &seen);
        assert!(seen.borrow().iter().copied().eq((0..=100_000).rev()));
    }

    #[test]
    fn a_callback_that_panics_keeps_none_from_running() {
        let seen = Rc::new(RefCell::new(0));
        let mine = Rc::clone(&seen);
        run_in_turn(move || {
            run_in_turn(move || *mine.borrow_mut() += 1);
            panic!("the first");
        });
        let mine = Rc::clone(&seen);
        run_in_turn(move || *mine.borrow_mut() += 1);
        assert_eq!(*seen.borrow(), 2);
    }
}
