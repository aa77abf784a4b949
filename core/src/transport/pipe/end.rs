//! One end of a pipe: the lock around each direction, and who is woken after it.

use super::{
    state::{Flow, Role},
    waiter::poll_locked,
};
use crate::transport::Transport;
use parking_lot::Mutex;
use std::{
    fmt,
    io::{self, IoSlice},
    net::Shutdown,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};
use tokio::task::coop;

/// One of the two ends of an in-memory duplex stream, made by [`pair`](super::pair).
///
/// It behaves as a socket does: what was written before an orderly end is read before that end is
/// seen; writes fail with `BrokenPipe` once the peer does not read any more; an
/// [`abort`](Transport::abort) is `ConnectionReset` for the peer at once, on both directions, and
/// what it had not read is gone. After its own abort an end answers `NotConnected`.
///
/// Dropping an end finishes what it writes and refuses what it would read.
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    side: Side,
}

#[derive(Clone, Copy, Debug)]
enum Side {
    A,
    B,
}

struct Pipe {
    a_to_b: Direction,
    b_to_a: Direction,
}

/// Held for the length of one copy; wakers are cloned, dropped and woken outside of it.
struct Direction(Mutex<Waited>);

/// `reader` is set only while nothing can be read, `writer` only while nothing can be written.
struct Waited {
    flow: Flow,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Two connected ends that hold at most `capacity` bytes each way.
pub(super) fn connected(capacity: usize) -> (PipeEnd, PipeEnd) {
    let pipe =
        Arc::new(Pipe { a_to_b: Direction::new(capacity), b_to_a: Direction::new(capacity) });
    (PipeEnd { pipe: Arc::clone(&pipe), side: Side::A }, PipeEnd { pipe, side: Side::B })
}

impl Direction {
    fn new(capacity: usize) -> Self {
        Self(Mutex::new(Waited { flow: Flow::new(capacity), reader: None, writer: None }))
    }

    /// Lets `event` happen, then wakes whom it lets go on: once per edge, and nobody where nobody waits.
    fn on<R>(&self, event: impl FnOnce(&mut Flow) -> R) -> R {
        let (answer, reader, writer);
        {
            let mut waited = self.0.lock();
            answer = event(&mut waited.flow);
            reader = if waited.flow.is_readable() { waited.reader.take() } else { None };
            writer = if waited.flow.is_writable() { waited.writer.take() } else { None };
        }
        for waker in [reader, writer].into_iter().flatten() {
            waker.wake();
        }
        answer
    }

    fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        let attempt = |waited: &mut Waited| ready_if(waited.flow.is_readable());
        poll_locked(&self.0, cx, attempt, |waited| &mut waited.reader)
    }

    fn poll_writable(&self, cx: &Context<'_>) -> Poll<()> {
        let attempt = |waited: &mut Waited| ready_if(waited.flow.is_writable());
        poll_locked(&self.0, cx, attempt, |waited| &mut waited.writer)
    }
}

fn ready_if(ready: bool) -> Poll<()> {
    if ready { Poll::Ready(()) } else { Poll::Pending }
}

/// Lets a task that is always ready yield now and then, as tokio's own sockets do.
fn cooperate(cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> Poll<()>) -> Poll<()> {
    let budget = ready!(coop::poll_proceed(cx));
    ready!(poll(cx));
    budget.made_progress();
    Poll::Ready(())
}

impl PipeEnd {
    fn inbound(&self) -> &Direction {
        match self.side {
            Side::A => &self.pipe.b_to_a,
            Side::B => &self.pipe.a_to_b,
        }
    }

    fn outbound(&self) -> &Direction {
        match self.side {
            Side::A => &self.pipe.a_to_b,
            Side::B => &self.pipe.b_to_a,
        }
    }
}

impl Transport for PipeEnd {
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inbound().on(|flow| flow.read(buf))
    }

    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.outbound().on(|flow| flow.write(bufs))
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        cooperate(cx, |cx| self.inbound().poll_readable(cx))
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        cooperate(cx, |cx| self.outbound().poll_writable(cx))
    }

    /// Ends the directions that `how` names. Repeating it changes nothing.
    ///
    /// After `Read`, bytes that were not read are gone and the peer's writes fail.
    ///
    /// # Errors
    ///
    /// `NotConnected` if either end has aborted.
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let (reads, writes) = match how {
            Shutdown::Read => (true, false),
            Shutdown::Write => (false, true),
            Shutdown::Both => (true, true),
        };
        if writes {
            self.outbound().on(Flow::finish);
        }
        if reads {
            self.inbound().on(Flow::refuse);
        }
        // An abort reaches both directions, so that one of them tells.
        if self.outbound().on(|flow| flow.is_aborted()) {
            return Err(io::Error::from_raw_os_error(libc::ENOTCONN));
        }
        Ok(())
    }

    fn abort(&self) {
        self.outbound().on(|flow| flow.abort(Role::Writer));
        self.inbound().on(|flow| flow.abort(Role::Reader));
    }

    fn has_delivered(&self) -> bool {
        self.outbound().on(|flow| flow.is_drained())
    }

    fn is_quiet(&self) -> bool {
        !self.inbound().on(|flow| flow.is_readable())
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.outbound().on(Flow::finish);
        self.inbound().on(Flow::refuse);
    }
}

impl fmt::Debug for PipeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeEnd").field("side", &self.side).finish_non_exhaustive()
    }
}
