//! A TLS stream in readiness form: the link under one lock, and the task that sends what is left.

use super::{
    super::{Lingering, Transport},
    Terms,
    link::{Leftover, Link},
    session::TlsSession,
};
use parking_lot::Mutex;
use std::{
    future::poll_fn,
    io::{self, IoSlice},
    net::Shutdown,
    sync::Arc,
    task::{Context, Poll},
};

/// One end of a TLS stream that stands.
///
/// What was written is encrypted at once, and what the inner transport does not take then, 64 KiB at most, is sent
/// by a task; until it is, writes have to wait. So a wait for readiness is all that a caller ever owes.
#[derive(Debug)]
pub(super) struct TlsTransport {
    shared: Arc<Shared>,
    session: Arc<TlsSession>,
    terms: Terms,
}

/// What the sending task has in common with the transport.
#[derive(Debug)]
struct Shared {
    /// `None` once closed. Held for one step without a wait; the longest is to encrypt 64 KiB.
    link: Mutex<Option<Link>>,
}

impl TlsTransport {
    pub(super) fn new(link: Link, session: TlsSession, terms: Terms) -> Self {
        let shared = Arc::new(Shared { link: Mutex::new(Some(link)) });
        Self { shared, session: Arc::new(session), terms }
    }

    fn with<T>(&self, step: impl FnOnce(&mut Link) -> T) -> Option<T> {
        self.shared.link.lock().as_mut().map(step)
    }

    fn send(&self, leftover: Leftover) {
        match leftover {
            Leftover::None => {}
            Leftover::Begun => drop(self.terms.runtime.spawn(send(Arc::clone(&self.shared)))),
        }
    }
}

/// Sends what is left, until the transport is closed.
async fn send(shared: Arc<Shared>) {
    let woken = poll_fn(|cx| match &mut *shared.link.lock() {
        Some(link) => link.poll_send(cx),
        None => Poll::Ready(None),
    });
    if let Some(waker) = woken.await {
        waker.wake();
    }
}

fn closed() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl Transport for TlsTransport {
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let (answer, leftover) = self.with(|link| link.read(buf)).ok_or_else(closed)?;
        self.send(leftover);
        answer
    }

    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let (n, leftover) = self.with(|link| link.write(bufs)).ok_or_else(closed)??;
        self.send(leftover);
        Ok(n)
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.with(|link| link.poll_read_ready(cx)).unwrap_or(Poll::Ready(()))
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.with(|link| link.poll_write_ready(cx)).unwrap_or(Poll::Ready(()))
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let leftover = self.with(|link| link.shutdown(how)).ok_or_else(closed)??;
        self.send(leftover);
        Ok(())
    }

    fn abort(&self) {
        self.with(Link::abort);
    }

    fn has_delivered(&self) -> bool {
        self.with(|link| link.has_delivered()).unwrap_or(true)
    }

    fn is_quiet(&self) -> bool {
        let Some((is_quiet, leftover)) = self.with(Link::is_quiet) else { return false };
        self.send(leftover);
        is_quiet
    }

    fn tls_session(&self) -> Option<Arc<TlsSession>> {
        Some(Arc::clone(&self.session))
    }

    fn close(self: Box<Self>) -> Option<Lingering> {
        let mut link = self.shared.link.lock().take()?;
        if link.end() || self.terms.close_timeout.is_zero() {
            return None;
        }
        let (lingering, held) = Lingering::new();
        let timeout = self.terms.close_timeout;
        self.terms.runtime.spawn(async move {
            let rest = poll_fn(|cx| link.poll_send(cx));
            if tokio::time::timeout(timeout, rest).await.is_err() {
                tracing::debug!(?timeout, "a closed TLS stream was cut: its peer does not read");
                link.abort();
            }
            drop(link);
            drop(held.await);
        });
        Some(lingering)
    }
}

impl Drop for TlsTransport {
    /// For whoever drops it without [`close`](Transport::close): nothing is waited for.
    fn drop(&mut self) {
        let link = self.shared.link.lock().take();
        if let Some(mut link) = link {
            link.end();
        }
    }
}
