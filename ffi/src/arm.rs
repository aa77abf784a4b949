//! One-shot readiness: a waiting place on a stream or listener that turns into one event on a queue.

use crate::{
    error::Failure,
    handle::{Handle, trunkline_cq_t},
    queue::{Event, Queue},
};
use parking_lot::Mutex;
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Wake, Waker},
};
use trunkline_core::{ListenerReady, StreamReady, completion::Slot};

/// What can be waited for.
#[derive(Debug)]
pub(crate) enum Wait {
    Stream(StreamReady),
    Listener(ListenerReady),
}

impl Wait {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Stream(wait) => Pin::new(wait).poll(cx),
            Self::Listener(wait) => Pin::new(wait).poll(cx),
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Stream(wait) => wait.is_closed(),
            Self::Listener(wait) => wait.is_closed(),
        }
    }
}

/// The readiness events that an object owes, at most one per kind and queue.
#[derive(Debug, Default)]
pub(crate) struct Arms(Mutex<Vec<Arm>>);

#[derive(Debug)]
struct Arm {
    kind: u32,
    queue: u64,
    owed: Weak<Owed>,
}

/// One event that is owed. It is its own waker: being woken is what sends it.
#[derive(Debug)]
struct Owed {
    kind: u32,
    ticket: Mutex<Option<Ticket>>,
    wait: Mutex<Option<Wait>>,
}

#[derive(Debug)]
struct Ticket {
    slot: Slot<Event>,
    tag: u64,
}

impl Owed {
    fn retag(&self, tag: u64) -> bool {
        let mut ticket = self.ticket.lock();
        ticket.as_mut().map(|ticket| ticket.tag = tag).is_some()
    }

    fn send(&self, wait: Option<Wait>) {
        let Some(ticket) = self.ticket.lock().take() else { return };
        let mut event = Event::ready(ticket.tag, self.kind);
        if wait.is_some_and(|wait| wait.is_closed()) {
            event.failure = Some(Failure::closed("the object that was waited on"));
        }
        ticket.slot.complete(event);
    }
}

impl Wake for Owed {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let wait = self.wait.lock().take();
        self.send(wait);
    }
}

impl Arms {
    /// Makes `wait` send one event of `kind` with `tag` to the queue. If such an event is owed to
    /// that queue already, that one gets the new tag.
    pub(crate) fn arm(
        &self,
        (handle, queue): (trunkline_cq_t, &Queue),
        (kind, tag): (u32, u64),
        wait: impl FnOnce() -> Wait,
    ) -> Result<(), Failure> {
        let Some(owed) = self.owe((handle, queue), kind, tag)? else { return Ok(()) };
        let mut wait = wait();
        let waker = Waker::from(Arc::clone(&owed));
        if wait.poll(&mut Context::from_waker(&waker)).is_ready() {
            owed.send(Some(wait));
            return Ok(());
        }
        *owed.wait.lock() = Some(wait);
        if owed.ticket.lock().is_none() {
            // Woken between the poll and now: the event is out, so the place is given up.
            let unused = owed.wait.lock().take();
            drop(unused);
        }
        Ok(())
    }

    fn owe(
        &self,
        (handle, queue): (trunkline_cq_t, &Queue),
        kind: u32,
        tag: u64,
    ) -> Result<Option<Arc<Owed>>, Failure> {
        let mut arms = self.0.lock();
        arms.retain(|arm| arm.owed.strong_count() > 0);
        let same = arms.iter().find(|arm| arm.kind == kind && arm.queue == handle.raw());
        if same.and_then(|arm| arm.owed.upgrade()).is_some_and(|owed| owed.retag(tag)) {
            return Ok(None);
        }
        let ticket = Ticket { slot: queue.reserve()?, tag };
        let owed =
            Arc::new(Owed { kind, ticket: Mutex::new(Some(ticket)), wait: Mutex::new(None) });
        arms.push(Arm { kind, queue: handle.raw(), owed: Arc::downgrade(&owed) });
        Ok(Some(owed))
    }
}
