//! The sending half of one stream: writes as far as the peer's credit and the link's buffer reach.

use super::{
    buf::{Counted, Leaving},
    inlet::{Arrivals, Parting},
    link::MAX_FRAME,
};
use bytes::{Buf, Bytes, BytesMut};
use h2::{Reason, SendStream};
use parking_lot::Mutex;
use std::{
    io::{self, IoSlice},
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// One write is at most this long, so that others have their turn between two of them.
const CHUNK: usize = MAX_FRAME as usize;

/// How this end says that it has not ended in order; the reason of HTTP/2 for just that.
const ABORTED: Reason = Reason::CONNECT_ERROR;

/// The sending half of one stream.
#[derive(Debug)]
pub(super) struct Outlet {
    /// Held for the length of one copy.
    half: Mutex<Half>,
    leaving: Leaving,
}

#[derive(Debug)]
struct Half {
    /// `None` once the stream is given up.
    stream: Option<SendStream<Counted>>,
    state: State,
    /// Who waits for room. `h2` knows the waker of its last caller only, and a try must not displace this one.
    writer: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Finished,
    Aborted,
}

impl Outlet {
    pub(super) fn new(stream: SendStream<Counted>, arrivals: &Arc<Arrivals>) -> Self {
        let half = Half { stream: Some(stream), state: State::Open, writer: None };
        Self { half: Mutex::new(half), leaving: Leaving::new(arrivals) }
    }

    pub(super) fn write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send(bufs.iter().map(|buf| buf.len()).sum(), |room| gather(bufs, room))
    }

    pub(super) fn write_owned(&self, buf: &mut Bytes) -> io::Result<usize> {
        self.send(buf.len(), |room| buf.split_to(room))
    }

    /// Sends what `take` gives for the room that there is, of `length` bytes that there are.
    fn send(&self, length: usize, take: impl FnOnce(usize) -> Bytes) -> io::Result<usize> {
        if length == 0 {
            return Ok(0);
        }
        let mut half = self.half.lock();
        match half.poll_room(length.min(CHUNK)) {
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            Poll::Ready(room) => {
                let bytes = take(room?.min(length));
                let count = bytes.len();
                half.send(self.leaving.count(bytes), false)?;
                Ok(count)
            }
        }
    }

    pub(super) fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let (answer, _replaced) = {
            let mut half = self.half.lock();
            let replaced = half.writer.replace(waker);
            (half.poll_room(CHUNK).map(drop), replaced)
        };
        answer
    }

    pub(super) fn has_delivered(&self) -> bool {
        self.leaving.is_empty()
    }

    /// Ends the direction, after what was written before.
    pub(super) fn finish(&self) -> io::Result<()> {
        let mut half = self.half.lock();
        match half.state {
            State::Finished => return Ok(()),
            State::Aborted => return Err(io::Error::from_raw_os_error(libc::ENOTCONN)),
            State::Open => half.state = State::Finished,
        }
        let end = self.leaving.count(Bytes::new());
        half.send(end, true).map_err(|_| io::Error::from_raw_os_error(libc::ENOTCONN))
    }

    /// Resets the stream; what was not sent yet is thrown away.
    pub(super) fn abort(&self) {
        let mut half = self.half.lock();
        half.state = State::Aborted;
        if let Some(stream) = &mut half.stream {
            stream.send_reset(ABORTED);
        }
    }

    /// Gives the stream up. What was written is still sent, and the end after it unless it was aborted; until
    /// then what `hold` makes of the stream is kept.
    pub(super) fn part(&self, hold: impl FnOnce(SendStream<Counted>) -> Parting) {
        let _ = self.finish();
        let stream = self.half.lock().stream.take();
        if let Some(stream) = stream {
            self.leaving.keep(hold(stream));
        }
    }
}

impl Half {
    /// How many bytes may be sent now, of `wanted`. What is wanted is what `h2` makes room for.
    fn poll_room(&mut self, wanted: usize) -> Poll<io::Result<usize>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Err(broken_pipe())) };
        match self.state {
            State::Open => {}
            State::Finished => return Poll::Ready(Err(broken_pipe())),
            State::Aborted => {
                return Poll::Ready(Err(io::Error::from_raw_os_error(libc::ENOTCONN)));
            }
        }
        if stream.capacity() < wanted {
            stream.reserve_capacity(wanted);
        }
        let noop = Waker::noop();
        let mut cx = Context::from_waker(self.writer.as_ref().unwrap_or(noop));
        loop {
            match stream.capacity() {
                0 => {}
                room => return Poll::Ready(Ok(room.min(CHUNK))),
            }
            match stream.poll_capacity(&mut cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(self.why_closed())),
            }
        }
    }

    fn send(&mut self, bytes: Counted, is_last: bool) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Err(broken_pipe()) };
        stream.send_data(bytes, is_last).map_err(|_| self.why_closed())
    }

    /// The peer does not read any more, or the stream is broken.
    fn why_closed(&mut self) -> io::Error {
        let Some(stream) = &mut self.stream else { return broken_pipe() };
        let noop = Waker::noop();
        let mut cx = Context::from_waker(self.writer.as_ref().unwrap_or(noop));
        match stream.poll_reset(&mut cx) {
            Poll::Ready(Ok(Reason::CANCEL | Reason::NO_ERROR)) | Poll::Pending => broken_pipe(),
            Poll::Ready(Ok(_) | Err(_)) => io::Error::from_raw_os_error(libc::ECONNRESET),
        }
    }
}

fn gather(bufs: &[IoSlice<'_>], room: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(room);
    for buf in bufs {
        let left = room - bytes.len();
        bytes.extend_from_slice(&buf[..buf.len().min(left)]);
    }
    debug_assert_eq!(bytes.remaining(), room, "room is never more than there is");
    bytes.freeze()
}

fn broken_pipe() -> io::Error {
    io::Error::from_raw_os_error(libc::EPIPE)
}
