//! rustls between plain bytes and an inner transport, without waiting for anything.

use super::super::Transport;
use crate::{error::TlsFailure, identity::failure};
use rustls::Connection;
use std::{
    io::{self, BufRead, ErrorKind, IoSlice, Read, Write},
    net::Shutdown,
    task::{Context, Poll, Waker},
};

/// Most bytes that are encrypted ahead of what the inner transport takes.
const SEND_LIMIT: usize = 64 << 10;
/// Most bytes of the peer that a close looks through.
const DISCARD_LIMIT: usize = 64 << 10;

/// One end of TLS, its two sides, and how far each has come.
#[derive(Debug)]
pub(super) struct Link {
    inner: Box<dyn Transport>,
    tls: Connection,
    /// What broke TLS for good; the inner transport tells its own failures itself.
    broken: Option<TlsFailure>,
    /// What the inner transport said when nobody of the caller's was there to hear it.
    send_error: Option<io::Error>,
    is_read_shut: bool,
    is_write_shut: bool,
    is_aborted: bool,
    /// Waits for the inner transport to take what is left to be sent; `None` while nothing is.
    sending: Option<Sending>,
}

/// Something is left to be sent, and a task of ours does so.
#[derive(Debug, Default)]
struct Sending {
    /// Who wants to write after it.
    waiting: Option<Waker>,
}

/// Whether a step left something for the task that sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Leftover {
    None,
    /// The task must be started.
    Begun,
}

impl Link {
    pub(super) fn new(inner: Box<dyn Transport>, mut tls: Connection) -> Self {
        tls.set_buffer_limit(Some(SEND_LIMIT));
        Self {
            inner,
            tls,
            broken: None,
            send_error: None,
            is_read_shut: false,
            is_write_shut: false,
            is_aborted: false,
            sending: None,
        }
    }

    pub(super) fn tls(&self) -> &Connection {
        &self.tls
    }

    pub(super) fn inner(&self) -> &dyn Transport {
        self.inner.as_ref()
    }

    /// Gives the inner transport what is encrypted; false where it does not take all of it now.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Inner(self.inner.as_ref())) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Takes what the inner transport has. `UnexpectedEof` for its end while the two do not know each other yet.
    pub(super) fn receive(&mut self) -> io::Result<()> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone().into());
        }
        let n = self.tls.read_tls(&mut Inner(self.inner.as_ref()))?;
        if n == 0 && self.tls.is_handshaking() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Err(error) = self.tls.process_new_packets() {
            let broken = failure(error);
            self.broken = Some(broken.clone());
            // The alert that says why.
            let _ = self.flush();
            return Err(broken.into());
        }
        Ok(())
    }

    /// As [`receive`](Self::receive), and answers what only TLS sees.
    fn fill(&mut self) -> io::Result<Leftover> {
        self.receive()?;
        Ok(self.flush_later())
    }

    /// As [`flush`](Self::flush), leaving what is left, and a failure, for later.
    fn flush_later(&mut self) -> Leftover {
        if self.sending.is_some() {
            return Leftover::None;
        }
        match self.flush() {
            Ok(true) => Leftover::None,
            Ok(false) => {
                self.sending = Some(Sending::default());
                Leftover::Begun
            }
            Err(error) => {
                self.send_error = Some(error);
                Leftover::None
            }
        }
    }

    /// Reads plain bytes. Whether something is left to be sent is told also where the read fails.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> (io::Result<usize>, Leftover) {
        let mut leftover = Leftover::None;
        if buf.is_empty() || self.is_read_shut {
            return (Ok(0), leftover);
        }
        loop {
            match self.tls.reader().read(buf) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return (Err(Truncated::new().into()), leftover);
                }
                answer => return (answer, leftover),
            }
            match self.fill() {
                Ok(Leftover::None) => {}
                Ok(Leftover::Begun) => leftover = Leftover::Begun,
                Err(error) => return (Err(error), leftover),
            }
        }
    }

    /// Encrypts plain bytes as far as the limit lets it, and sends what the inner transport takes.
    pub(super) fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<(usize, Leftover)> {
        if self.is_write_shut {
            return Err(io::Error::from_raw_os_error(libc::EPIPE));
        }
        if let Some(error) = self.send_error.take() {
            return Err(error);
        }
        if self.sending.is_some() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let n = self.tls.writer().write_vectored(bufs)?;
        let leftover = self.flush_later();
        match self.send_error.take() {
            Some(error) => Err(error),
            None => Ok((n, leftover)),
        }
    }

    /// Ends directions in order.
    pub(super) fn shutdown(&mut self, how: Shutdown) -> io::Result<Leftover> {
        if how != Shutdown::Write {
            self.is_read_shut = true;
            // For those who wait: the inner transport wakes them.
            self.inner.shutdown(Shutdown::Read)?;
        }
        if how != Shutdown::Read && !self.is_write_shut {
            self.is_write_shut = true;
            self.tls.send_close_notify();
            return Ok(self.flush_later());
        }
        Ok(Leftover::None)
    }

    pub(super) fn abort(&mut self) {
        self.is_aborted = true;
        self.inner.abort();
    }

    /// Says all that can be said now of what was written, and the end; then the link can be dropped. False where
    /// the inner transport does not take it all, which is worth a wait.
    pub(super) fn end(&mut self) -> bool {
        if self.is_aborted {
            return true;
        }
        if !self.is_write_shut {
            self.is_write_shut = true;
            self.tls.send_close_notify();
        }
        let is_sent = self.flush().unwrap_or(true);
        self.discard();
        is_sent
    }

    /// Takes what came and nobody read, such as session tickets: a socket that is closed over unread bytes resets
    /// the connection, and the peer may lose what we sent. Whether more may come.
    pub(super) fn discard(&self) -> bool {
        let mut room = [0; 4096];
        let mut left = DISCARD_LIMIT;
        while left > 0 {
            match self.inner.try_read(&mut room) {
                Ok(n @ 1..) => left = left.saturating_sub(n),
                Ok(0) => return false,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// Ready when a read would not have to wait.
    pub(super) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_read_shut || self.broken.is_some() || self.has_news() {
            return Poll::Ready(());
        }
        self.inner.poll_read_ready(cx)
    }

    /// Whether plain bytes or the end wait to be read.
    fn has_news(&mut self) -> bool {
        match self.tls.reader().fill_buf() {
            Err(error) => error.kind() != ErrorKind::WouldBlock,
            Ok(_) => true,
        }
    }

    /// Ready when nothing is left to be sent; else keeps the waker, which is the stream's own and nobody's code.
    pub(super) fn poll_write_ready(&mut self, cx: &Context<'_>) -> Poll<()> {
        match &mut self.sending {
            Some(sending) => {
                sending.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }

    /// Goes on sending what is left. Ready when that is over, well or not, with whom to wake.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Option<Waker>> {
        loop {
            match self.flush() {
                Ok(true) => break,
                Ok(false) if self.inner.poll_write_ready(cx).is_pending() => return Poll::Pending,
                Ok(false) => {}
                Err(error) => {
                    self.send_error = Some(error);
                    break;
                }
            }
        }
        Poll::Ready(self.sending.take().and_then(|sending| sending.waiting))
    }

    pub(super) fn has_delivered(&self) -> bool {
        !self.tls.wants_write() && self.inner.has_delivered()
    }

    /// Whether nothing came but what only TLS sees, which is taken.
    pub(super) fn is_quiet(&mut self) -> (bool, Leftover) {
        let mut leftover = Leftover::None;
        loop {
            if self.broken.is_some() || self.has_news() {
                return (false, leftover);
            }
            if self.inner.is_quiet() {
                return (true, leftover);
            }
            match self.fill() {
                Ok(Leftover::None) => {}
                Ok(Leftover::Begun) => leftover = Leftover::Begun,
                Err(_) => return (false, leftover),
            }
        }
    }
}

/// The inner transport ended, and TLS did not: somebody may have cut the rest off.
#[derive(Debug, thiserror::Error)]
#[error("the peer ended the connection without a close_notify: bytes may be missing")]
struct Truncated(#[source] io::Error);

impl Truncated {
    fn new() -> Self {
        // What it is to programs that look at numbers.
        Self(io::Error::from_raw_os_error(libc::ECONNRESET))
    }
}

impl From<Truncated> for io::Error {
    fn from(truncated: Truncated) -> Self {
        Self::new(ErrorKind::UnexpectedEof, truncated)
    }
}

/// The inner transport as rustls takes it.
pub(super) struct Inner<'a>(pub(super) &'a dyn Transport);

impl Read for Inner<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl Write for Inner<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
