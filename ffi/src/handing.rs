//! A completion that goes to the thread that caused it instead of through its queue.
//!
//! A thread that puts a connection back often serves a caller of the same host. Through the queue, that costs a
//! signal of its descriptor and the wake of the thread that watches it; handed over, it costs nothing.
#![allow(unsafe_code, reason = "a thread finds the frame in which it takes a completion")]

use crate::{call::is_library_thread, handle::trunkline_cq_t, queue::Event};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    ptr,
};
use tokio::runtime::Handle;
use trunkline_core::{
    GiveWay,
    completion::{Announcement, Slot},
};

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
        Some(_) | None => put(slot, event),
    }
}

/// Puts `event` in its queue. What one turn of a worker completes is told by one signal: each wakes a thread of the
/// host, which would run at once where cores are few, for one event, before the next is there.
fn put(slot: Slot<Event>, event: Event) {
    match Handle::try_current() {
        Ok(worker) if is_library_thread() => {
            if let Some(announcement) = slot.complete_quietly(event) {
                worker.spawn(behind_the_ready(announcement));
            }
        }
        Ok(_) | Err(_) => slot.complete(event),
    }
}

/// Announces once every task has had its turn that was ready before.
async fn behind_the_ready(announcement: Announcement<Event>) {
    let mut way = GiveWay::default();
    poll_fn(|cx| way.poll(cx)).await;
    drop(announcement);
}
