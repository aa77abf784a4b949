//! A completion that goes to the thread that caused it instead of through its queue.
//!
//! A thread that puts a connection back often serves a caller of the same host. Through the queue, that costs a
//! signal of its descriptor and the wake of the thread that watches it; handed over, it costs nothing.
#![allow(unsafe_code, reason = "a thread finds the frame in which it takes a completion")]

use crate::{handle::trunkline_cq_t, queue::Event};
use std::{
    cell::{Cell, RefCell},
    ptr,
};
use trunkline_core::completion::Slot;

thread_local! {
    /// Where this thread takes a completion itself, while it does; else null.
    static TAKER: Cell<*const Taker> = const { Cell::new(ptr::null()) };
}

struct Taker {
    queue: trunkline_cq_t,
    event: RefCell<Option<Event>>,
}

/// Puts the taker of before back, also where the work panics.
struct Restore(*const Taker);

impl Drop for Restore {
    fn drop(&mut self) {
        TAKER.set(self.0);
    }
}

/// Runs `work`; the first completion for `queue` that this thread causes meanwhile comes back instead of going there.
pub(crate) fn handing_to<T>(queue: trunkline_cq_t, work: impl FnOnce() -> T) -> (T, Option<Event>) {
    let taker = Taker { queue, event: RefCell::new(None) };
    let restore = Restore(TAKER.replace(&raw const taker));
    let result = work();
    drop(restore);
    (result, taker.event.into_inner())
}

/// Completes `slot` of `queue`, unless this thread takes the event itself.
pub(crate) fn complete(queue: trunkline_cq_t, slot: Slot<Event>, event: Event) {
    // SAFETY: null, or set by a frame of this thread that is there still: it is taken away before that frame ends.
    let taker = unsafe { TAKER.get().as_ref() };
    let place = taker.filter(|taker| taker.queue == queue).map(|taker| taker.event.borrow_mut());
    match place {
        Some(mut place) if place.is_none() => {
            *place = Some(event);
            drop(place);
            // Its place in the queue is free again.
            drop(slot);
        }
        Some(_) | None => slot.complete(event),
    }
}
