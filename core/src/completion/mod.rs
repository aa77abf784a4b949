//! How asynchronous results reach another language: a bounded queue with one pollable fd.
//!
//! ```text
//!  reserve() ──▶ Slot ──complete(event)──▶ queue ──drain / wait──▶ the host
//!     │            └──────drop───▶ place given back
//!     └─ refused at the limit or after shutdown, so a full queue shows before any work is done
//! ```
//!
//! Absences: no thread, no callback, no runtime. Nothing of the user's runs or is dropped under the lock.

mod signal;
#[cfg(target_os = "linux")]
mod sockets;
mod state;

#[cfg(target_os = "linux")]
pub use sockets::{Side, Sockets, WatchKey};

use parking_lot::Mutex;
use rustix::io::Errno;
use signal::Signal;
use state::{Edge, Quiet, State};
use std::{
    fmt, io,
    os::fd::BorrowedFd,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// Why [`CompletionQueue::reserve`] gave no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many places as the queue has are taken by slots outstanding and events undrained.
    #[error("limit of {limit} pending completions reached")]
    Full {
        /// The queue's `max_pending`.
        limit: u32,
    },
    /// The queue was shut down.
    #[error("completion queue shut down")]
    Closed,
}

/// Why [`CompletionQueue::wait`] returned without an event.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The deadline passed.
    #[error("no event before the deadline")]
    Timeout,
    /// [`CompletionQueue::wake`] was called.
    #[error("woken")]
    Woken,
    /// The queue was shut down, every event is drained and no slot is outstanding.
    #[error("completion queue shut down and drained")]
    Closed,
    /// Another thread is waiting on this queue.
    #[error("another thread is waiting on this completion queue")]
    Busy,
    /// A signal handler ran; only [`CompletionQueue::wait_interruptible`] says so.
    #[error("interrupted by a signal")]
    Interrupted,
    /// The system could not wait, which it does only without memory.
    #[error("poll failed")]
    Poll(#[source] io::Error),
}

/// A bounded queue of events from many threads to one, with a file descriptor to wait on.
///
/// A place is [reserved](Self::reserve) before the work starts, so an event never finds the queue
/// full and none is ever dropped. Events come out in the order in which they were completed.
///
/// The [fd](Self::fd) is readable while there is something to learn: an event, a wake that nobody has returned
/// for, or the end after [`shutdown`](Self::shutdown); and while one of its [sockets](Self::sockets) is ready, once
/// also for one that nobody waits for any more. However many events pile up, it is raised once, and only
/// [`drain`](Self::drain) and [`wait`](Self::wait) clear it.
///
/// Clones are handles to one queue. With the last of them the fd is closed and undrained events are
/// dropped; a [`Slot`] alone does not keep a queue.
pub struct CompletionQueue<E> {
    inner: Arc<Inner<E>>,
}

/// A place in a [`CompletionQueue`] for exactly one event. Dropped unused, it gives the place back.
#[must_use = "dropping a slot gives its place back"]
pub struct Slot<E> {
    /// Empty once the slot is used.
    queue: Weak<Inner<E>>,
}

/// The duty to let a queue's fd tell that there are events; dropping it does.
#[must_use = "dropping it at once makes the completion no quieter"]
pub struct Announcement<E>(Weak<Inner<E>>);

struct Inner<E> {
    /// Held for a few moves and, at an edge, for one write to or read of the fd: doing that after
    /// unlocking would let a raise and a clear cross, and the fd would lie from then on.
    state: Mutex<State<E>>,
    signal: Signal,
    #[cfg(target_os = "linux")]
    sockets: Arc<Sockets>,
}

/// What a signal handler that ran in the middle of a wait means to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnSignal {
    Retry,
    Return,
}

impl<E: Send> CompletionQueue<E> {
    /// Makes an empty queue for at most `max_pending` events, counting those whose work is still
    /// under way. Zero makes a queue that refuses everything.
    ///
    /// Memory grows with the events that are really there, up to that limit.
    ///
    /// # Errors
    ///
    /// Whatever the system says when it has no file descriptor left.
    pub fn new(max_pending: u32) -> io::Result<Self> {
        let signal = Signal::new()?;
        let inner = Inner {
            state: Mutex::new(State::new(max_pending)),
            #[cfg(target_os = "linux")]
            sockets: Arc::new(Sockets::new(signal.fd())?),
            signal,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes a place for one event, before the work that will lead to it starts.
    ///
    /// # Errors
    ///
    /// [`Refused::Full`] with the limit, [`Refused::Closed`] after [`shutdown`](Self::shutdown).
    pub fn reserve(&self) -> Result<Slot<E>, Refused> {
        self.inner.update(State::on_reserve)?;
        Ok(Slot { queue: Arc::downgrade(&self.inner) })
    }

    /// The descriptor to poll for reading. Level-triggered; never read it, call [`drain`](Self::drain).
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inner.fd()
    }

    /// The sockets that the queue watches: [drains](Self::drain) and [waits](Self::wait) find those that are ready.
    #[cfg(target_os = "linux")]
    pub fn sockets(&self) -> &Arc<Sockets> {
        &self.inner.sockets
    }

    /// Moves at most `max` events to the end of `out`, oldest first, and says how many. Never blocks.
    ///
    /// Any thread may call it, also while another [waits](Self::wait).
    pub fn drain(&self, out: &mut Vec<E>, max: usize) -> usize {
        let _gathering = self.inner.gather();
        self.inner.update(|state| state.on_drain(out, max))
    }

    /// Blocks the calling thread until there are events and moves at most `max` to the end of `out`.
    ///
    /// `None` waits without limit; a deadline in the past tries once. Signals are waited through.
    /// With `max` of zero it waits in the same way and then takes nothing.
    ///
    /// # Errors
    ///
    /// Every [`WaitError`] but `Interrupted`; nothing was taken then.
    pub fn wait(
        &self,
        max: usize,
        deadline: Option<Instant>,
        out: &mut Vec<E>,
    ) -> Result<usize, WaitError> {
        self.wait_with(OnSignal::Retry, max, deadline, out)
    }

    /// Like [`wait`](Self::wait), but returns when a signal handler ran on this thread meanwhile, for
    /// hosts that look for signals themselves.
    ///
    /// # Errors
    ///
    /// Every [`WaitError`]; nothing was taken then.
    pub fn wait_interruptible(
        &self,
        max: usize,
        deadline: Option<Instant>,
        out: &mut Vec<E>,
    ) -> Result<usize, WaitError> {
        self.wait_with(OnSignal::Return, max, deadline, out)
    }

    /// Makes the thread that waits return, or the next one that does. Wakes do not add up.
    ///
    /// Until then the fd is readable; where nobody waits, [`drain`](Self::drain) takes the wake.
    pub fn wake(&self) {
        self.inner.update(State::on_wake);
    }

    /// Ends the queue: it gives no more slots. Those outstanding still complete. Idempotent.
    ///
    /// Once they have and everything is drained, [`wait`](Self::wait) says [`WaitError::Closed`] and
    /// the fd stays readable.
    pub fn shutdown(&self) {
        self.inner.update(State::on_shutdown);
    }

    /// Places taken: slots outstanding and events undrained.
    pub fn pending(&self) -> u32 {
        self.inner.state.lock().pending()
    }

    /// Whether the queue was shut down, every event is drained and no slot is outstanding.
    pub fn is_finished(&self) -> bool {
        self.inner.state.lock().is_finished()
    }

    fn wait_with(
        &self,
        on_signal: OnSignal,
        max: usize,
        deadline: Option<Instant>,
        out: &mut Vec<E>,
    ) -> Result<usize, WaitError> {
        let _turn = Turn::take(&self.inner)?;
        loop {
            let found = {
                let _gathering = self.inner.gather();
                self.inner.update(|state| state.on_wait_looks(out, max))
            };
            if let Some(found) = found {
                return found;
            }
            let left = deadline.map(time_left);
            if left == Some(Duration::ZERO) {
                return Err(WaitError::Timeout);
            }
            match signal::wait_readable(self.fd(), left) {
                Ok(()) => {}
                Err(Errno::INTR) if on_signal == OnSignal::Retry => {}
                Err(Errno::INTR) => return Err(WaitError::Interrupted),
                Err(errno) => return Err(WaitError::Poll(errno.into())),
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a blocking wait is a driver: the clock is its own")]
fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

impl<E> Inner<E> {
    /// Changes the books and brings the fd in line before anyone else sees either.
    fn update<R>(&self, change: impl FnOnce(&mut State<E>) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state);
        self.settle(&mut state);
        result
    }

    fn settle(&self, state: &mut State<E>) {
        match state.settle() {
            Some(Edge::Raise) => self.signal.raise(),
            Some(Edge::Clear) => self.signal.clear(),
            None => {}
        }
    }
}

#[cfg(target_os = "linux")]
impl<E> Inner<E> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.sockets.fd()
    }

    /// Lets sockets that are ready wake those who wait, whose events the look that follows finds. Until then
    /// the signal is left as it is: it would be raised and cleared for each of them.
    fn gather(&self) -> Option<Gathering<'_, E>> {
        if !self.sockets.is_used() {
            return None;
        }
        let gathering = Gathering::begin(self);
        self.sockets.collect();
        Some(gathering)
    }
}

#[cfg(not(target_os = "linux"))]
impl<E> Inner<E> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.signal.fd()
    }

    /// There are no sockets to look at.
    fn gather(&self) -> Option<Gathering<'_, E>> {
        None
    }
}

/// The signal stays as it is for as long as this lives.
struct Gathering<'a, E>(&'a Inner<E>);

impl<'a, E> Gathering<'a, E> {
    #[cfg(target_os = "linux")]
    fn begin(inner: &'a Inner<E>) -> Self {
        inner.update(State::on_gathering_begins);
        Self(inner)
    }
}

impl<E> Drop for Gathering<'_, E> {
    fn drop(&mut self) {
        self.0.update(State::on_gathering_ends);
    }
}

impl<E> Slot<E> {
    /// Puts `event` at the end of the queue. If every handle to the queue is gone, drops it.
    pub fn complete(mut self, event: E) {
        if let Some(queue) = std::mem::take(&mut self.queue).upgrade() {
            queue.update(|state| state.on_complete(event));
        }
    }

    /// As [`complete`](Self::complete), but the fd tells of it only once the announcement is dropped, or something
    /// else changes: whoever is about to complete more makes one wake of many.
    ///
    /// `None` if the fd tells already: also where nothing else is outstanding, so that there is no more to come.
    pub fn complete_quietly(mut self, event: E) -> Option<Announcement<E>> {
        let queue = std::mem::take(&mut self.queue).upgrade()?;
        let mut state = queue.state.lock();
        match state.on_quiet_complete(event) {
            Quiet::Told => None,
            Quiet::Owed => Some(Announcement(Arc::downgrade(&queue))),
            Quiet::Alone => {
                queue.settle(&mut state);
                None
            }
        }
    }
}

impl<E> Drop for Announcement<E> {
    fn drop(&mut self) {
        if let Some(queue) = self.0.upgrade() {
            queue.update(State::on_announcement);
        }
    }
}

impl<E> Drop for Slot<E> {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.upgrade() {
            queue.update(State::on_give_back);
        }
    }
}

/// The right to be the one waiting thread.
struct Turn<'a, E>(&'a Inner<E>);

impl<'a, E> Turn<'a, E> {
    fn take(inner: &'a Inner<E>) -> Result<Self, WaitError> {
        inner.update(State::on_wait_begins)?;
        Ok(Self(inner))
    }
}

impl<E> Drop for Turn<'_, E> {
    fn drop(&mut self) {
        self.0.update(State::on_wait_ends);
    }
}

impl<E> Clone for CompletionQueue<E> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<E> fmt::Debug for CompletionQueue<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pending = self.inner.state.lock().pending();
        f.debug_struct("CompletionQueue")
            .field("pending", &pending)
            .field("fd", &self.inner.fd())
            .finish_non_exhaustive()
    }
}

impl<E> fmt::Debug for Slot<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

impl<E> fmt::Debug for Announcement<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcement").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
