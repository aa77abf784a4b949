//! A bound UDP socket that may be used from any number of tasks and threads at once.

use super::{
    inbox::{Arrived, Inbox},
    socket::{Short, Socket, is_full, is_refused},
    train::Train,
};
use crate::{
    address::Address,
    error::{ConnectionError, Place, Step, UdpCase},
    metrics::{DatagramMetrics, DropReason, Metrics},
    transport::waiters::{WaiterKey, Waiters},
};
use parking_lot::{Mutex, RwLock};
use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};
use tokio::task::consume_budget;

/// Datagrams or trains that are taken from the kernel at once.
const BATCH: usize = 8;

/// Sends and receives datagrams on one local address. Dropping it closes it; so does [`close`](Self::close), which
/// wakes whoever still waits.
///
/// It takes what is there in batches: up to 8 datagrams, or trains that the kernel has put together, wait in
/// 512 KiB of memory that is touched as far as they really fill it.
pub struct Datagram {
    inner: Arc<Inner>,
}

/// Ends a [`Datagram`] from elsewhere without keeping it alive.
#[derive(Clone)]
pub struct DatagramCloseHandle {
    inner: Weak<Inner>,
}

/// One datagram as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes that are in the buffer now.
    pub len: usize,
    /// Bytes that the datagram had; more than `len` if the buffer was too short.
    pub whole_len: usize,
    /// Who sent it.
    pub source: SocketAddr,
    /// Which of our addresses it was sent to; an answer should come from there. `None` where the system does not say.
    pub to: Option<IpAddr>,
}

/// The counts of one [`Datagram`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatagramStats {
    /// Datagrams that were received, those included that were cut.
    pub datagrams_received: u64,
    /// Datagrams that were sent.
    pub datagrams_sent: u64,
    /// Datagrams that were longer than the buffer they were received into.
    pub truncated: u64,
}

struct Inner {
    address: Address,
    metrics: DatagramMetrics,
    /// `None` once closed. Read-locked for the length of one non-blocking call, never across a wait.
    socket: RwLock<Option<Socket>>,
    /// Held for one non-blocking receive, and for copying what is given away. Taken before `socket`.
    inbox: Mutex<Inbox>,
    readers: Waiters,
    writers: Waiters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// Why a train was not sent as a whole.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// How many of its datagrams were.
    pub(crate) sent: usize,
    /// What became of the next one.
    pub(crate) reason: DropReason,
    pub(crate) error: ConnectionError,
}

impl Datagram {
    pub(crate) fn new(socket: Socket, registry: &Metrics) -> Self {
        let inner = Inner {
            address: Address::Udp(socket.local()),
            metrics: DatagramMetrics::new(registry),
            socket: RwLock::new(Some(socket)),
            inbox: Mutex::new(Inbox::new(BATCH)),
            readers: Waiters::default(),
            writers: Waiters::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The address that it is bound to, with the port that the system chose for port 0.
    pub fn address(&self) -> &Address {
        &self.inner.address
    }

    /// Takes the next datagram, or says `Pending` if there is none, and registers nobody.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Udp`] with [`UdpCase::Truncated`] if it was longer than `buf`: the buffer holds its
    /// beginning, the rest is lost, and the error names its source. [`ConnectionError::Closed`] once the socket is
    /// closed.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> Poll<Result<Received, ConnectionError>> {
        self.try_recv_cut(buf).map(|answer| match answer {
            Ok(received) if received.whole_len > received.len => Err(self.truncated(&received)),
            answer => answer,
        })
    }

    /// As [`try_recv_from`](Self::try_recv_from), where a datagram that was cut is no error:
    /// [`Received::whole_len`] tells it.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Closed`] once the socket is closed.
    pub fn try_recv_cut(&self, buf: &mut [u8]) -> Poll<Result<Received, ConnectionError>> {
        let mut inbox = self.inner.inbox.lock();
        if inbox.is_empty() {
            match self.inner.fill(&mut inbox) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        let Some((arrived, datagram)) = inbox.next_datagram() else { return Poll::Pending };
        Poll::Ready(Ok(self.inner.hand_over(arrived, datagram, buf)))
    }

    /// Takes the next datagram.
    ///
    /// # Errors
    ///
    /// As [`try_recv_from`](Self::try_recv_from).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no datagram.
    pub async fn recv_from(&self, buf: &mut [u8]) -> Result<Received, ConnectionError> {
        loop {
            consume_budget().await;
            match self.try_recv_from(buf) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => self.readable().await,
            }
        }
    }

    /// Sends one datagram, or says `Pending` while the socket's buffer is full, and registers nobody. It leaves from
    /// the address `from`, one of this host's, or from what the system chooses.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] for a datagram that is longer than the way there carries,
    /// [`ConnectionError::ConnectionFailed`] if there is no way there,
    /// [`ConnectionError::Closed`] once the socket is closed.
    pub fn try_send_to(
        &self,
        datagram: &[u8],
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> Poll<Result<(), ConnectionError>> {
        match self.try_send_train(Train::one(datagram), to, from) {
            Ok(()) => {
                self.inner.metrics.add_sent(1);
                Poll::Ready(Ok(()))
            }
            Err(Refusal { reason: DropReason::BufferFull, .. }) => Poll::Pending,
            Err(refusal) => {
                self.inner.metrics.add_dropped(refusal.reason, 1);
                Poll::Ready(Err(refusal.error))
            }
        }
    }

    /// Sends one datagram, waiting for room in the socket's buffer.
    ///
    /// # Errors
    ///
    /// As [`try_send_to`](Self::try_send_to).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the future has sent nothing.
    pub async fn send_to(
        &self,
        datagram: &[u8],
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> Result<(), ConnectionError> {
        loop {
            consume_budget().await;
            match self.try_send_to(datagram, to, from) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => self.writable().await,
            }
        }
    }

    /// Waits until a receive is worth a try, or the socket is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub fn readable(&self) -> DatagramReady {
        self.ready(Way::In)
    }

    /// Waits until a send is worth a try, or the socket is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub fn writable(&self) -> DatagramReady {
        self.ready(Way::Out)
    }

    fn ready(&self, way: Way) -> DatagramReady {
        DatagramReady { inner: Arc::clone(&self.inner), way, key: None }
    }

    /// Closes the socket; its descriptor is gone when this returns. Idempotent.
    ///
    /// Whoever waits is woken and sees [`ConnectionError::Closed`].
    pub fn close(&self) {
        self.inner.close();
    }

    /// Whether the socket is closed.
    pub fn is_closed(&self) -> bool {
        self.inner.socket.read().is_none()
    }

    /// A way to close this socket that does not keep it alive.
    pub fn close_handle(&self) -> DatagramCloseHandle {
        DatagramCloseHandle { inner: Arc::downgrade(&self.inner) }
    }

    /// The counts of this moment, also once it is closed.
    pub fn stats(&self) -> DatagramStats {
        let metrics = &self.inner.metrics;
        DatagramStats {
            datagrams_received: metrics.received(),
            datagrams_sent: metrics.sent(),
            truncated: metrics.dropped(DropReason::Truncated),
        }
    }

    /// Receives a batch into `inbox`, past the socket's own. Not counted here.
    pub(crate) fn try_recv_batch(&self, inbox: &mut Inbox) -> Poll<Result<(), ConnectionError>> {
        self.inner.fill(inbox)
    }

    /// Sends datagrams back to back. Not counted here.
    pub(crate) fn try_send_train(
        &self,
        train: Train<'_>,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> Result<(), Refusal> {
        let answer = match &*self.inner.socket.read() {
            Some(socket) => socket.try_send(train, to, from),
            None => {
                let error = ConnectionError::closed(Step::Write);
                return Err(Refusal { sent: 0, reason: DropReason::SessionClosed, error });
            }
        };
        answer.map_err(|short| {
            let at = Place::at(Step::Write)
                .from(Some(self.inner.address.clone()))
                .to(Some(Address::Udp(to)));
            refusal(short, at)
        })
    }

    fn truncated(&self, received: &Received) -> ConnectionError {
        let at = Place::at(Step::Read)
            .from(Some(Address::Udp(received.source)))
            .to(Some(self.inner.address.clone()));
        ConnectionError::Udp { case: UdpCase::Truncated, at }
    }
}

/// What a failed send means for the datagram and for the caller.
pub(crate) fn refusal(short: Short, at: Place) -> Refusal {
    let Short { sent, error } = short;
    let reason = match error.raw_os_error() {
        _ if is_full(&error) => DropReason::BufferFull,
        Some(libc::ENOBUFS | libc::ENOMEM) => DropReason::BufferFull,
        Some(libc::EMSGSIZE) => DropReason::TooLong,
        _ if is_refused(&error) => DropReason::ConnectFailed,
        _ => DropReason::SendFailed,
    };
    let at = at.because(error);
    let error = match reason {
        DropReason::TooLong => ConnectionError::InvalidConfig {
            field: "datagram".into(),
            reason: "is longer than the way to its destination carries".into(),
            at,
        },
        _ => ConnectionError::ConnectionFailed { at },
    };
    Refusal { sent, reason, error }
}

impl Inner {
    fn fill(&self, inbox: &mut Inbox) -> Poll<Result<(), ConnectionError>> {
        let answer = match &*self.socket.read() {
            Some(socket) => inbox.fill(socket),
            None => return Poll::Ready(Err(ConnectionError::closed(Step::Read))),
        };
        match answer {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => {
                let at = Place::at(Step::Read).to(Some(self.address.clone()));
                Poll::Ready(Err(ConnectionError::from_io(error, at)))
            }
        }
    }

    fn hand_over(&self, arrived: Arrived, datagram: &[u8], buf: &mut [u8]) -> Received {
        let (len, size) = (datagram.len().min(buf.len()), datagram.len());
        buf[..len].copy_from_slice(&datagram[..len]);
        self.metrics.add_received(1);
        self.metrics.add_dropped(DropReason::Truncated, usize::from(size > len));
        Received { len, whole_len: size, source: arrived.source, to: arrived.to }
    }

    fn close(&self) {
        let socket = self.socket.write().take();
        drop(socket);
        self.readers.wake_all();
        self.writers.wake_all();
    }

    fn waiters(&self, way: Way) -> &Waiters {
        match way {
            Way::In => &self.readers,
            Way::Out => &self.writers,
        }
    }

    fn poll_ready(&self, way: Way, key: &mut Option<WaiterKey>, cx: &Context<'_>) -> Poll<()> {
        self.waiters(way).poll(key, cx, |cx| {
            if way == Way::In && !self.inbox.lock().is_empty() {
                return Poll::Ready(());
            }
            match (&*self.socket.read(), way) {
                (None, _) => Poll::Ready(()),
                (Some(socket), Way::In) => socket.io().poll_recv_ready(cx).map(drop),
                (Some(socket), Way::Out) => socket.io().poll_send_ready(cx).map(drop),
            }
        })
    }
}

impl DatagramCloseHandle {
    /// Closes the socket if it still lives, as [`Datagram::close`] does.
    pub fn close(&self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.close();
        }
    }

    /// Whether the socket is closed or gone.
    pub fn is_closed(&self) -> bool {
        self.inner.upgrade().is_none_or(|inner| inner.socket.read().is_none())
    }
}

impl Drop for Datagram {
    fn drop(&mut self) {
        self.close();
    }
}

/// Waits until a socket is ready; made by [`Datagram::readable`] and [`Datagram::writable`]. Closing the socket
/// ends the wait.
#[must_use = "futures do nothing unless polled"]
pub struct DatagramReady {
    inner: Arc<Inner>,
    way: Way,
    key: Option<WaiterKey>,
}

impl DatagramReady {
    /// Whether the socket is closed.
    pub fn is_closed(&self) -> bool {
        self.inner.socket.read().is_none()
    }
}

impl Future for DatagramReady {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { inner, way, key } = self.get_mut();
        inner.poll_ready(*way, key, cx)
    }
}

impl Drop for DatagramReady {
    fn drop(&mut self) {
        self.inner.waiters(self.way).leave(&mut self.key);
    }
}

impl fmt::Debug for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagram")
            .field("address", &self.inner.address)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DatagramCloseHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.inner.upgrade().map(|inner| inner.address.clone());
        f.debug_struct("DatagramCloseHandle").field("address", &address).finish()
    }
}

impl fmt::Debug for DatagramReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramReady").field("address", &self.inner.address).finish()
    }
}
