//! A listening address: connections wait in its backlog until somebody takes them.

use super::{
    Accept, Accepted, Stream, is_out_of_files, out_of_files,
    waiters::{WaiterKey, Waiters},
};
use crate::{
    address::Address,
    budget::{Budget, Permit},
    config::TcpConfig,
    context::{ConnectionContext, ConnectionId, Direction, Protocol},
    error::{ConnectionError, Place, Step},
    events::Events,
    metrics::{ConnectionMetrics, Metrics},
};
use parking_lot::{Mutex, RwLock};
use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Instant,
};

/// Accepts connections on one address. May be used from any number of tasks and threads at once.
///
/// A listener made with a [`Budget`] takes a permit before each accept: what exceeds the limit
/// stays in the backlog, where the kernel (or the in-memory name) slows the clients down.
pub struct Listener {
    inner: Arc<Inner>,
}

/// Stops a [`Listener`] from elsewhere without keeping it alive.
#[derive(Clone)]
pub struct ListenerCloseHandle {
    inner: Weak<Inner>,
}

/// Is shown every stream that a listener takes, before anybody else sees it.
pub(crate) trait Admission: Send + Sync {
    /// Lets the stream in, or says why not: it is closed then, and the error is the answer of the accept.
    fn admit(&self, stream: Stream) -> Result<Stream, ConnectionError>;
}

struct Inner {
    address: Address,
    protocol: Protocol,
    metrics: Metrics,
    events: Events,
    budget: Option<Budget>,
    admission: Option<Arc<dyn Admission>>,
    source: RwLock<Option<Box<dyn Accept>>>,
    waiters: Waiters,
    turn: Mutex<Turn>,
}

/// The permit for the next connection. None is held while the backlog is empty.
enum Turn {
    None,
    Waiting(Pin<Box<dyn Future<Output = Permit> + Send>>),
    Held(Permit),
}

impl Listener {
    pub(super) fn new(
        (address, protocol): (Address, Protocol),
        source: Box<dyn Accept>,
        (metrics, events): (Metrics, Events),
        budget: Option<Budget>,
        admission: Option<Arc<dyn Admission>>,
    ) -> Self {
        let inner = Inner {
            address,
            protocol,
            metrics,
            events,
            budget,
            admission,
            source: RwLock::new(Some(source)),
            waiters: Waiters::default(),
            turn: Mutex::new(Turn::None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The address that is listened on, with the port that the system chose for port 0.
    pub fn address(&self) -> &Address {
        &self.inner.address
    }

    /// Takes a waiting connection. `Pending` says that none waits or no permit is free, and registers nobody.
    pub fn try_accept(&self) -> Poll<Result<Stream, ConnectionError>> {
        self.inner.try_accept(<dyn Accept>::try_accept)
    }

    /// As [`try_accept`](Self::try_accept), for the last look at the backlog: `Pending` is certain to
    /// mean that nobody is in it who may come in.
    pub(crate) fn accept_left(&self) -> Poll<Result<Stream, ConnectionError>> {
        self.inner.try_accept(<dyn Accept>::accept_left)
    }

    /// Waits until an accept is worth a try, or the listener is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the connection in the backlog.
    pub fn ready(&self) -> ListenerReady {
        ListenerReady { inner: Arc::clone(&self.inner), key: None }
    }

    /// Takes the next connection.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Closed`] once the listener is closed, [`ConnectionError::LimitExceeded`] if
    /// the process may open no more files: the connection then still waits in the backlog, and a
    /// pause before the next attempt is the caller's part. A client that left early is passed over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the connection in the backlog.
    pub async fn accept(&self) -> Result<Stream, ConnectionError> {
        loop {
            match self.try_accept() {
                Poll::Ready(answer) => return answer,
                Poll::Pending => self.ready().await,
            }
        }
    }

    /// Stops listening; the file descriptor is gone when this returns. Idempotent.
    ///
    /// Whoever waits is woken and sees [`ConnectionError::Closed`].
    pub fn close(&self) {
        self.inner.close();
    }

    /// Whether the listener is closed.
    pub fn is_closed(&self) -> bool {
        self.inner.source.read().is_none()
    }

    /// A way to stop this listener that does not keep it alive.
    pub fn close_handle(&self) -> ListenerCloseHandle {
        ListenerCloseHandle { inner: Arc::downgrade(&self.inner) }
    }
}

impl ListenerCloseHandle {
    /// Closes the listener if it still lives, as [`Listener::close`] does.
    pub fn close(&self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.close();
        }
    }

    /// Goes by `config` for what is accepted from now on, and for the backlog.
    pub(crate) fn reconfigure(&self, config: &TcpConfig) {
        let Some(inner) = self.inner.upgrade() else { return };
        if let Some(source) = &*inner.source.read() {
            source.reconfigure(config);
        }
    }

    /// Whether the listener is closed or gone.
    pub fn is_closed(&self) -> bool {
        self.inner.upgrade().is_none_or(|inner| inner.source.read().is_none())
    }
}

impl Inner {
    fn try_accept(
        &self,
        accept: fn(&dyn Accept) -> io::Result<Accepted>,
    ) -> Poll<Result<Stream, ConnectionError>> {
        if self.source.read().is_none() {
            // Told also while no permit is free: the wait for one has ended with the listener.
            return Poll::Ready(Err(ConnectionError::closed(Step::Accept)));
        }
        let Some(permit) = self.take_permit() else { return Poll::Pending };
        let answer = match &*self.source.read() {
            Some(source) => accept(source.as_ref()),
            None => return Poll::Ready(Err(ConnectionError::closed(Step::Accept))),
        };
        match answer {
            Ok(accepted) => Poll::Ready(self.admit(accepted, permit)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(self.failure(error))),
        }
    }

    fn close(&self) {
        let source = self.source.write().take();
        drop(source);
        self.give_permit_back();
        self.waiters.wake_all();
    }

    /// Leaves the line for a permit, or gives an unused one back.
    fn give_permit_back(&self) {
        let unused = std::mem::replace(&mut *self.turn.lock(), Turn::None);
        drop(unused);
    }

    /// Leaves the line for a permit once nobody waits for this listener any more: a permit that was
    /// handed to it would be kept from the others.
    fn leave_line(&self) {
        if !self.waiters.is_empty() {
            return;
        }
        let left = {
            let mut turn = self.turn.lock();
            let is_waiting = matches!(*turn, Turn::Waiting(_));
            is_waiting.then(|| std::mem::replace(&mut *turn, Turn::None))
        };
        drop(left);
        // Whoever came in the meantime stands in the line that was just left.
        self.waiters.wake_all();
    }

    /// A permit for one accept; `Some(None)` where nothing limits.
    fn take_permit(&self) -> Option<Option<Permit>> {
        let Some(budget) = &self.budget else { return Some(None) };
        let mut turn = self.turn.lock();
        match std::mem::replace(&mut *turn, Turn::None) {
            Turn::Held(permit) => Some(Some(permit)),
            waiting @ Turn::Waiting(_) => {
                *turn = waiting;
                None
            }
            Turn::None => budget.try_acquire().map(Some),
        }
    }

    /// Ready once a permit is held for the connection that waits in the backlog.
    fn poll_permit(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(budget) = &self.budget else { return Poll::Ready(()) };
        let mut turn = self.turn.lock();
        if matches!(*turn, Turn::None) {
            let budget = budget.clone();
            *turn = Turn::Waiting(Box::pin(async move { budget.acquire().await }));
        }
        if let Turn::Waiting(permit) = &mut *turn {
            match permit.as_mut().poll(cx) {
                Poll::Ready(permit) => *turn = Turn::Held(permit),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    fn poll_ready(&self, key: &mut Option<WaiterKey>, cx: &Context<'_>) -> Poll<()> {
        self.waiters.poll(key, cx, |cx| {
            match &*self.source.read() {
                Some(source) if source.poll_ready(cx).is_pending() => {}
                Some(_) => return self.poll_permit(cx),
                None => return Poll::Ready(()),
            }
            self.give_permit_back();
            Poll::Pending
        })
    }

    #[expect(clippy::disallowed_methods, reason = "a connection's life begins when it is accepted")]
    fn admit(&self, accepted: Accepted, permit: Option<Permit>) -> Result<Stream, ConnectionError> {
        let context = ConnectionContext {
            id: ConnectionId::next(),
            protocol: accepted.protocol.unwrap_or(self.protocol),
            direction: Direction::Accepted,
            source: accepted.source,
            destination: accepted.destination.or_else(|| Some(self.address.clone())),
            created: Instant::now(),
        };
        let metrics = ConnectionMetrics::open(&self.metrics, &context);
        let stream = Stream::new(accepted.transport, context, metrics, self.events.clone());
        let stream = match accepted.permit.or(permit) {
            Some(permit) => stream.holding(permit),
            None => stream,
        };
        match &self.admission {
            Some(admission) => admission.admit(stream),
            None => Ok(stream),
        }
    }

    fn failure(&self, error: io::Error) -> ConnectionError {
        let at = Place::at(Step::Accept).to(Some(self.address.clone()));
        if is_out_of_files(&error) {
            return out_of_files(error, at);
        }
        ConnectionError::from_io(error, at)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for ListenerCloseHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.inner.upgrade().map(|inner| inner.address.clone());
        f.debug_struct("ListenerCloseHandle").field("address", &address).finish()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("address", &self.inner.address)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Waits for a connection; made by [`Listener::ready`]. Closing the listener ends the wait.
#[must_use = "futures do nothing unless polled"]
pub struct ListenerReady {
    inner: Arc<Inner>,
    key: Option<WaiterKey>,
}

impl ListenerReady {
    /// Whether the listener is closed.
    pub fn is_closed(&self) -> bool {
        self.inner.source.read().is_none()
    }
}

impl Future for ListenerReady {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { inner, key } = self.get_mut();
        inner.poll_ready(key, cx)
    }
}

impl Drop for ListenerReady {
    fn drop(&mut self) {
        if self.key.is_some() {
            self.inner.waiters.leave(&mut self.key);
            self.inner.leave_line();
        }
    }
}

impl fmt::Debug for ListenerReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerReady").field("address", &self.inner.address).finish()
    }
}
