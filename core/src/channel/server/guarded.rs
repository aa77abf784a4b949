//! The stream of a client whose pings are judged as they pass.

use super::{super::wire::now, pings::PingRule};
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

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const PING: u8 = 0x6;
const ACK: u8 = 0x1;
const HEAD: usize = 9;
/// What a client sends before its first frame.
const PREFACE: usize = 24;
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
    incoming: Heads,
    outgoing: Heads,
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
            incoming: Heads::behind(PREFACE),
            outgoing: Heads::behind(0),
            last_stream: 0,
            refusal: None,
        }
    }

    fn on_read(&mut self, bytes: &[u8]) {
        let Self { rule, calls, incoming, last_stream, .. } = self;
        let mut is_too_much = false;
        incoming.on_bytes(bytes, |head| match head.kind {
            HEADERS => *last_stream = head.stream.max(*last_stream),
            PING if head.flags & ACK == 0 => {
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
            self.outgoing.on_bytes(&buf[..written], |head| {
                if matches!(head.kind, DATA | HEADERS) {
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
    let mut frame = vec![length[1], length[2], length[3], 0x7, 0, 0, 0, 0, 0];
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

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    kind: u8,
    flags: u8,
    stream: u32,
}

/// Finds the heads of frames in the bytes that pass.
#[derive(Debug)]
struct Heads {
    head: [u8; HEAD],
    have: usize,
    /// Bytes until the next head.
    left: usize,
}

impl Heads {
    /// The first frame comes behind so many bytes.
    fn behind(left: usize) -> Self {
        Self { head: [0; HEAD], have: 0, left }
    }

    /// Whether the next byte begins a frame.
    fn is_between(&self) -> bool {
        self.left == 0 && self.have == 0
    }

    fn on_bytes(&mut self, mut bytes: &[u8], mut found: impl FnMut(Head)) {
        while !bytes.is_empty() {
            let passed = if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                passed
            } else {
                let passed = bytes.len().min(HEAD - self.have);
                self.head[self.have..self.have + passed].copy_from_slice(&bytes[..passed]);
                self.have += passed;
                if self.have == HEAD {
                    self.have = 0;
                    found(self.take());
                }
                passed
            };
            bytes = &bytes[passed..];
        }
    }

    fn take(&mut self) -> Head {
        let [a, b, c, kind, flags, s, t, u, v] = self.head;
        self.left = u32::from_be_bytes([0, a, b, c]) as usize;
        Head { kind, flags, stream: u32::from_be_bytes([s, t, u, v]) & (u32::MAX >> 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn heads_are_found_however_bytes_are_cut(
            frames in prop::collection::vec((any::<u8>(), any::<u8>(), 0u32..1 << 31, 0usize..40), 0..8),
            cuts in prop::collection::vec(0usize..400, 0..10),
        ) {
            let mut bytes = vec![9; PREFACE];
            for (kind, flags, stream, length) in &frames {
                bytes.extend([0, 0, *length as u8, *kind, *flags]);
                bytes.extend(stream.to_be_bytes());
                bytes.extend(vec![7; *length]);
            }
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let (mut heads, mut found) = (Heads::behind(PREFACE), Vec::new());
            for ends in cuts.windows(2) {
                heads.on_bytes(&bytes[ends[0]..ends[1]], |head| found.push((head.kind, head.flags, head.stream)));
            }
            let expected: Vec<_> = frames.iter().map(|(kind, flags, stream, _)| (*kind, *flags, *stream)).collect();
            prop_assert_eq!(found, expected);
            prop_assert!(heads.is_between());
        }
    }
}
