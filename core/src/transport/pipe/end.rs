//! One end of a pipe: its half of each direction, and who is woken after what it does.

use super::{
    link::{Link, Side},
    ring::{Consumer, Producer, connected as ring},
    state::Left,
    view::View,
};
use crate::{
    sync::{Arc, Mutex},
    transport::Transport,
};
use bytes::Bytes;
use std::{
    fmt,
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::coop,
};

/// One of the two ends of an in-memory duplex stream, made by [`pair`](super::pair).
///
/// It behaves as a socket does: what was written before an orderly end is read before that end is
/// seen; writes fail with `BrokenPipe` once the peer does not read any more; an
/// [`abort`](Transport::abort) is `ConnectionReset` for the peer at once, on both directions, and
/// what it had not read is gone. After its own abort an end answers `NotConnected`.
///
/// Any number of tasks and threads may use one end at once; each call is one piece. Who has the end to
/// itself goes through tokio's traits and takes no lock at all. A writer that waits is woken by the next read,
/// at the latest when half of the capacity was read.
///
/// Dropping an end finishes what it writes and refuses what it would read.
pub struct PipeEnd {
    link: Arc<Link>,
    side: Side,
    /// Held for the length of one copy, and only against other callers of this very end: the peer has its own.
    /// No waker is cloned, dropped or woken under it, and no buffer dropped.
    producer: Mutex<Producer>,
    /// As `producer`.
    consumer: Mutex<Consumer>,
}

/// Two connected ends that hold at most `capacity` bytes each way.
pub(super) fn connected(capacity: u32) -> (PipeEnd, PipeEnd) {
    let (link, [a, b]) = ring(capacity);
    let end = |link, side, (producer, consumer)| PipeEnd {
        link,
        side,
        producer: Mutex::new(producer),
        consumer: Mutex::new(consumer),
    };
    (end(Arc::clone(&link), Side::A, a), end(link, Side::B, b))
}

impl PipeEnd {
    fn view(&self) -> View<'_> {
        View::new(&self.link, self.side)
    }

    fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        let view = self.view();
        if view.is_readable(&mut self.consumer.lock()) {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let left = view.leave_reader(&mut self.consumer.lock(), waker);
        view.settle_reader(left, cx)
    }

    fn poll_writable(&self, cx: &Context<'_>) -> Poll<()> {
        let view = self.view();
        if view.is_writable(&mut self.producer.lock()) {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let left = view.leave_writer(&mut self.producer.lock(), waker);
        view.settle_writer(left, cx)
    }

    /// Reads no more: who waits at either end of that direction is told. What it holds is dropped with this end,
    /// since whoever calls may hold a lock.
    fn refuse(&self) {
        self.view().leave(Left::REFUSED);
    }

    /// Writes no more.
    fn finish(&self) {
        self.view().leave(Left::FINISHED);
        self.producer.lock().finish();
    }
}

/// Lets a task that is always ready yield now and then, as tokio's own sockets do.
fn cooperate(cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> Poll<()>) -> Poll<()> {
    let budget = ready!(coop::poll_proceed(cx));
    ready!(poll(cx));
    budget.made_progress();
    Poll::Ready(())
}

fn or_would_block<T>(answer: Poll<io::Result<T>>) -> io::Result<T> {
    match answer {
        Poll::Ready(answer) => answer,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn are_empty(bufs: &[IoSlice<'_>]) -> bool {
    bufs.iter().all(|buf| buf.is_empty())
}

impl Transport for PipeEnd {
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.try_read_locked(buf).0
    }

    fn try_read_locked(&self, buf: &mut [u8]) -> (io::Result<usize>, Option<Bytes>) {
        if buf.is_empty() {
            return (Ok(0), None);
        }
        let view = self.view();
        let pulled = view.read(&mut self.consumer.lock(), |consumer| consumer.pull(buf));
        match or_would_block(pulled) {
            Ok(Some(pulled)) => {
                let (n, spent) = view.after_read(pulled);
                (Ok(n), spent)
            }
            Ok(None) => (Ok(0), None),
            Err(error) => (Err(error), None),
        }
    }

    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if are_empty(bufs) {
            return Ok(0);
        }
        let view = self.view();
        let pushed = view.write(&mut self.producer.lock(), |producer| producer.push(bufs));
        or_would_block(pushed).inspect(|_| view.after_write())
    }

    fn try_recv_buf(&self, max: usize) -> io::Result<Bytes> {
        if max == 0 {
            return Ok(Bytes::new());
        }
        let view = self.view();
        let pulled = view.read(&mut self.consumer.lock(), |consumer| consumer.pull_owned(max));
        // What is used up shares its memory with what is returned.
        Ok(or_would_block(pulled)?.map_or_else(Bytes::new, |pulled| view.after_read(pulled).0))
    }

    fn try_send_buf(&self, buf: &mut Bytes) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let view = self.view();
        let pushed = view.write(&mut self.producer.lock(), |producer| producer.push_owned(buf));
        or_would_block(pushed).inspect(|_| view.after_write())
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        cooperate(cx, |cx| self.poll_readable(cx))
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        cooperate(cx, |cx| self.poll_writable(cx))
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
            self.finish();
        }
        if reads {
            self.refuse();
        }
        if self.view().is_aborted() {
            return Err(io::Error::from_raw_os_error(libc::ENOTCONN));
        }
        Ok(())
    }

    fn abort(&self) {
        // Only the first abort counts; of two at the same moment, each end sees its own.
        if !self.view().is_aborted() {
            self.view().leave(Left::ABORTED);
        }
        self.finish();
        self.refuse();
    }

    fn has_delivered(&self) -> bool {
        self.view().has_delivered()
    }

    fn is_quiet(&self) -> bool {
        !self.view().is_readable(&mut self.consumer.lock())
    }
}

impl AsyncRead for PipeEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let budget = ready!(coop::poll_proceed(cx));
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let Self { link, side, consumer, .. } = self.get_mut();
        let (view, consumer) = (View::new(link, *side), consumer.get_mut());
        loop {
            let into = buf.initialize_unfilled();
            if let Poll::Ready(pulled) = view.read(consumer, |consumer| consumer.pull(into)) {
                budget.made_progress();
                buf.advance(pulled?.map_or(0, |pulled| view.after_read(pulled).0));
                return Poll::Ready(Ok(()));
            }
            let left = view.leave_reader(consumer, cx.waker().clone());
            ready!(view.settle_reader(left, cx));
        }
    }
}

impl AsyncWrite for PipeEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let budget = ready!(coop::poll_proceed(cx));
        if are_empty(bufs) {
            return Poll::Ready(Ok(0));
        }
        let Self { link, side, producer, .. } = self.get_mut();
        let (view, producer) = (View::new(link, *side), producer.get_mut());
        loop {
            if let Poll::Ready(pushed) = view.write(producer, |producer| producer.push(bufs)) {
                budget.made_progress();
                return Poll::Ready(pushed.inspect(|_| view.after_write()));
            }
            let left = view.leave_writer(producer, cx.waker().clone());
            ready!(view.settle_writer(left, cx));
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was written is with the peer already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Finishes the writes; the peer reads what is left and then the end.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown(Shutdown::Write))
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.finish();
        self.refuse();
        let held = self.consumer.get_mut().refuse();
        drop(held);
    }
}

impl fmt::Debug for PipeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeEnd").field("side", &self.side).finish_non_exhaustive()
    }
}
