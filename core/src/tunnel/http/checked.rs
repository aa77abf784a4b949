//! A client's stream, of which only what [`Framing`] lets through is read.

use super::{
    fault::Fault,
    framing::{Framing, HeadLimits},
};
use crate::{config::TimeLimit, transport::Stream};
use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use std::{
    fmt,
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// Bytes that are read at one time to be looked at.
const PIECE: usize = 8 << 10;

/// Time for a client to hang up once the end was said.
const LINGERING: Duration = Duration::from_secs(2);

/// What stands for a request that is refused for its form: whoever serves asks the gate what was wrong.
pub(in crate::tunnel) const REFUSED_METHOD: &str = "REFUSED";
const REFUSED: &[u8] = b"REFUSED / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// What the reader and whoever serves the requests tell each other.
#[derive(Debug, Default)]
pub(in crate::tunnel) struct Gate(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    fault: Option<Fault>,
    /// A request asked for another protocol, and did not get it.
    is_released: bool,
    waiting: Option<Waker>,
}

impl Gate {
    /// Why the request was refused that came instead of one.
    pub(in crate::tunnel) fn fault(&self) -> Option<Fault> {
        self.0.lock().fault
    }

    /// The protocol stays: the next request may come.
    pub(in crate::tunnel) fn release(&self) {
        let waiting = {
            let mut told = self.0.lock();
            told.is_released = true;
            told.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    fn poll_released(&self, cx: &Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let (answer, _replaced) = {
            let mut told = self.0.lock();
            if std::mem::take(&mut told.is_released) {
                (Poll::Ready(()), Some(waker))
            } else {
                (Poll::Pending, told.waiting.replace(waker))
            }
        };
        answer
    }
}

/// A stream whose reader gets requests that can be read in one way, and whose writer does not wait for ever.
pub(in crate::tunnel) struct Checked {
    stream: Stream,
    framing: Option<Framing>,
    gate: Arc<Gate>,
    /// What was read; the first `passed` bytes may go on.
    inbox: BytesMut,
    passed: usize,
    is_refused: bool,
    patience: TimeLimit,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Runs once the end was said.
    lingering: Option<Pin<Box<Sleep>>>,
}

impl Checked {
    /// For HTTP/1; `begun` was read before.
    pub(in crate::tunnel) fn http1(
        stream: Stream,
        begun: BytesMut,
        limits: HeadLimits,
        patience: TimeLimit,
        gate: &Arc<Gate>,
    ) -> Self {
        let framing = Some(Framing::new(limits));
        Self { framing, passed: 0, ..Self::framed(stream, begun, patience, gate) }
    }

    /// For what has framing of its own; `begun` was read before.
    pub(in crate::tunnel) fn framed(
        stream: Stream,
        begun: BytesMut,
        patience: TimeLimit,
        gate: &Arc<Gate>,
    ) -> Self {
        Self {
            stream,
            framing: None,
            gate: Arc::clone(gate),
            passed: begun.len(),
            inbox: begun,
            is_refused: false,
            patience,
            stalled: None,
            lingering: None,
        }
    }

    /// The stream, and what was read of it and went nowhere yet.
    pub(in crate::tunnel) fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.inbox)
    }

    /// Looks at what is there. Whether something may go on now.
    fn look(&mut self) -> io::Result<bool> {
        let Some(framing) = &mut self.framing else {
            self.passed = self.inbox.len();
            return Ok(self.passed > 0);
        };
        if self.is_refused {
            return Ok(false);
        }
        let was_in_head = framing.is_in_head();
        match framing.pass(&self.inbox) {
            Ok(passed) => self.passed = passed,
            Err(fault) if was_in_head => {
                self.gate.0.lock().fault = Some(fault);
                self.is_refused = true;
                self.inbox = BytesMut::from(REFUSED);
                self.passed = self.inbox.len();
            }
            Err(fault) => {
                self.gate.0.lock().fault = Some(fault);
                return Err(io::Error::new(io::ErrorKind::InvalidData, fault.text()));
            }
        }
        Ok(self.passed > 0)
    }

    fn is_held(&self) -> bool {
        self.framing.as_ref().is_some_and(Framing::is_held)
    }

    /// Reads what needs no look straight to where it belongs.
    fn poll_free(
        &mut self,
        cx: &mut Context<'_>,
        free: usize,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buf.remaining().min(free);
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let length = part.filled().len();
        if let Some(framing) = &mut self.framing {
            // Known to pass.
            let passed = framing.pass(part.filled());
            debug_assert_eq!(passed, Ok(length));
        }
        buf.advance(length);
        Poll::Ready(Ok(()))
    }

    /// Reads more to be looked at. Ready with false at the end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let before = self.inbox.len();
        self.inbox.resize(before + PIECE, 0);
        let mut part = ReadBuf::new(&mut self.inbox[before..]);
        let answer = Pin::new(&mut self.stream).poll_read(cx, &mut part);
        let length = part.filled().len();
        self.inbox.truncate(before + length);
        ready!(answer)?;
        Poll::Ready(Ok(length > 0))
    }

    /// Gives a write that waits no more than the patience that there is.
    fn poll_patience<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let Some(patience) = self.patience.duration() else { return written };
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Checked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.passed > 0 {
                let length = self.passed.min(buf.remaining());
                buf.put_slice(&self.inbox[..length]);
                self.inbox.advance(length);
                self.passed -= length;
                return Poll::Ready(Ok(()));
            }
            if self.is_refused {
                // No end either, which would be taken for a client that is gone before it has its answer.
                return Poll::Pending;
            }
            if !self.inbox.is_empty() && self.look()? {
                continue;
            }
            if self.is_held() {
                ready!(self.gate.poll_released(cx));
                if let Some(framing) = &mut self.framing {
                    framing.release();
                }
                continue;
            }
            let free = self.framing.as_ref().map_or(u64::MAX, Framing::free);
            if self.inbox.is_empty() && free > 0 {
                let free = usize::try_from(free).unwrap_or(usize::MAX);
                return self.poll_free(cx, free, buf);
            }
            if !ready!(self.poll_more(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Checked {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.poll_patience(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.poll_patience(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Says the end, and waits a moment for the client's: a socket that is closed over what a client still sends would
    /// reset the connection, and the client might lose what it was told.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.lingering = Some(Box::pin(tokio::time::sleep(LINGERING)));
        }
        let mut room = [0; 4096];
        loop {
            let mut part = ReadBuf::new(&mut room);
            match Pin::new(&mut self.stream).poll_read(cx, &mut part) {
                Poll::Ready(Ok(())) if !part.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        if let Some(lingering) = &mut self.lingering {
            ready!(lingering.as_mut().poll(cx));
        }
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("framing", &self.framing).finish_non_exhaustive()
    }
}
