//! Pipes of the kernel's, through which bytes go from socket to socket without entering this process (`splice`).

use super::Stream;
use crate::budget::{Budget, Permit};
use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// Where kernel pipes come from: bounded in number. Cheap to clone; every clone is the same source.
#[derive(Clone, Debug)]
pub(crate) struct Pipes {
    source: Arc<Source>,
}

#[derive(Debug)]
struct Source {
    budget: Budget,
    size: AtomicUsize,
    /// Bytes that went through, of all pipes.
    spliced: AtomicU64,
}

/// A pipe, filled from one socket and emptied into another. Dropping it closes both of its descriptors.
///
/// It is filled only while it is empty, so that `EAGAIN` is always the socket's: one that waits for a pipe to have room
/// would wait for an event that the socket does not bring.
#[derive(Debug)]
pub(crate) struct KernelPipe {
    reader: OwnedFd,
    writer: OwnedFd,
    inside: usize,
    size: usize,
    source: Arc<Source>,
    /// The last, so that it comes back after the descriptors are gone.
    _permit: Permit,
}

/// What came of an attempt to splice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spliced {
    /// So many bytes; into a pipe, none is the end of the stream.
    Moved(usize),
    /// The system does not splice this socket. Nothing happened.
    Refused,
}

impl Pipes {
    /// At most `limit` pipes at one time, of `size` bytes where the system grants that.
    pub(crate) fn new(limit: u64, size: usize) -> Self {
        let budget = Budget::new(limit);
        let size = AtomicUsize::new(size);
        Self { source: Arc::new(Source { budget, size, spliced: AtomicU64::new(0) }) }
    }

    /// Opens pipes within this limit and of this size from now on.
    pub(crate) fn resize(&self, limit: u64, size: usize) {
        self.source.size.store(size, Ordering::Relaxed);
        self.source.budget.set_limit(limit);
    }

    /// Bytes that went through pipes.
    pub(crate) fn spliced(&self) -> u64 {
        self.source.spliced.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn in_use(&self) -> u64 {
        self.source.budget.in_use()
    }

    /// A new pipe; `None` where there are enough, or no descriptor is left.
    pub(crate) fn open(&self) -> Option<KernelPipe> {
        let permit = self.source.budget.try_acquire()?;
        let size = self.source.size.load(Ordering::Relaxed);
        let opened = system::open(size)
            .inspect_err(|error| tracing::debug!(%error, "no pipe to splice through"));
        let (reader, writer) = opened.ok()?;
        let source = Arc::clone(&self.source);
        Some(KernelPipe { reader, writer, inside: 0, size, source, _permit: permit })
    }
}

impl KernelPipe {
    pub(crate) fn is_empty(&self) -> bool {
        self.inside == 0
    }

    /// Fills the empty pipe with at most `max` bytes of what `socket` has received.
    pub(super) fn fill(&mut self, socket: BorrowedFd<'_>, max: usize) -> io::Result<usize> {
        debug_assert!(self.is_empty(), "what EAGAIN means would not be known");
        let n = system::fill(socket, &self.writer, max.min(self.size))?;
        self.inside += n;
        Ok(n)
    }

    /// Gives `socket` as much of what is inside as it takes.
    pub(super) fn give(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // No more than there is: asked for more, the kernel holds the last segment back and waits for the rest.
        let n = system::give(&self.reader, socket, self.inside)?;
        if n == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.inside -= n;
        self.source.spliced.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }

    /// Takes out again what a socket would not have spliced to it.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = buf.len().min(self.inside);
        let n = rustix::io::retry_on_intr(|| rustix::io::read(&self.reader, &mut buf[..room]))?;
        if n == 0 && room > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.inside -= n;
        Ok(n)
    }
}

impl Spliced {
    /// Tells a refusal from a failure of the socket. A sandbox may refuse the call, and a socket with a protocol of the
    /// kernel's on top of it does; whatever the socket has to say about it, a plain read or write will hear as well.
    pub(super) fn or_refused(answer: io::Result<usize>) -> io::Result<Self> {
        match answer {
            Ok(n) => Ok(Self::Moved(n)),
            Err(error) if is_refusal(&error) => {
                tracing::debug!(%error, "splicing refused");
                Ok(Self::Refused)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Moved(n) => n,
            Self::Refused => 0,
        }
    }
}

fn is_refusal(error: &io::Error) -> bool {
    const REFUSALS: [i32; 5] =
        [libc::EINVAL, libc::ENOSYS, libc::EOPNOTSUPP, libc::EPERM, libc::ENOMEM];
    match error.raw_os_error() {
        Some(code) => REFUSALS.contains(&code),
        None => matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported),
    }
}

/// Whether the kernel may move bytes from one of these to the other.
pub(crate) fn can_splice(from: &Stream, to: &Stream) -> bool {
    cfg!(target_os = "linux") && from.is_socket() && to.is_socket()
}

#[cfg(target_os = "linux")]
mod system {
    use crate::transport::sigpipe::without_sigpipe;
    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with};
    use std::{
        io,
        os::fd::{BorrowedFd, OwnedFd},
    };

    pub(super) fn open(size: usize) -> io::Result<(OwnedFd, OwnedFd)> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Refused to those who have many; the pipe is good as it is.
        let _ = fcntl_setpipe_size(&writer, size);
        Ok((reader, writer))
    }

    const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

    pub(super) fn fill(from: BorrowedFd<'_>, to: &OwnedFd, max: usize) -> io::Result<usize> {
        let once = || rustix::pipe::splice(from, None, to, None, max, FLAGS);
        Ok(rustix::io::retry_on_intr(once)?)
    }

    pub(super) fn give(from: &OwnedFd, to: BorrowedFd<'_>, max: usize) -> io::Result<usize> {
        let once = || rustix::pipe::splice(from, None, to, None, max, FLAGS);
        without_sigpipe(|| Ok(rustix::io::retry_on_intr(once)?))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::{
        io,
        os::fd::{BorrowedFd, OwnedFd},
    };

    pub(super) fn open(_: usize) -> io::Result<(OwnedFd, OwnedFd)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn fill(_: BorrowedFd<'_>, _: &OwnedFd, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn give(_: &OwnedFd, _: BorrowedFd<'_>, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        os::{fd::AsFd, unix::net::UnixStream},
    };

    fn pair() -> (UnixStream, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        (near, far)
    }

    #[test]
    fn a_pipe_holds_no_more_than_its_size_and_gives_what_it_holds_in_order() {
        let pipes = Pipes::new(1, 4096);
        let mut pipe = pipes.open().unwrap();
        let (from, mut source) = pair();
        let (to, mut sink) = pair();
        let sent: Vec<u8> = (0..=250).cycle().take(9000).collect();
        source.write_all(&sent).unwrap();
        drop(source);
        let mut got = Vec::new();
        loop {
            let n = pipe.fill(from.as_fd(), usize::MAX).unwrap();
            assert!(n <= 4096, "{n}");
            if n == 0 {
                break;
            }
            while !pipe.is_empty() {
                pipe.give(to.as_fd()).unwrap();
            }
            let mut chunk = vec![0; n];
            sink.read_exact(&mut chunk).unwrap();
            got.append(&mut chunk);
        }
        assert!(got == sent);
        assert_eq!(pipes.spliced(), 9000);
    }

    #[test]
    fn what_a_socket_refuses_comes_out_again_by_reading() {
        let mut pipe = Pipes::new(1, 65536).open().unwrap();
        let (from, mut source) = pair();
        source.write_all(b"not lost").unwrap();
        pipe.fill(from.as_fd(), usize::MAX).unwrap();
        let no_socket = rustix::event::eventfd(0, rustix::event::EventfdFlags::empty()).unwrap();
        let answer = pipe.give(no_socket.as_fd());
        assert_eq!(Spliced::or_refused(answer).unwrap(), Spliced::Refused);
        let mut chunk = [0; 5];
        assert_eq!(pipe.read(&mut chunk).unwrap(), 5);
        assert_eq!(&chunk, b"not l");
        assert_eq!(pipe.read(&mut chunk).unwrap(), 3);
        assert_eq!(&chunk[..3], b"ost");
        assert!(pipe.is_empty());
    }

    #[test]
    fn there_are_no_more_pipes_than_the_limit_and_a_closed_one_makes_room() {
        let pipes = Pipes::new(2, 65536);
        let held: Vec<_> = (0..2).map(|_| pipes.open().unwrap()).collect();
        assert!(pipes.open().is_none());
        drop(held);
        assert!(pipes.open().is_some());
    }
}
