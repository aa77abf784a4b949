//! tokio's `AsyncRead` and `AsyncWrite` for a stream, so that hyper, rustls and the like take it.

use super::Stream;
use crate::error::ConnectionError;
use std::{
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::coop,
};

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let progress = ready!(coop::poll_proceed(cx));
        loop {
            match self.try_read(buf.initialize_unfilled()) {
                Poll::Ready(Ok(n)) => {
                    progress.made_progress();
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => ready!(self.poll_readable(cx)),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = ready!(coop::poll_proceed(cx));
        loop {
            match self.try_write(bufs) {
                Poll::Ready(answer) => {
                    progress.made_progress();
                    return Poll::Ready(answer.map_err(io::Error::from));
                }
                Poll::Pending => ready!(self.poll_writable(cx)),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown(Shutdown::Write).map_err(io::Error::from))
    }
}

impl From<ConnectionError> for io::Error {
    /// Keeps the whole error as the inner one; the kind is the closest that `io` has.
    fn from(error: ConnectionError) -> Self {
        let kind = match &error {
            ConnectionError::Timeout { .. } => io::ErrorKind::TimedOut,
            ConnectionError::Broken { .. } => io::ErrorKind::ConnectionReset,
            ConnectionError::ConnectionFailed { .. } => io::ErrorKind::ConnectionRefused,
            ConnectionError::BindFailed { .. } => io::ErrorKind::AddrNotAvailable,
            ConnectionError::Closed { .. } => io::ErrorKind::NotConnected,
            ConnectionError::InvalidConfig { .. } => io::ErrorKind::InvalidInput,
            ConnectionError::Protocol { .. } | ConnectionError::Tls { .. } => {
                io::ErrorKind::InvalidData
            }
            ConnectionError::LimitExceeded { .. }
            | ConnectionError::CircuitOpen { .. }
            | ConnectionError::Udp { .. }
            | ConnectionError::Rpc { .. } => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
