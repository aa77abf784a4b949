//! A connection: a transport with its context, its counts, its waiters and one way to end.

use super::{
    KernelPipe, Permits, Spliced, StreamReady, TlsSession, Transport, direct,
    waiters::{WaiterKey, Waiters},
};
use crate::{
    address::Address,
    budget::Permit,
    completion::CompletionQueue,
    context::{CloseReason, ConnectionContext, ConnectionId},
    error::{ConnectionError, Place, Step},
    events::{Event, Events},
    metrics::ConnectionMetrics,
};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;
use std::{
    fmt,
    io::{self, IoSlice},
    mem::take,
    net::Shutdown,
    os::fd::BorrowedFd,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};
// A stream that is always ready must not keep its task from letting others run.
use tokio::{io::Interest, task::consume_budget};

/// A byte stream that may be used from any number of tasks and threads at once.
///
/// Bytes are counted as they pass. Dropping the stream closes it; so does [`close`](Self::close),
/// which wakes whoever still waits.
pub struct Stream {
    inner: Arc<Inner>,
    /// Places in line of the task that uses the stream through tokio's traits.
    read_key: Option<WaiterKey>,
    write_key: Option<WaiterKey>,
}

/// Ends a [`Stream`] from elsewhere without keeping it alive.
#[derive(Clone)]
pub struct CloseHandle {
    inner: Weak<Inner>,
}

pub(super) struct Inner {
    pub(super) context: ConnectionContext,
    /// The context as a proxy in front announced it.
    announced: OnceLock<Box<ConnectionContext>>,
    metrics: Arc<ConnectionMetrics>,
    events: Events,
    /// `None` once closed. Read-locked for the length of one non-blocking call, never across a wait.
    pub(super) transport: RwLock<Option<Box<dyn Transport>>>,
    tls: Option<Arc<TlsSession>>,
    readers: Waiters,
    writers: Waiters,
    /// Whether a queue of the host's has watched the socket: what the runtime knows of its readiness may be old.
    pub(super) is_watched: AtomicBool,
    progress: Mutex<Progress>,
}

/// How far each direction has come, and what the stream owes when it ends.
#[derive(Default)]
struct Progress {
    read_ended: bool,
    write_ended: bool,
    broken: Option<ConnectionError>,
    permits: Permits,
    watchers: SmallVec<[Arc<dyn CloseWatcher>; 1]>,
}

/// Is told how a stream ended.
pub(crate) trait CloseWatcher: Send + Sync {
    /// Called once, without a lock held: when the descriptor of the connection is gone and its counts are
    /// final, before its permit is given back.
    fn on_close(&self, connection: ConnectionId, reason: CloseReason);
}

impl Progress {
    fn close_reason(&self) -> CloseReason {
        match (&self.broken, self.read_ended && self.write_ended) {
            (Some(_), _) => CloseReason::Reset,
            (None, true) => CloseReason::Finished,
            (None, false) => CloseReason::Local,
        }
    }
}

/// One direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

impl Way {
    fn step(self) -> Step {
        match self {
            Self::In => Step::Read,
            Self::Out => Step::Write,
        }
    }

    pub(super) fn interest(self) -> Interest {
        match self {
            Self::In => Interest::READABLE,
            Self::Out => Interest::WRITABLE,
        }
    }
}

impl Stream {
    /// Puts a transport under management: counted from now on, closed when dropped.
    pub(crate) fn new(
        transport: Box<dyn Transport>,
        context: ConnectionContext,
        metrics: ConnectionMetrics,
        events: Events,
    ) -> Self {
        tracing::debug!(
            connection = context.id.get(),
            protocol = context.protocol.name(),
            source = context.source.as_ref().map(tracing::field::display),
            destination = context.destination.as_ref().map(tracing::field::display),
            "connection opened"
        );
        events.record(Event::opened(&context));
        let inner = Inner {
            context,
            announced: OnceLock::new(),
            metrics: Arc::new(metrics),
            events,
            tls: transport.tls_session(),
            transport: RwLock::new(Some(transport)),
            readers: Waiters::default(),
            writers: Waiters::default(),
            is_watched: AtomicBool::new(false),
            progress: Mutex::default(),
        };
        Self { inner: Arc::new(inner), read_key: None, write_key: None }
    }

    /// Keeps `permit` until the stream is closed and its file descriptor is gone.
    #[must_use]
    pub fn holding(self, permit: Permit) -> Self {
        self.inner.progress.lock().permits.push(permit);
        self
    }

    /// Lets `watcher` know how the stream ends.
    pub(crate) fn watched_by(self, watcher: Arc<dyn CloseWatcher>) -> Self {
        self.inner.progress.lock().watchers.push(watcher);
        self
    }

    /// The counts of this connection, for longer than it lives.
    pub(crate) fn shared_metrics(&self) -> Arc<ConnectionMetrics> {
        Arc::clone(&self.inner.metrics)
    }

    /// Whether nothing that was written waits on this side any more; true once closed.
    pub(crate) fn has_delivered(&self) -> bool {
        self.inner.transport.read().as_ref().is_none_or(|transport| transport.has_delivered())
    }

    /// Whether the stream stands, and nothing came that was not read yet, not even an end. Costs one system
    /// call on a socket.
    pub fn is_quiet(&self) -> bool {
        self.inner.transport.read().as_ref().is_some_and(|transport| transport.is_quiet())
    }

    /// Id, protocol, both addresses, time of creation.
    pub fn context(&self) -> &ConnectionContext {
        self.inner.context()
    }

    /// The stream comes from `source` and asked for `destination`, as a proxy in front says. The first one
    /// counts; the addresses of the socket are told no more.
    pub(crate) fn announce(&self, source: Address, destination: Address) {
        let mut context = self.inner.context.clone();
        context.source = Some(source);
        context.destination = Some(destination);
        let _ = self.inner.announced.set(Box::new(context));
    }

    /// The counts of this connection, exact at any moment.
    pub fn metrics(&self) -> &ConnectionMetrics {
        &self.inner.metrics
    }

    /// Who the peer is and what was agreed with it; `None` unless the stream is one of TLS.
    pub fn tls(&self) -> Option<&TlsSession> {
        self.inner.tls.as_deref()
    }

    /// A way to end this stream that does not keep it alive.
    pub fn close_handle(&self) -> CloseHandle {
        CloseHandle { inner: Arc::downgrade(&self.inner) }
    }

    /// Reads what is there into `buf`. `Ready(Ok(0))` with a non-empty `buf` is the end of the stream;
    /// `Pending` says that nothing is there now, and registers nobody.
    pub fn try_read(&self, buf: &mut [u8]) -> Poll<Result<usize, ConnectionError>> {
        let length = buf.len();
        let mut spent = None;
        let answer = self.inner.attempt(Way::In, |transport| {
            if let Some(socket) = self.inner.watched_socket(transport) {
                return counted(direct::read(socket, buf));
            }
            let answer;
            (answer, spent) = transport.try_read_locked(buf);
            counted(answer)
        });
        drop(spent);
        if length > 0 && matches!(answer, Poll::Ready(Ok(0))) {
            return self.inner.on_read_end(0);
        }
        answer
    }

    /// Reads what is there as one buffer, at most `max` bytes; an empty one, unless `max` is 0, is the end of the
    /// stream. `Pending` as for [`try_read`](Self::try_read).
    ///
    /// What a peer in this process has handed over by [`try_send_buf`](Self::try_send_buf) is that very buffer.
    pub fn try_recv_buf(&self, max: usize) -> Poll<Result<Bytes, ConnectionError>> {
        let answer = self.inner.attempt(Way::In, |transport| {
            let buf = match self.inner.watched_socket(transport) {
                Some(socket) => direct::recv_buf(socket, max)?,
                None => transport.try_recv_buf(max)?,
            };
            Ok((buf.len(), buf))
        });
        match answer {
            Poll::Ready(Ok(buf)) if max > 0 && buf.is_empty() => self.inner.on_read_end(buf),
            answer => answer,
        }
    }

    /// Writes as much of `bufs` as fits now. `Pending` says that nothing fits, and registers nobody.
    pub fn try_write(&self, bufs: &[IoSlice<'_>]) -> Poll<Result<usize, ConnectionError>> {
        self.inner.attempt(Way::Out, |transport| {
            counted(match self.inner.watched_socket(transport) {
                Some(socket) => direct::write(socket, bufs),
                None => transport.try_write(bufs),
            })
        })
    }

    /// Writes as much of `buf` as fits now, takes it off its front and says how much it was. `Pending` as for
    /// [`try_write`](Self::try_write).
    ///
    /// Through a pipe, buffers of 4 KiB and more are handed over as they are; everything else is copied.
    pub fn try_send_buf(&self, buf: &mut Bytes) -> Poll<Result<usize, ConnectionError>> {
        self.inner.attempt(Way::Out, |transport| {
            counted(match self.inner.watched_socket(transport) {
                Some(socket) => direct::send_buf(socket, buf),
                None => transport.try_send_buf(buf),
            })
        })
    }

    /// Whether its bytes are those of a plain socket, which the kernel may move.
    pub(super) fn is_socket(&self) -> bool {
        self.inner.transport.read().as_ref().is_some_and(|transport| transport.socket().is_some())
    }

    /// Moves what is there, at most `max` bytes, into `pipe`, which is empty. [`Spliced::Moved`] of nothing is the end
    /// of the stream; `Pending` as for [`try_read`](Self::try_read).
    pub(crate) fn try_splice_into(
        &self,
        pipe: &mut KernelPipe,
        max: usize,
    ) -> Poll<Result<Spliced, ConnectionError>> {
        let answer = self.inner.splice(Way::In, &mut |socket| pipe.fill(socket, max));
        match answer {
            Poll::Ready(Ok(Spliced::Moved(0))) => self.inner.on_read_end(Spliced::Moved(0)),
            answer => answer,
        }
    }

    /// Moves as much of what `pipe` holds, which is not empty, as fits now. `Pending` as for
    /// [`try_write`](Self::try_write).
    pub(crate) fn try_splice_from(
        &self,
        pipe: &mut KernelPipe,
    ) -> Poll<Result<Spliced, ConnectionError>> {
        self.inner.splice(Way::Out, &mut |socket| pipe.give(socket))
    }

    /// Waits until a read is worth a try, or the stream is closed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is consumed; dropping the future leaves nothing behind.
    pub fn readable(&self) -> StreamReady {
        StreamReady::new(Arc::clone(&self.inner), Way::In)
    }

    /// Waits until a write is worth a try, or the stream is closed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is consumed; dropping the future leaves nothing behind.
    pub fn writable(&self) -> StreamReady {
        StreamReady::new(Arc::clone(&self.inner), Way::Out)
    }

    /// As [`readable`](Self::readable), with no thread between where the stream is a plain socket: `queue` watches that
    /// itself, and the wait ends when the queue is next waited for or drained.
    pub fn readable_on<E: Send>(&self, queue: &CompletionQueue<E>) -> StreamReady {
        self.readable().watched_by(queue)
    }

    /// As [`writable`](Self::writable), in the way of [`readable_on`](Self::readable_on).
    pub fn writable_on<E: Send>(&self, queue: &CompletionQueue<E>) -> StreamReady {
        self.writable().watched_by(queue)
    }

    /// Reads at least one byte, or 0 at the end of the stream.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Broken`] if the peer reset the stream, [`ConnectionError::Closed`] once
    /// this side closed it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no byte.
    pub async fn read(&self, buf: &mut [u8]) -> Result<usize, ConnectionError> {
        consume_budget().await;
        loop {
            match self.try_read(buf) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => self.readable().await,
            }
        }
    }

    /// Writes at least one byte of a non-empty `buf`.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing was written.
    pub async fn write(&self, buf: &[u8]) -> Result<usize, ConnectionError> {
        consume_budget().await;
        loop {
            match self.try_write(&[IoSlice::new(buf)]) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => self.writable().await,
            }
        }
    }

    /// Writes all of `buf`.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read); a part may have been written.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a dropped future may have written a part.
    pub async fn write_all(&self, mut buf: &[u8]) -> Result<(), ConnectionError> {
        while !buf.is_empty() {
            let n = self.write(buf).await?;
            buf = &buf[n..];
        }
        Ok(())
    }

    /// Reads at least one byte as one buffer, at most `max` bytes; an empty one is the end of the stream. See
    /// [`try_recv_buf`](Self::try_recv_buf).
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no byte.
    pub async fn recv_buf(&self, max: usize) -> Result<Bytes, ConnectionError> {
        consume_budget().await;
        loop {
            match self.try_recv_buf(max) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => self.readable().await,
            }
        }
    }

    /// Writes all of `buf`, which is not copied where it can be handed over. See
    /// [`try_send_buf`](Self::try_send_buf).
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read); a part may have been written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves in `buf` what was not written yet.
    pub async fn send_buf(&self, buf: &mut Bytes) -> Result<(), ConnectionError> {
        while !buf.is_empty() {
            consume_budget().await;
            match self.try_send_buf(buf) {
                Poll::Ready(answer) => drop(answer?),
                Poll::Pending => self.writable().await,
            }
        }
        Ok(())
    }

    /// Ends one direction or both in order: what was written before still arrives.
    ///
    /// Ending a direction twice, or after the peer has gone, is no error.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Closed`] once this side closed the stream.
    pub fn shutdown(&self, how: Shutdown) -> Result<(), ConnectionError> {
        let answer = match &*self.inner.transport.read() {
            Some(transport) => transport.shutdown(how),
            None => return Err(ConnectionError::closed(Step::Shutdown)),
        };
        match answer {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(error) => {
                let at = self.inner.place(Step::Shutdown);
                return Err(ConnectionError::from_io(error, at));
            }
        }
        let mut progress = self.inner.progress.lock();
        progress.write_ended |= how != Shutdown::Read;
        progress.read_ended |= how != Shutdown::Write;
        Ok(())
    }

    /// Closes with a reset: the peer sees `ECONNRESET` instead of an end. Idempotent.
    pub fn abort(&self, reason: CloseReason) {
        if let Some(transport) = &*self.inner.transport.read() {
            transport.abort();
        }
        self.inner.close(Some(reason));
    }

    /// Closes the stream; its file descriptor is gone when this returns. Idempotent.
    ///
    /// A stream of TLS that holds bytes which the peer was too slow to take keeps its descriptor, and its permit,
    /// until they are sent or the `close_timeout` of its configuration has passed.
    ///
    /// Whoever waits on it is woken and sees [`ConnectionError::Closed`]. The close reason is
    /// [`Reset`](CloseReason::Reset) after a failure, [`Finished`](CloseReason::Finished) if both
    /// directions had ended, else [`Local`](CloseReason::Local).
    pub fn close(&self) {
        self.inner.close(None);
    }

    /// Closes as [`close`](Self::close) does, with a reason that the caller knows better.
    pub fn close_because(&self, reason: CloseReason) {
        self.inner.close(Some(reason));
    }

    /// Whether this side has closed the stream.
    pub fn is_closed(&self) -> bool {
        self.inner.transport.read().is_none()
    }

    /// As [`readable`](Self::readable), for tokio's traits: the place in line is the stream's own.
    pub(super) fn poll_readable(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.inner.poll_ready(Way::In, &mut self.read_key, cx)
    }

    /// As [`writable`](Self::writable), for tokio's traits: the place in line is the stream's own.
    pub(super) fn poll_writable(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.inner.poll_ready(Way::Out, &mut self.write_key, cx)
    }

    /// What broke the stream, if anything did.
    pub fn error(&self) -> Option<ConnectionError> {
        self.inner.progress.lock().broken.clone()
    }
}

impl Inner {
    fn context(&self) -> &ConnectionContext {
        self.announced.get().map_or(&self.context, |announced| announced)
    }

    /// A socket tells a reset once and an end from then on: whoever reads later sees the reset too.
    fn on_read_end<T>(&self, nothing: T) -> Poll<Result<T, ConnectionError>> {
        let mut progress = self.progress.lock();
        match &progress.broken {
            Some(error) if error.step() == Step::Read => Poll::Ready(Err(error.clone())),
            Some(_) | None => {
                progress.read_ended = true;
                Poll::Ready(Ok(nothing))
            }
        }
    }

    /// Tries `call`, which says how many bytes have passed and what the caller gets.
    fn attempt<T>(
        &self,
        way: Way,
        call: impl FnOnce(&dyn Transport) -> io::Result<(usize, T)>,
    ) -> Poll<Result<T, ConnectionError>> {
        let answer = match &*self.transport.read() {
            // Counted while the stream cannot be closed, so that the counts of a closed one are final.
            Some(transport) => call(transport.as_ref()).map(|(n, what)| {
                self.count(way, n as u64);
                what
            }),
            None => return Poll::Ready(Err(ConnectionError::closed(way.step()))),
        };
        match answer {
            Ok(what) => Poll::Ready(Ok(what)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => {
                let is_pipe = error.kind() == io::ErrorKind::BrokenPipe;
                let error = ConnectionError::from_io(error, self.place(way.step()));
                let mut progress = self.progress.lock();
                // A write after the caller's own half-close fails, but nothing is broken by it.
                if !(is_pipe && progress.write_ended) {
                    progress.broken.get_or_insert_with(|| error.clone());
                }
                Poll::Ready(Err(error))
            }
        }
    }

    fn splice(
        &self,
        way: Way,
        call: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<Result<Spliced, ConnectionError>> {
        self.attempt(way, |transport| {
            let spliced = match transport.try_socket(way.interest(), call) {
                Some(answer) => Spliced::or_refused(answer)?,
                None => Spliced::Refused,
            };
            Ok((spliced.bytes(), spliced))
        })
    }

    fn count(&self, way: Way, bytes: u64) {
        match way {
            Way::In => self.metrics.add_received(bytes),
            Way::Out => self.metrics.add_sent(bytes),
        }
    }

    fn place(&self, step: Step) -> Place {
        Place::at(step).from(self.context().source.clone()).to(self.context().destination.clone())
    }

    /// The places of those who wait for a direction.
    pub(super) fn waiters(&self, way: Way) -> &Waiters {
        match way {
            Way::In => &self.readers,
            Way::Out => &self.writers,
        }
    }

    pub(super) fn poll_ready(
        &self,
        way: Way,
        key: &mut Option<WaiterKey>,
        cx: &Context<'_>,
    ) -> Poll<()> {
        self.waiters(way).poll(key, cx, |cx| match &*self.transport.read() {
            Some(transport) => self.poll_transport(transport.as_ref(), way, cx),
            None => Poll::Ready(()),
        })
    }

    /// Asks the runtime whether a direction is ready.
    pub(super) fn poll_transport(
        &self,
        transport: &dyn Transport,
        way: Way,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.watched_socket(transport).is_some() {
            // It was told of readiness that has been used up since, and would say "ready" for ever.
            let asks = &mut |socket: BorrowedFd<'_>| direct::check(socket, way).map(|()| 0);
            let _ = transport.try_socket(way.interest(), asks);
        }
        match way {
            Way::In => transport.poll_read_ready(cx),
            Way::Out => transport.poll_write_ready(cx),
        }
    }

    /// The socket of a stream that a queue has watched: it is asked itself what there is.
    fn watched_socket<'a>(&self, transport: &'a dyn Transport) -> Option<BorrowedFd<'a>> {
        if self.is_watched.load(Ordering::Acquire) { transport.socket() } else { None }
    }

    fn close(&self, reason: Option<CloseReason>) {
        let transport = self.transport.write().take();
        let Some(transport) = transport else { return };
        let lingering = transport.close();
        let (reason, permits, watchers) = {
            let mut progress = self.progress.lock();
            let reason = reason.unwrap_or_else(|| progress.close_reason());
            (reason, take(&mut progress.permits), take(&mut progress.watchers))
        };
        let now = clock();
        self.metrics.close_at(reason, now);
        for watcher in watchers {
            watcher.on_close(self.context.id, reason);
        }
        match lingering {
            Some(lingering) => lingering.holding(permits),
            None => drop(permits),
        }
        let (received, sent) = (self.metrics.bytes_received(), self.metrics.bytes_sent());
        self.events.record(Event::closed(self.context(), reason, received, sent, now));
        tracing::debug!(
            connection = self.context.id.get(),
            reason = reason.name(),
            received,
            sent,
            "connection closed"
        );
        self.readers.wake_all();
        self.writers.wake_all();
    }
}

/// The number of bytes that have passed is all that the caller gets.
fn counted(answer: io::Result<usize>) -> io::Result<(usize, usize)> {
    answer.map(|n| (n, n))
}

#[expect(clippy::disallowed_methods, reason = "a connection ends when its descriptor is gone")]
fn clock() -> Instant {
    Instant::now()
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.inner.readers.leave(&mut self.read_key);
        self.inner.writers.leave(&mut self.write_key);
        self.close();
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("context", self.inner.context())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CloseHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.inner.upgrade().map(|inner| inner.context.id);
        f.debug_struct("CloseHandle").field("id", &id).finish()
    }
}

impl CloseHandle {
    /// Closes the stream if it still lives, as [`Stream::close_because`] does.
    pub fn close(&self, reason: CloseReason) {
        if let Some(inner) = self.inner.upgrade() {
            inner.close(Some(reason));
        }
    }

    /// Who the connection is; `None` once it is gone.
    pub(crate) fn context(&self) -> Option<ConnectionContext> {
        self.inner.upgrade().map(|inner| inner.context().clone())
    }

    /// Whether the stream is closed or gone.
    pub fn is_closed(&self) -> bool {
        self.inner.upgrade().is_none_or(|inner| inner.transport.read().is_none())
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.context().fmt(f)
    }
}
