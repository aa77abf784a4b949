//! The stream of a client whose pings are judged as they pass.

use super::{
    super::{
        frame_reader::{ACK, DATA, FrameReader, GOAWAY, HEADERS, Head, PING, PREFACE, Piece},
        wire::now,
    },
    pings::PingRule,
};
use crate::transport::Stream;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const ENHANCE_YOUR_CALM: u32 = 0xb;
const REASON: &[u8] = b"too_many_pings";

/// Calls of one connection that are open.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenCalls(Arc<AtomicUsize>);

/// One of them, for as long as it lives.
#[derive(Debug)]
pub(super) struct OpenCall(Arc<AtomicUsize>);

impl OpenCalls {
    pub(super) fn open(&self) -> OpenCall {
        self.0.fetch_add(1, Relaxed);
        OpenCall(Arc::clone(&self.0))
    }

    pub(super) fn count(&self) -> usize {
        self.0.load(Relaxed)
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A stream that ends with GOAWAY once its client has asked too often.
#[derive(Debug)]
pub(super) struct Guarded {
    stream: Stream,
    rule: PingRule,
    calls: OpenCalls,
    incoming: FrameReader,
    outgoing: FrameReader,
    last_stream: u32,
    /// What is left to be sent of the GOAWAY, between two frames, before the end.
    refusal: Option<Vec<u8>>,
}

impl Guarded {
    pub(super) fn new(stream: Stream, rule: PingRule, calls: OpenCalls) -> Self {
        Self {
            stream,
            rule,
            calls,
            incoming: FrameReader::behind(PREFACE),
            outgoing: FrameReader::behind(0),
            last_stream: 0,
            refusal: None,
        }
    }

    fn on_read(&mut self, bytes: &[u8]) {
        let Self { rule, calls, incoming, last_stream, .. } = self;
        let mut is_too_much = false;
        incoming.on_bytes(bytes, |piece| match piece {
            Piece::Head(Head { kind: HEADERS, stream, .. }) => {
                *last_stream = stream.max(*last_stream);
            }
            Piece::Head(Head { kind: PING, flags, .. }) if flags & ACK == 0 => {
                is_too_much |= rule.on_ping(now(), calls.count());
            }
            _ => {}
        });
        if is_too_much {
            self.refusal = Some(goaway(self.last_stream));
        }
    }

    fn on_written(&mut self, bufs: &[IoSlice<'_>], mut count: usize) {
        for buf in bufs {
            let written = count.min(buf.len());
            count -= written;
            let rule = &mut self.rule;
            self.outgoing.on_bytes(&buf[..written], |piece| {
                if matches!(piece, Piece::Head(Head { kind: DATA | HEADERS, .. })) {
                    rule.on_sent();
                }
            });
        }
    }

    /// Says why it ends, as soon as no frame is half sent. Ready with the end.
    fn poll_refuse(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let ended = || io::Error::other("the client asked too often");
        let Some(left) = &mut self.refusal else { return Poll::Pending };
        if !self.outgoing.is_between() {
            // Whoever writes the rest wakes this task.
            return Poll::Pending;
        }
        while !left.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, left)) {
                Ok(count) => drop(left.drain(..count)),
                Err(error) => return Poll::Ready(error),
            }
        }
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(flushed.err().unwrap_or_else(ended))
    }
}

fn goaway(last_stream: u32) -> Vec<u8> {
    let length = (8 + REASON.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], GOAWAY, 0, 0, 0, 0, 0];
    frame.extend(last_stream.to_be_bytes());
    frame.extend(ENHANCE_YOUR_CALM.to_be_bytes());
    frame.extend(REASON);
    frame
}

impl AsyncRead for Guarded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refusal.is_none() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            this.on_read(&buf.filled()[before..]);
            if this.refusal.is_none() {
                return Poll::Ready(Ok(()));
            }
            buf.set_filled(before);
        }
        this.poll_refuse(cx).map(Err)
    }
}

impl AsyncWrite for Guarded {
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
        let this = self.get_mut();
        if this.refusal.is_some() && this.outgoing.is_between() {
            return this.poll_refuse(cx).map(Err);
        }
        let count = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, bufs))?;
        this.on_written(bufs, count);
        if this.refusal.is_some() {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(count))
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
