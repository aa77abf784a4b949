//! A stream whose frames are watched as they are read.

use super::frames::{FrameWatch, GoAway, Seen};
use crate::{error::ConnectionError, transport::Stream};
use parking_lot::Mutex;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a connection's peer has said so far, beside its answers to calls.
#[derive(Debug)]
pub(super) struct Heard {
    /// Whether its SETTINGS have come.
    pub(super) has_settings: bool,
    /// How many calls it takes at once; `None` while it has not said.
    pub(super) max_streams: Option<u32>,
    pub(super) goaway: Option<GoAway>,
    /// When its last byte came.
    pub(super) last_byte: Instant,
    /// What it said instead of going on, which HTTP/2 has no form for.
    pub(super) refusal: Option<ConnectionError>,
}

/// The shared view of [`Heard`]: written where the stream is read, read where the connection is driven.
#[derive(Clone, Debug)]
pub(super) struct Listening(Arc<Mutex<Heard>>);

/// A stream that is listened to.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    watch: FrameWatch,
    listening: Listening,
}

impl Listening {
    /// Looks at what was heard, or changes it, under the lock.
    pub(super) fn with<R>(&self, look: impl FnOnce(&mut Heard) -> R) -> R {
        look(&mut self.0.lock())
    }

    /// Whether the peer said that it did not and will not look at this stream.
    pub(super) fn leaves_out(&self, stream: u32) -> bool {
        self.with(|heard| heard.goaway.as_ref().is_some_and(|goaway| stream > goaway.last_stream))
    }

    /// Keeps what a stream failed with, and gives it back.
    fn on_refusal(&self, error: io::Error) -> io::Error {
        let whole = error.get_ref().and_then(|inner| inner.downcast_ref::<ConnectionError>());
        self.with(|heard| heard.refusal = whole.cloned());
        error
    }

    fn on_read(&self, bytes: &[u8], watch: &mut FrameWatch) {
        let mut heard = self.0.lock();
        heard.last_byte = now();
        watch.on_bytes(bytes, &mut |seen| match seen {
            Seen::Settings { max_streams } => {
                heard.has_settings = true;
                heard.max_streams = max_streams.or(heard.max_streams);
            }
            Seen::GoAway(goaway) => heard.goaway = Some(goaway),
        });
    }
}

impl Wire {
    /// The stream to a server.
    pub(super) fn new(stream: Stream) -> (Self, Listening) {
        let listening = Listening(Arc::new(Mutex::new(Heard {
            has_settings: false,
            max_streams: None,
            goaway: None,
            last_byte: now(),
            refusal: None,
        })));
        (Self { stream, watch: FrameWatch::of_server(), listening: listening.clone() }, listening)
    }
}

#[expect(clippy::disallowed_methods, reason = "says when bytes came")]
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, watch, listening } = self.get_mut();
        let before = buf.filled().len();
        let read = ready!(Pin::new(stream).poll_read(cx, buf));
        if let Err(error) = read {
            return Poll::Ready(Err(listening.on_refusal(error)));
        }
        listening.on_read(&buf.filled()[before..], watch);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
