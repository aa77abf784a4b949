//! How a thread of the host waits for a stream: on the stream's own socket, where it has one.

use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};
use trunkline_core::{
    StreamReady,
    completion::{CompletionQueue, WaitError},
    fork,
};

thread_local! {
    /// Made when the thread first waits, and closed with it.
    static PARKER: RefCell<Option<Arc<Parker>>> = const { RefCell::new(None) };
}

/// What one thread waits on: a queue that carries nothing, and ends its wait when somebody wakes it.
pub(crate) struct Parker {
    queue: CompletionQueue<()>,
    born: u32,
}

/// Why a wait ended without reason for another try.
#[derive(Debug)]
pub(crate) enum Unparked {
    /// The deadline has passed.
    Timeout,
    /// The system could not wait.
    Failed(io::Error),
}

struct Rouse(CompletionQueue<()>);

impl Wake for Rouse {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake();
    }
}

impl Parker {
    /// The calling thread's own.
    ///
    /// # Errors
    ///
    /// Whatever the system says when it has no file descriptor left.
    pub(crate) fn of_this_thread() -> io::Result<Arc<Self>> {
        PARKER.with_borrow_mut(|parker| {
            // What a child of a fork inherits is shared with its parent, who would be woken by it.
            if let Some(parker) = parker
                && !fork::is_child_since(parker.born)
            {
                return Ok(Arc::clone(parker));
            }
            let fresh =
                Arc::new(Self { queue: CompletionQueue::new(0)?, born: fork::generation() });
            *parker = Some(Arc::clone(&fresh));
            Ok(fresh)
        })
    }

    /// The queue that is to watch what is waited for.
    pub(crate) fn queue(&self) -> &CompletionQueue<()> {
        &self.queue
    }

    /// Waits until `ready` is, or somebody thinks that it may be. Signals are waited through.
    pub(crate) fn wait(
        &self,
        ready: StreamReady,
        deadline: Option<Instant>,
    ) -> Result<(), Unparked> {
        let mut ready = pin!(ready);
        let waker = Waker::from(Arc::new(Rouse(self.queue.clone())));
        if ready.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(()) {
            return Ok(());
        }
        match self.queue.wait(0, deadline, &mut Vec::new()) {
            Ok(_) | Err(WaitError::Woken) => Ok(()),
            Err(WaitError::Timeout) => Err(Unparked::Timeout),
            Err(WaitError::Poll(error)) => Err(Unparked::Failed(error)),
            Err(other) => Err(Unparked::Failed(io::Error::other(other))),
        }
    }
}
