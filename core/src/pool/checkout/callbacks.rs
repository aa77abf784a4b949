//! How callbacks and wakers of others are run: one after the other in each thread, and a panic of one is its own.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
};

type Callback = Box<dyn FnOnce()>;

thread_local! {
    static IS_RUNNING: Cell<bool> = const { Cell::new(false) };
    /// How many there are in `LATER`, so that it is seldom looked at.
    static WAITING: Cell<usize> = const { Cell::new(0) };
    /// Callbacks that wait until the one that runs in this thread returns.
    static LATER: RefCell<VecDeque<Callback>> = const { RefCell::new(VecDeque::new()) };
}

/// Runs `callback`; where one runs in this thread already, after it.
///
/// A callback that puts a connection back is the reason for the next. Run inside each other, as many as stand in
/// line would overflow the stack.
pub(crate) fn run_in_turn(callback: impl FnOnce() + 'static) {
    let mut callback = Some(callback);
    let mut defer = |later: &RefCell<VecDeque<Callback>>| {
        if let Some(callback) = callback.take() {
            WAITING.set(WAITING.get() + 1);
            later.borrow_mut().push_back(Box::new(callback));
        }
    };
    // A thread that is ending has no such list any more: there the callback runs at once.
    if IS_RUNNING.get() && LATER.try_with(&mut defer).is_ok() {
        return;
    }
    let outermost = !IS_RUNNING.replace(true);
    callback.map(shield);
    while outermost && let Some(next) = next() {
        shield(next);
    }
    IS_RUNNING.set(!outermost);
}

fn next() -> Option<Callback> {
    if WAITING.get() == 0 {
        return None;
    }
    WAITING.set(WAITING.get() - 1);
    LATER.try_with(|later| later.borrow_mut().pop_front()).ok().flatten()
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
