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
use trunkline_core::{DatagramReady, ListenerReady, StreamReady, completion::Slot};

/// What can be waited for.
#[derive(Debug)]
pub(crate) enum Wait {
    Stream(StreamReady),
    Listener(ListenerReady),
    Datagram(DatagramReady),
}

impl Wait {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Stream(wait) => Pin::new(wait).poll(cx),
            Self::Listener(wait) => Pin::new(wait).poll(cx),
            Self::Datagram(wait) => Pin::new(wait).poll(cx),
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Stream(wait) => wait.is_closed(),
            Self::Listener(wait) => wait.is_closed(),
            Self::Datagram(wait) => wait.is_closed(),
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
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Ticket {
    slot: Slot<Event>,
    tag: u64,
}

/// ```text
///  Arming ──place taken──▶ Waiting ──woken──▶ Sent
///     └─ready, or woken meanwhile: the thread that arms sends─┘
/// ```
#[derive(Debug)]
enum Line {
    Arming { is_woken: bool },
    Waiting(Wait),
    Sent,
}

impl Owed {
    fn new(kind: u32, ticket: Ticket) -> Self {
        let line = Line::Arming { is_woken: false };
        Self { kind, ticket: Mutex::new(Some(ticket)), line: Mutex::new(line) }
    }

    fn retag(&self, tag: u64) -> bool {
        let mut ticket = self.ticket.lock();
        ticket.as_mut().map(|ticket| ticket.tag = tag).is_some()
    }

    /// The object is ready, or closed.
    fn send(&self, wait: Wait) {
        let Some(ticket) = self.ticket.lock().take() else { return };
        let mut event = Event::ready(ticket.tag, self.kind);
        if wait.is_closed() {
            event.failure = Some(Failure::closed("the object that was waited on"));
        }
        ticket.slot.complete(event);
    }

    /// The place in line is taken; gives it back if it is not needed any more.
    fn on_armed(&self, wait: Wait) -> Option<Wait> {
        let mut line = self.line.lock();
        match *line {
            Line::Arming { is_woken: false } => {
                *line = Line::Waiting(wait);
                None
            }
            Line::Arming { is_woken: true } | Line::Waiting(_) | Line::Sent => {
                *line = Line::Sent;
                Some(wait)
            }
        }
    }

    fn on_woken(&self) -> Option<Wait> {
        let mut line = self.line.lock();
        match std::mem::replace(&mut *line, Line::Sent) {
            Line::Waiting(wait) => Some(wait),
            Line::Arming { .. } => {
                *line = Line::Arming { is_woken: true };
                None
            }
            Line::Sent => None,
        }
    }
}

impl Wake for Owed {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(wait) = self.on_woken() {
            self.send(wait);
        }
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
        let unneeded = match wait.poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(()) => Some(wait),
            Poll::Pending => owed.on_armed(wait),
        };
        if let Some(wait) = unneeded {
            owed.send(wait);
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
        let owed = Arc::new(Owed::new(kind, ticket));
        arms.push(Arm { kind, queue: handle.raw(), owed: Arc::downgrade(&owed) });
        Ok(Some(owed))
    }
}
