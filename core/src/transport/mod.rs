//! Byte streams and listeners: TCP, Unix sockets, in-memory pipes, TLS, and any of them with faults; and datagrams.
//!
//! ```text
//!   Network ── connect ──▶ Stream ──▶ dyn Transport   tcp, unix, pipe; tls and faults over any of them
//!     │└────── listen ───▶ Listener ─▶ dyn Accept     tcp, unix, mem names; tls over tcp
//!     └─────── bind ─────▶ Datagram ─▶ Socket         udp
//! ```
//!
//! Everything here has the *readiness* form: an operation is tried, and where it would block the
//! caller waits for readiness and tries again. Nothing holds a caller's buffer across a wait, so
//! a wait can be dropped at any moment without losing a byte.

mod async_io;
mod dial;
mod direct;
pub mod faults;
mod listener;
mod locked;
mod network;
mod over;
pub mod pipe;
mod private_socket;
mod ready;
mod sigpipe;
mod splice;
mod stream;
mod tcp;
mod tls;
pub(crate) mod udp;
mod unix;
mod waiters;

pub(crate) use dial::{Securing, connect_failure, look_up};
pub(crate) use listener::Admission;
pub use listener::{Listener, ListenerCloseHandle, ListenerReady};
pub(crate) use network::needs_hub;
pub use network::{ConnectOptions, ListenOptions, Network};
pub(crate) use private_socket::PrivateSocket;
pub use ready::StreamReady;
pub use sigpipe::block_sigpipe;
pub(crate) use splice::{KernelPipe, Pipes, Spliced, can_splice};
pub(crate) use stream::CloseWatcher;
pub use stream::{CloseHandle, Stream};
pub(crate) use tcp::resolve;
pub use tls::TlsSession;
pub use udp::{Datagram, DatagramCloseHandle, DatagramReady, DatagramStats, Received};

use crate::{
    address::Address,
    budget::Permit,
    config::TcpConfig,
    context::Protocol,
    error::{ConnectionError, Place},
};
use bytes::{Buf, Bytes};
use smallvec::SmallVec;
use std::{
    fmt, io,
    io::IoSlice,
    net::Shutdown,
    os::fd::BorrowedFd,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{io::Interest, sync::oneshot};

/// The largest buffer that is made before it is known how much there is.
const RECV_SIZE: usize = 64 << 10;

/// One end of a byte stream in readiness form. Dropping it closes it.
///
/// Implementations need not serve several tasks at once per direction: [`Stream`] does that for
/// all of them. It calls them under a lock, under which only [`try_read`](Self::try_read) and the drop of the
/// transport may drop what a peer has handed over.
pub trait Transport: Send + Sync + fmt::Debug + 'static {
    /// Reads what is there, at most `buf.len()` bytes; 0 with a non-empty `buf` is the end of the stream.
    ///
    /// # Errors
    ///
    /// `WouldBlock` while nothing is there; anything else ends the stream.
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize>;

    /// As [`try_read`](Self::try_read), for a caller that holds a lock: a buffer that was handed over and is used up
    /// now comes back, to be dropped after the lock. Its memory may be a host's, which hears of it.
    fn try_read_locked(&self, buf: &mut [u8]) -> (io::Result<usize>, Option<Bytes>) {
        (self.try_read(buf), None)
    }

    /// Writes as much of `bufs` as fits now, which may be a part.
    ///
    /// # Errors
    ///
    /// `WouldBlock` while nothing fits; anything else ends the stream.
    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Reads what is there as one buffer, at most `max` bytes; an empty one, unless `max` is 0, is the end of the
    /// stream. Where the peer has handed a buffer over, it is that one and nothing is copied.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    fn try_recv_buf(&self, max: usize) -> io::Result<Bytes> {
        let mut buf = vec![0; max.min(RECV_SIZE)];
        let n = self.try_read(&mut buf)?;
        buf.truncate(n);
        Ok(buf.into())
    }

    /// Writes as much of `buf` as fits now, takes it off its front and says how much it was. Where the transport
    /// can hand buffers over, large ones are not copied.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Self::try_write); `buf` is as before.
    fn try_send_buf(&self, buf: &mut Bytes) -> io::Result<usize> {
        let n = self.try_write(&[IoSlice::new(buf)])?;
        buf.advance(n);
        Ok(n)
    }

    /// Ready when [`try_read`](Self::try_read) is worth a try; may be ready for nothing.
    ///
    /// Keeps the waker of the last call only. What failed is told by `try_read`.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ready when [`try_write`](Self::try_write) is worth a try; may be ready for nothing.
    ///
    /// Keeps the waker of the last call only. What failed is told by `try_write`.
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ends one direction or both, in order: what was written before still arrives.
    ///
    /// # Errors
    ///
    /// What the operating system says; `NotConnected` where the peer is gone already.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// Makes the close that follows a reset: the peer sees `ECONNRESET` instead of an end.
    fn abort(&self);

    /// Whether nothing that was written waits on this side any more, so that a reset takes no byte
    /// with it. Where it cannot be known, and after the write side was shut down, it is true.
    fn has_delivered(&self) -> bool {
        true
    }

    /// Whether the stream stands and nothing came that was not read yet, an end included. What a pool lends must
    /// be so: anything else belongs to the last conversation.
    fn is_quiet(&self) -> bool {
        true
    }

    /// Who the peer is and what was agreed with it, where that is known.
    fn tls_session(&self) -> Option<Arc<TlsSession>> {
        None
    }

    /// The plain socket that this is, with all of its bytes and none besides, in non-blocking mode.
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Lets `call` move bytes at the plain socket that this is, if the socket is ready for them; `None` where it is no
    /// such socket. When `call` answers `WouldBlock`, the socket is not ready.
    fn try_socket(
        &self,
        interest: Interest,
        call: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        let _ = (interest, call);
        None
    }

    /// Closes the transport as dropping it does; but where something is still to be sent that a drop would lose, it
    /// may go on in the background for a while, and says so.
    fn close(self: Box<Self>) -> Option<Lingering> {
        None
    }
}

/// What a stream holds until its descriptor is gone; seldom more than one.
type Permits = SmallVec<[Permit; 1]>;

/// A transport that is closed and still sends, with its descriptor.
#[derive(Debug)]
pub struct Lingering {
    hold: oneshot::Sender<Permits>,
}

impl Lingering {
    /// With the other end, which is to be dropped, with what it received, when the descriptor is gone.
    fn new() -> (Self, oneshot::Receiver<Permits>) {
        let (hold, held) = oneshot::channel();
        (Self { hold }, held)
    }

    /// Keeps `permits` as long as the descriptor.
    fn holding(self, permits: Permits) {
        // Where it is gone already, they come back and are dropped here.
        let _ = self.hold.send(permits);
    }
}

/// A listening end in readiness form. Dropping it closes it.
pub(crate) trait Accept: Send + Sync + fmt::Debug + 'static {
    /// Ready when [`try_accept`](Self::try_accept) is worth a try. Keeps the waker of the last call only.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Takes the next connection; `WouldBlock` while there is none.
    fn try_accept(&self) -> io::Result<Accepted>;

    /// As [`try_accept`](Self::try_accept), also when the runtime has not heard yet that one is there.
    fn accept_left(&self) -> io::Result<Accepted> {
        self.try_accept()
    }

    /// Goes by `config` for what is accepted from now on, and for its own backlog. What waits in one that is smaller
    /// now stays there. A source that has neither sockets nor a backlog of this kind has nothing to do.
    fn reconfigure(&self, config: &TcpConfig) {
        let _ = config;
    }
}

/// A connection just taken from a listener.
pub(crate) struct Accepted {
    pub(crate) transport: Box<dyn Transport>,
    /// The peer's address, where it has one.
    pub(crate) source: Option<Address>,
    /// The address that the peer asked for: more exact than a wildcard that is listened on.
    pub(crate) destination: Option<Address>,
    /// The permit that it was accepted under, where the source takes them itself.
    pub(crate) permit: Option<Permit>,
    /// What it is, where that is not what the listener is for.
    pub(crate) protocol: Option<Protocol>,
}

/// Whether this process, or the whole system, may open no more files.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

pub(crate) fn out_of_files(error: io::Error, at: Place) -> ConnectionError {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    ConnectionError::limit_exceeded("open files", limit.unwrap_or(0), at.because(error))
}
