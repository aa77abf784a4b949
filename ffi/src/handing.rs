//! A completion that goes to the thread that caused it instead of through its queue.
//!
//! A thread that puts a connection back often serves a caller of the same host. Through the queue, that costs a
//! signal of its descriptor and the wake of the thread that watches it; handed over, it costs nothing.

use crate::{handle::trunkline_cq_t, queue::Event};
use std::cell::RefCell;
use trunkline_core::completion::Slot;

thread_local! {
    /// Set while this thread takes a completion of that queue itself.
    static TAKER: RefCell<Option<Taker>> = const { RefCell::new(None) };
}

struct Taker {
    queue: trunkline_cq_t,
    event: Option<Event>,
}

/// Runs `work`; the first completion for `queue` that this thread causes meanwhile comes back instead of going there.
pub(crate) fn handing_to<T>(queue: trunkline_cq_t, work: impl FnOnce() -> T) -> (T, Option<Event>) {
    let before = TAKER.replace(Some(Taker { queue, event: None }));
    let result = work();
    let taker = TAKER.replace(before);
    (result, taker.and_then(|taker| taker.event))
}

/// Completes `slot` of `queue`, unless this thread takes the event itself.
pub(crate) fn complete(queue: trunkline_cq_t, slot: Slot<Event>, event: Event) {
    let left = TAKER.with_borrow_mut(|taker| match taker {
        Some(taker) if taker.queue == queue && taker.event.is_none() => {
            taker.event = Some(event);
            None
        }
        Some(_) | None => Some(event),
    });
    match left {
        Some(event) => slot.complete(event),
        // Its place in the queue is free again.
        None => drop(slot),
    }
}
