//! A stream as the transport of another: TLS over a connection that was accepted, and of which something was read.

use super::{Network, Stream, StreamReady, Transport, tls};
use crate::{
    config::TlsConfig,
    context::{CloseReason, Direction, Protocol},
    error::ConnectionError,
};
use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use rustls::ServerConfig;
use std::{
    future::Future,
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

impl Network {
    /// Secures the server's end of `stream`, whose first bytes, `begun`, were read already; `config` says the rest, but for
    /// how long a close may take.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Tls`]; [`ConnectionError::ConnectionFailed`] where the client left.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the stream.
    pub(crate) async fn secure_accepted(
        &self,
        stream: Stream,
        begun: Bytes,
        config: Arc<ServerConfig>,
    ) -> Result<Stream, ConnectionError> {
        let (source, destination) = {
            let context = stream.context();
            (context.source.clone(), context.destination.clone())
        };
        let close_timeout = match self.own_tls() {
            Some(tls) => tls.config().close_timeout,
            None => TlsConfig::default().close_timeout,
        };
        let terms = tls::Terms::of(self.runtime(), close_timeout);
        let over = Box::new(Over::new(stream, begun));
        let ends = (source.clone(), destination.clone());
        let transport = tls::accept(over, config, terms, ends).await?;
        Ok(self.stream(Protocol::Tls, Direction::Accepted, transport, source, destination))
    }
}

/// A stream as a transport.
#[derive(Debug)]
struct Over {
    stream: Stream,
    /// What was read of it before.
    begun: Mutex<Bytes>,
    reading: Mutex<Option<StreamReady>>,
    writing: Mutex<Option<StreamReady>>,
}

impl Over {
    fn new(stream: Stream, begun: Bytes) -> Self {
        Self {
            stream,
            begun: Mutex::new(begun),
            reading: Mutex::default(),
            writing: Mutex::default(),
        }
    }
}

fn tried<T>(answer: Poll<Result<T, ConnectionError>>) -> io::Result<T> {
    match answer {
        Poll::Ready(answer) => answer.map_err(io::Error::from),
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Waits by `kept`, which is made where there is none.
fn poll_ready(
    kept: &Mutex<Option<StreamReady>>,
    cx: &mut Context<'_>,
    make: impl FnOnce() -> StreamReady,
) -> Poll<()> {
    // Taken out, so that no waker is run, cloned or dropped under the lock.
    let mut ready = kept.lock().take().unwrap_or_else(make);
    let answer = Pin::new(&mut ready).poll(cx);
    if answer.is_pending() {
        let before = kept.lock().replace(ready);
        drop(before);
    }
    answer
}

impl Transport for Over {
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        {
            let mut begun = self.begun.lock();
            if !begun.is_empty() && !buf.is_empty() {
                let count = begun.len().min(buf.len());
                buf[..count].copy_from_slice(&begun[..count]);
                begun.advance(count);
                return Ok(count);
            }
        }
        tried(self.stream.try_read(buf))
    }

    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        tried(self.stream.try_write(bufs))
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.begun.lock().is_empty() {
            return Poll::Ready(());
        }
        poll_ready(&self.reading, cx, || self.stream.readable())
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        poll_ready(&self.writing, cx, || self.stream.writable())
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.stream.shutdown(how).map_err(io::Error::from)
    }

    fn abort(&self) {
        self.stream.abort(CloseReason::Local);
    }

    fn has_delivered(&self) -> bool {
        self.stream.has_delivered()
    }

    fn is_quiet(&self) -> bool {
        self.begun.lock().is_empty() && self.stream.is_quiet()
    }
}
