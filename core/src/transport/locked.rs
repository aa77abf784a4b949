//! Waiting for a state under a lock, with nothing of the waiting task touched under it.

use parking_lot::Mutex;
use std::task::{Context, Poll, Waker};

/// Asks `attempt` about the locked state; where it says `Pending`, leaves the task's waker in `slot`,
/// in place of the one that was there.
///
/// A waker may run any code when it is cloned or dropped, so both happen while nothing is locked.
/// Whoever makes `attempt` succeed takes the waker out under the same lock and wakes it after.
pub(super) fn poll_locked<S, T>(
    lock: &Mutex<S>,
    cx: &Context<'_>,
    mut attempt: impl FnMut(&mut S) -> Poll<T>,
    slot: impl Fn(&mut S) -> &mut Option<Waker>,
) -> Poll<T> {
    let mut fresh = None;
    loop {
        let mut state = lock.lock();
        if let Poll::Ready(answer) = attempt(&mut state) {
            return Poll::Ready(answer);
        }
        let slot = slot(&mut state);
        if slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        if let Some(waker) = fresh.take() {
            let replaced = slot.replace(waker);
            drop(state);
            drop(replaced);
            return Poll::Pending;
        }
        drop(state);
        fresh = Some(cx.waker().clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::{Arc, Weak},
        task::Wake,
    };

    type State = (bool, Option<Waker>);

    /// Looks at the state when it is dropped, which would block for ever under its lock.
    struct Nosy(Weak<Mutex<State>>);

    impl Wake for Nosy {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Nosy {
        fn drop(&mut self) {
            if let Some(state) = self.0.upgrade() {
                assert!(state.try_lock().is_some(), "dropped under the lock");
            }
        }
    }

    fn poll(state: &Mutex<State>, waker: &Waker) -> Poll<()> {
        poll_locked(
            state,
            &Context::from_waker(waker),
            |state| if state.0 { Poll::Ready(()) } else { Poll::Pending },
            |state| &mut state.1,
        )
    }

    #[test]
    fn the_newest_waker_is_kept_and_the_old_one_is_dropped_unlocked() {
        let state = Arc::new(Mutex::new((false, None)));
        let nosy = Waker::from(Arc::new(Nosy(Arc::downgrade(&state))));
        assert!(poll(&state, &nosy).is_pending());
        drop(nosy);
        let newest = Waker::from(Arc::new(Nosy(Weak::new())));
        assert!(poll(&state, &newest).is_pending());
        assert!(state.lock().1.as_ref().unwrap().will_wake(&newest));
    }

    #[test]
    fn nothing_is_registered_where_nothing_has_to_be_waited_for() {
        let state = Mutex::new((true, None));
        assert!(poll(&state, Waker::noop()).is_ready());
        assert!(state.lock().1.is_none());
    }
}
