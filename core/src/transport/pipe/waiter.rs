//! Who waits for one direction of a pipe: at most one waker, and a single load for whoever finds none.
#![allow(unsafe_code, reason = "the waker lies in a cell that the word guards")]

use crate::sync::{AtomicU8, Ordering, UnsafeCell};
use std::task::Waker;

/// Nobody waits; the cell is empty.
const EMPTY: u8 = 0;
/// The cell belongs to whoever has made the word so, for a few instructions.
const BUSY: u8 = 1;
/// The cell holds the waker of who waits.
const FULL: u8 = 2;

/// The newest waker that was left here. One leaves wakers, any number of threads wake.
///
/// ```text
///             leave              leave again
///   Empty ─────────────▶ Full ────────────────▶ Busy ──▶ Full
///     ▲                   │
///     └────── Busy ◀──────┘
///                  wake, forget
/// ```
///
/// A task leaves its waker, and *then* looks again at what it waits for; who changes that does so, and *then*
/// calls [`wake`](Self::wake). Between the two steps both [meet], which lets at least one see the other.
///
/// [meet]: super::link::Link::meet
pub(super) struct Waiter {
    word: AtomicU8,
    waker: UnsafeCell<Option<Waker>>,
}

/// Somebody else was in the cell at that very moment, and may have been about to wake the one before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Busy;

// SAFETY: one thread at a time is in the cell, as `put` says, and a `Waker` may go from thread to thread.
unsafe impl Sync for Waiter {}

impl Waiter {
    pub(super) fn new() -> Self {
        Self { word: AtomicU8::new(EMPTY), waker: UnsafeCell::new(None) }
    }

    /// Leaves `waker` in place of the one before, which comes back so that it is dropped where that is right.
    ///
    /// The caller then meets, and looks again at what it waits for. On `Busy` nothing was left: the caller wakes itself.
    ///
    /// # Safety
    ///
    /// One call at a time.
    #[inline]
    pub(super) unsafe fn leave(&self, waker: Waker) -> Result<Option<Waker>, Busy> {
        if self.word.load(Ordering::Acquire) != EMPTY && self.seize() == Err(BUSY) {
            return Err(Busy);
        }
        // An empty cell stays so while nobody leaves a waker.
        let before = self.put(Some(waker));
        self.word.store(FULL, Ordering::Release);
        Ok(before)
    }

    /// Wakes who waits, if anybody does: one load if nobody does.
    #[inline]
    pub(super) fn wake(&self) {
        if self.word.load(Ordering::Relaxed) == FULL
            && let Some(waker) = self.take()
        {
            waker.wake();
        }
    }

    /// Takes the waker back, if it is still there.
    #[cold]
    pub(super) fn forget(&self) {
        drop(self.take());
    }

    /// Whoever is in the cell already either takes the waker itself, or is leaving one and looks again after.
    #[inline]
    fn take(&self) -> Option<Waker> {
        if self.seize().is_err() {
            return None;
        }
        let waker = self.put(None);
        self.word.store(EMPTY, Ordering::Release);
        waker
    }

    /// Makes a `FULL` word `BUSY`; any other is the error.
    #[inline]
    fn seize(&self) -> Result<u8, u8> {
        self.word.compare_exchange(FULL, BUSY, Ordering::Acquire, Ordering::Acquire)
    }

    /// Only for who has made the word `BUSY`, or leaves a waker and has seen it `EMPTY`.
    #[inline]
    fn put(&self, waker: Option<Waker>) -> Option<Waker> {
        // SAFETY: the word is not `FULL`, so that nobody else comes into the cell: takers must find it so, and
        // one waker is left at a time. The Acquire by which the caller saw the word shows it the cell as the
        // one before, who stored with Release, has left it.
        self.waker.with_mut(|cell| unsafe { std::mem::replace(&mut *cell, waker) })
    }
}

#[cfg(all(test, not(trunkline_loom)))]
mod tests {
    use super::*;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        task::Wake,
    };

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn leave(waiter: &Waiter, wakes: &Arc<Wakes>) -> Result<Option<Waker>, Busy> {
        // SAFETY: one thread.
        unsafe { waiter.leave(Arc::clone(wakes).into()) }
    }

    #[test]
    fn a_waker_is_woken_once_and_gone() {
        let (waiter, wakes) = (Waiter::new(), Arc::new(Wakes::default()));
        waiter.wake();
        assert_eq!(leave(&waiter, &wakes).map(|before| before.is_none()), Ok(true));
        waiter.wake();
        waiter.wake();
        assert_eq!((wakes.0.load(SeqCst), Arc::strong_count(&wakes)), (1, 1));
    }

    #[test]
    fn the_newest_waker_takes_the_place_of_the_one_before() {
        let (waiter, old, new) = (Waiter::new(), Arc::default(), Arc::default());
        for wakes in [&old, &new] {
            let wakes: &Arc<Wakes> = wakes;
            leave(&waiter, wakes).unwrap();
        }
        assert_eq!(Arc::strong_count(&old), 1, "it came back");
        waiter.wake();
        assert_eq!((old.0.load(SeqCst), new.0.load(SeqCst)), (0, 1));
    }

    #[test]
    fn a_waker_taken_back_is_not_woken() {
        let (waiter, wakes) = (Waiter::new(), Arc::new(Wakes::default()));
        leave(&waiter, &wakes).unwrap();
        waiter.forget();
        waiter.wake();
        assert_eq!((wakes.0.load(SeqCst), Arc::strong_count(&wakes)), (0, 1));
    }
}
