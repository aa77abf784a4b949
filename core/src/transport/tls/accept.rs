//! A listener for TLS: takes handshakes beside each other, so that a slow one holds nobody up.

use super::{
    super::{Accept, Accepted, locked::poll_locked},
    Terms,
    handshake::Handshake,
    handshake_failure,
};
use crate::{
    address::Address,
    budget::{Budget, Permit},
    config::TcpConfig,
    error::{ConnectionError, Place, Step},
    events::{Event, Events},
    identity::Tls,
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::AbortHandle,
    time::timeout,
};

/// Time that a client which was refused gets to read why.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// Accepts below, and hands out only those whose handshake went well.
///
/// A connection is taken from the backlog under a permit and under one of `max_handshakes` places, which it gives
/// back when the caller has it. Closing closes those in a handshake, too.
#[derive(Debug)]
pub(in super::super) struct TlsListener {
    shared: Arc<Shared>,
    acceptor: AbortHandle,
}

/// What the listener needs besides TLS itself.
pub(in super::super) struct Surroundings {
    pub(in super::super) address: Address,
    pub(in super::super) budget: Option<Budget>,
    pub(in super::super) events: Events,
    pub(in super::super) terms: Terms,
}

struct Shared {
    tls: Tls,
    surroundings: Surroundings,
    /// `None` once closed. Held for one step without a wait.
    below: Mutex<Option<Box<dyn Accept>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    next_id: u64,
    handshakes: HashMap<u64, Arc<Cell>>,
    /// At most one for each place.
    done: VecDeque<Done>,
    /// The task that waits for `done`.
    waker: Option<Waker>,
}

/// A handshake under way; empty once it is over or the listener is closed.
type Cell = Mutex<Option<Handshake>>;

/// What an accept takes.
struct Done {
    outcome: io::Result<Accepted>,
    /// Until then.
    _held: Held,
}

/// Is given back when an accept has taken what it was held for.
struct Held {
    _place: OwnedSemaphorePermit,
    /// Lets the acceptor go on after a failure.
    _heard: Option<oneshot::Sender<()>>,
}

/// A connection from below, before its handshake.
struct Arrived {
    id: u64,
    cell: Arc<Cell>,
    source: Option<Address>,
    destination: Option<Address>,
    permit: Option<Permit>,
    place: OwnedSemaphorePermit,
}

impl TlsListener {
    /// Begins to accept from `below`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] where `tls` has no server's side.
    pub(in super::super) fn new(
        below: Box<dyn Accept>,
        tls: Tls,
        surroundings: Surroundings,
    ) -> Result<Self, ConnectionError> {
        tls.server()?;
        let runtime = surroundings.terms.runtime.clone();
        let below = Mutex::new(Some(below));
        let shared = Arc::new(Shared { tls, surroundings, below, state: Mutex::default() });
        let acceptor = runtime.spawn(accept_all(Arc::clone(&shared))).abort_handle();
        Ok(Self { shared, acceptor })
    }
}

impl Accept for TlsListener {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let attempt = |state: &mut State| match state.done.is_empty() && !state.is_closed {
            true => Poll::Pending,
            false => Poll::Ready(()),
        };
        poll_locked(&self.shared.state, cx, attempt, |state| &mut state.waker)
    }

    fn try_accept(&self) -> io::Result<Accepted> {
        let done = self.shared.state.lock().done.pop_front();
        done.map_or_else(|| Err(io::ErrorKind::WouldBlock.into()), |done| done.outcome)
    }

    fn reconfigure(&self, config: &TcpConfig) {
        if let Some(below) = &*self.shared.below.lock() {
            below.reconfigure(config);
        }
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.acceptor.abort();
        let below = self.shared.below.lock().take();
        drop(below);
        let (handshakes, done) = {
            let mut state = self.shared.state.lock();
            state.is_closed = true;
            (std::mem::take(&mut state.handshakes), std::mem::take(&mut state.done))
        };
        for cell in handshakes.into_values() {
            let handshake = cell.lock().take();
            drop(handshake);
        }
        drop(done);
    }
}

/// Takes connections from below for as long as the listener lives.
async fn accept_all(shared: Arc<Shared>) {
    let server = shared.tls.config().server.as_ref();
    let places = server.map_or(1, |server| server.max_handshakes) as usize;
    let places = Arc::new(Semaphore::new(places));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        if !poll_fn(|cx| shared.poll_below(cx)).await {
            return;
        }
        let permit = match &shared.surroundings.budget {
            Some(budget) => Some(budget.acquire().await),
            None => None,
        };
        match shared.accept_below() {
            Ok(accepted) => shared.begin(accepted, permit, place),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                // Nothing more until somebody has heard it, who then decides how long to wait.
                let (heard, hearing) = oneshot::channel();
                let held = Held { _place: place, _heard: Some(heard) };
                shared.hand_out(Done { outcome: Err(error), _held: held });
                let _ = hearing.await;
            }
        }
    }
}

impl Shared {
    /// Ready with false once closed.
    fn poll_below(&self, cx: &mut Context<'_>) -> Poll<bool> {
        match &*self.below.lock() {
            Some(below) => below.poll_ready(cx).map(|()| true),
            None => Poll::Ready(false),
        }
    }

    fn accept_below(&self) -> io::Result<Accepted> {
        match &*self.below.lock() {
            Some(below) => below.try_accept(),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Starts the handshake of a connection that was just accepted.
    fn begin(
        self: &Arc<Self>,
        accepted: Accepted,
        permit: Option<Permit>,
        place: OwnedSemaphorePermit,
    ) {
        let Ok(server) = self.surroundings.terms.server(&self.tls) else { return };
        let handshake = Handshake::new(accepted.transport, server.into());
        let cell = Arc::new(Mutex::new(Some(handshake)));
        let id = {
            let mut state = self.state.lock();
            if state.is_closed {
                return;
            }
            state.next_id += 1;
            let id = state.next_id;
            state.handshakes.insert(id, Arc::clone(&cell));
            id
        };
        let source = accepted.source.map(Address::with_tls);
        let destination = accepted.destination.map(Address::with_tls);
        let arrived = Arrived { id, cell, source, destination, permit, place };
        self.surroundings.terms.runtime.spawn(shake_hands(Arc::clone(self), arrived));
    }

    fn hand_out(&self, done: Done) {
        let waker = {
            let mut state = self.state.lock();
            if state.is_closed {
                return;
            }
            state.done.push_back(done);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn forget(&self, id: u64) {
        let forgotten = self.state.lock().handshakes.remove(&id);
        drop(forgotten);
    }

    /// A client that is not let in; strangers may do this at will, so it is no warning.
    fn record(&self, arrived: &Arrived, error: &ConnectionError) {
        tracing::debug!(
            source = arrived.source.as_ref().map(tracing::field::display),
            error = error as &dyn std::error::Error,
            "a TLS handshake failed"
        );
        let destination =
            arrived.destination.clone().unwrap_or_else(|| self.surroundings.address.clone());
        let ends = (arrived.source.clone(), Some(destination));
        self.surroundings.events.record(Event::handshake_failed(error.tls_fault(), ends, clock()));
    }
}

async fn shake_hands(shared: Arc<Shared>, arrived: Arrived) {
    let limit = shared.tls.config().server.as_ref().map(|server| server.handshake_timeout);
    let answer = timeout(limit.unwrap_or_default(), poll_fn(|cx| arrived.poll(cx))).await;
    let at =
        || Place::at(Step::Accept).from(arrived.source.clone()).to(arrived.destination.clone());
    let failed = match answer {
        Ok(Ok(true)) => None,
        // The listener was closed.
        Ok(Ok(false)) => return,
        Ok(Err(error)) => Some(handshake_failure(error, at())),
        Err(_) => Some(ConnectionError::timeout(limit, at())),
    };
    if let Some(error) = failed {
        shared.record(&arrived, &error);
        if error.tls_fault().is_some() {
            arrived.refuse().await;
        }
        return shared.forget(arrived.id);
    }
    let handshake = arrived.cell.lock().take();
    shared.forget(arrived.id);
    let Some(handshake) = handshake else { return };
    let Arrived { source, destination, permit, place, .. } = arrived;
    let transport = Box::new(handshake.finish(None, shared.surroundings.terms.clone()));
    let outcome = Ok(Accepted { transport, source, destination, permit, protocol: None });
    shared.hand_out(Done { outcome, _held: Held { _place: place, _heard: None } });
}

impl Arrived {
    /// Goes on with the handshake; ready with false where it was taken away.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match &mut *self.cell.lock() {
            Some(handshake) => handshake.poll(cx).map_ok(|()| true),
            None => Poll::Ready(Ok(false)),
        }
    }

    /// Says why, and waits until the client has hung up: a socket that is closed over what a client still sends
    /// would reset the connection, and the client might never learn why.
    async fn refuse(&self) {
        let heard = poll_fn(|cx| match &mut *self.cell.lock() {
            Some(handshake) => handshake.poll_refused(cx),
            None => Poll::Ready(()),
        });
        let _ = timeout(REFUSAL_TIME, heard).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "an event is told with its time")]
fn clock() -> Instant {
    Instant::now()
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("address", &self.surroundings.address)
            .finish_non_exhaustive()
    }
}
