//! One session: the client at one end, a connected socket at the other, and the one way to end.

use super::{
    deliver::{Delivered, deliver},
    early::Early,
    live::Live,
    shared::Shared,
    stats::LiveUdpConnection,
    trust::Trust,
};
use crate::{
    address::Address,
    budget::Permit,
    config::TimeLimit,
    context::{CloseReason, ConnectionContext, ConnectionId, Direction, Protocol},
    error::{ConnectionError, Place, Step},
    events::{Event, Events},
    metrics::{ConnectionMetrics, DatagramMetrics, DropReason},
    transport::{
        Datagram,
        udp::{Inbox, Socket, Train, refusal},
    },
};
use parking_lot::{Mutex, RwLock};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What tells sessions apart: who sends, and to which of our addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionKey {
    pub(super) source: SocketAddr,
    pub(super) local: SocketAddr,
}

/// In place of a number of holders: there were some, and none is left.
const LET_GO: usize = usize::MAX;

/// How a session is made.
pub(super) struct Plan {
    pub(super) key: SessionKey,
    /// The socket that the client sends to, and gets its answers from.
    pub(super) outlet: Arc<Datagram>,
    pub(super) to: Address,
    pub(super) idle_timeout: TimeLimit,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) key: SessionKey,
    pub(super) context: ConnectionContext,
    pub(super) to: Address,
    /// Once it is verified.
    pub(super) idle_timeout: TimeLimit,
    pub(super) metrics: ConnectionMetrics,
    outlet: Arc<Datagram>,
    /// Of the whole manager.
    datagrams: Arc<DatagramMetrics>,
    datagrams_received: AtomicU64,
    datagrams_sent: AtomicU64,
    trust: Mutex<Trust>,
    /// Read-locked for the length of one non-blocking call, never across a wait.
    link: RwLock<Link>,
    opened: Notify,
    /// Why the upstream was not made.
    failure: OnceLock<ConnectionError>,
    over: CancellationToken,
    events: Events,
    live: Weak<Live>,
    /// Handles that the host has, or [`LET_GO`].
    holders: AtomicUsize,
}

/// ```text
///   Opening ── connected, and all that waited is sent ──▶ Open ──▶ Over
///      └──────────────── not reached, closed ────────────────────▶
/// ```
///
/// The permit is behind what it allows, so that it is given back after it is gone.
#[derive(Debug)]
enum Link {
    Opening { early: Early, permit: Permit },
    Open { upstream: Box<Upstream>, permit: Permit },
    Over,
}

#[derive(Debug)]
struct Upstream {
    socket: Socket,
    metrics: ConnectionMetrics,
    peer: SocketAddr,
}

impl Session {
    pub(super) fn new(shared: &Shared, plan: Plan, permit: Permit) -> Arc<Self> {
        let context = ConnectionContext {
            id: ConnectionId::next(),
            protocol: Protocol::Udp,
            direction: Direction::Accepted,
            source: Some(Address::Udp(plan.key.source)),
            destination: Some(Address::Udp(plan.key.local)),
            created: super::shared::now(),
        };
        let metrics = ConnectionMetrics::open(shared.network.metrics(), &context);
        let events = shared.network.events().clone();
        events.record(Event::opened(&context));
        Arc::new(Self {
            key: plan.key,
            context,
            to: plan.to,
            idle_timeout: plan.idle_timeout,
            metrics,
            outlet: plan.outlet,
            datagrams: Arc::clone(&shared.datagrams),
            datagrams_received: AtomicU64::new(0),
            datagrams_sent: AtomicU64::new(0),
            trust: Mutex::new(Trust::new(shared.config.amplification_limit)),
            link: RwLock::new(Link::Opening { early: Early::new(&shared.config), permit }),
            opened: Notify::new(),
            failure: OnceLock::new(),
            over: CancellationToken::new(),
            events,
            live: Arc::downgrade(&shared.live),
            holders: AtomicUsize::new(0),
        })
    }

    pub(super) fn id(&self) -> ConnectionId {
        self.context.id
    }

    pub(super) fn is_verified(&self) -> bool {
        self.trust.lock().is_verified()
    }

    /// Takes datagrams from the client; says whether they have verified it just now. `None` if the session is over,
    /// and they were not taken.
    pub(super) fn forward(&self, train: Train<'_>) -> Option<bool> {
        // Before it is sent: the answer to it may be faster than this thread.
        let verified = self.trust.lock().on_client(train.bytes().len());
        if !self.send_on(train) && !self.queue(train) {
            return None;
        }
        self.metrics.add_received(train.bytes().len() as u64);
        self.datagrams_received.fetch_add(train.len() as u64, Ordering::Relaxed);
        Some(verified)
    }

    fn send_on(&self, train: Train<'_>) -> bool {
        match &*self.link.read() {
            Link::Open { upstream, .. } => {
                upstream.send(train, &self.datagrams);
                true
            }
            Link::Opening { .. } | Link::Over => false,
        }
    }

    fn queue(&self, train: Train<'_>) -> bool {
        let mut link = self.link.write();
        match &mut *link {
            Link::Opening { early, .. } => {
                self.datagrams.add_dropped(DropReason::EarlyQueueFull, early.push(train));
                true
            }
            // Opened between the two looks.
            Link::Open { upstream, .. } => {
                upstream.send(train, &self.datagrams);
                true
            }
            Link::Over => false,
        }
    }

    /// The upstream is there: sends what waited, in order, and what comes meanwhile behind it.
    pub(super) fn open(&self, socket: Socket, peer: SocketAddr, metrics: ConnectionMetrics) {
        let upstream = Box::new(Upstream { socket, metrics, peer });
        loop {
            let waiting = {
                let mut link = self.link.write();
                let Link::Opening { early, .. } = &mut *link else { break };
                let waiting = early.take();
                if waiting.is_empty() {
                    if let Link::Opening { permit, .. } = std::mem::replace(&mut *link, Link::Over)
                    {
                        *link = Link::Open { upstream, permit };
                    }
                    break;
                }
                waiting
            };
            for datagram in &waiting {
                upstream.send(Train::one(datagram), &self.datagrams);
            }
        }
        self.opened.notify_waiters();
    }

    /// The upstream was not made.
    pub(super) fn fail(&self, error: ConnectionError) {
        let _ = self.failure.set(error);
        self.close(CloseReason::ConnectFailed);
    }

    /// Waits until the upstream is there.
    pub(super) async fn opened(&self) -> Result<(), ConnectionError> {
        loop {
            let opened = self.opened.notified();
            match &*self.link.read() {
                Link::Opening { .. } => {}
                Link::Open { .. } => return Ok(()),
                Link::Over => return Err(self.why_over(Step::Connect)),
            }
            tokio::select! {
                () = opened => {}
                () = self.over.cancelled() => {}
            }
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(*self.link.read(), Link::Over)
    }

    /// One more handle of the host's; false if the last one was just let go, and the session ends with it.
    pub(super) fn hold(&self) -> bool {
        let more = |count| (count != LET_GO).then(|| count + 1);
        self.holders.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    /// One handle fewer; says whether it was the last, which then ends the session.
    pub(super) fn let_go(&self) -> bool {
        let fewer = |count| Some(if count == 1 { LET_GO } else { count - 1 });
        self.holders.fetch_update(Ordering::AcqRel, Ordering::Acquire, fewer) == Ok(1)
    }

    /// Waits for the end.
    pub(super) async fn over(&self) {
        self.over.cancelled().await;
    }

    /// What an operation on a session that is over fails with.
    pub(super) fn why_over(&self, step: Step) -> ConnectionError {
        if let Some(failure) = self.failure.get() {
            return failure.clone();
        }
        let at = Place::at(step).from(self.context.source.clone()).to(Some(self.to.clone()));
        match self.metrics.close_reason() {
            Some(CloseReason::Evicted) => ConnectionError::limit_exceeded(
                "sessions",
                self.live.upgrade().map_or(0, |live| live.limit()),
                at,
            ),
            _ => ConnectionError::Closed { at },
        }
    }

    /// Ready when [`receive`](Self::receive) is worth a try.
    pub(super) fn poll_answer_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &*self.link.read() {
            Link::Open { upstream, .. } => upstream.socket.io().poll_recv_ready(cx).map(drop),
            Link::Opening { .. } | Link::Over => Poll::Ready(()),
        }
    }

    /// Receives a batch of answers.
    pub(super) fn receive(&self, inbox: &mut Inbox) -> io::Result<()> {
        match &*self.link.read() {
            Link::Open { upstream, .. } => inbox.fill(&upstream.socket),
            Link::Opening { .. } | Link::Over => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Sends answers on to the client, as far as it may get them.
    pub(super) fn answer(&self, train: Train<'_>) {
        let bytes = train.bytes().len();
        if let Link::Open { upstream, .. } = &*self.link.read() {
            upstream.metrics.add_received(bytes as u64);
        }
        let whole = self.trust.lock().on_answer(bytes);
        if whole {
            return self.answer_whole(train);
        }
        for datagram in train.datagrams() {
            let may = self.trust.lock().on_answer(datagram.len());
            if may {
                self.answer_whole(Train::one(datagram));
            } else {
                self.datagrams.add_dropped(DropReason::Amplification, 1);
            }
        }
    }

    fn answer_whole(&self, train: Train<'_>) {
        let local = self.key.local.ip();
        let from = (!local.is_unspecified()).then_some(local);
        let send = |train: Train<'_>| self.outlet.try_send_train(train, self.key.source, from);
        let Delivered { datagrams, bytes } = deliver(train, &self.datagrams, send);
        self.metrics.add_sent(bytes as u64);
        self.datagrams.add_sent(datagrams);
        self.datagrams_sent.fetch_add(datagrams as u64, Ordering::Relaxed);
    }

    /// Ends the session; its descriptor is gone when this returns. The first reason wins.
    pub(super) fn close(&self, reason: CloseReason) {
        let before = std::mem::replace(&mut *self.link.write(), Link::Over);
        let (permit, unsent) = match before {
            Link::Over => return,
            Link::Opening { early, permit } => (permit, early.len()),
            Link::Open { upstream, permit } => {
                let Upstream { socket, metrics, .. } = *upstream;
                drop(socket);
                metrics.close(reason);
                (permit, 0)
            }
        };
        let lost = match reason {
            CloseReason::ConnectFailed => DropReason::ConnectFailed,
            _ => DropReason::SessionClosed,
        };
        self.datagrams.add_dropped(lost, unsent);
        let now = super::shared::now();
        self.metrics.close_at(reason, now);
        let (received, sent) = (self.metrics.bytes_received(), self.metrics.bytes_sent());
        self.events.record(Event::closed(&self.context, reason, received, sent, now));
        tracing::debug!(session = self.id().get(), reason = reason.name(), "session over");
        if let Some(live) = self.live.upgrade() {
            live.on_close(self, reason);
        }
        drop(permit);
        self.over.cancel();
    }

    pub(super) fn snapshot(&self, now: Instant) -> LiveUdpConnection {
        LiveUdpConnection {
            id: self.id(),
            source: Address::Udp(self.key.source),
            local: Address::Udp(self.key.local),
            destination: self.to.clone(),
            verified: self.is_verified(),
            age: now.saturating_duration_since(self.context.created),
            datagrams_received: self.datagrams_received.load(Ordering::Relaxed),
            datagrams_sent: self.datagrams_sent.load(Ordering::Relaxed),
            bytes_received: self.metrics.bytes_received(),
            bytes_sent: self.metrics.bytes_sent(),
        }
    }
}

impl Upstream {
    fn send(&self, train: Train<'_>, metrics: &DatagramMetrics) {
        let send = |train: Train<'_>| {
            self.socket.try_send(train, self.peer, None).map_err(|short| {
                refusal(short, Place::at(Step::Write).to(Some(Address::Udp(self.peer))))
            })
        };
        self.metrics.add_sent(deliver(train, metrics, send).bytes as u64);
        metrics.add_refused(self.socket.take_refused());
    }
}
