//! What a UDP manager and its tasks have in common. The tasks hold this, and never the manager itself.

use super::{
    live::Live,
    session::{Plan, Session},
    sessions::Sessions,
    upstream,
};
use crate::{
    address::Address,
    budget::Budget,
    config::UdpManagerConfig,
    context::CloseReason,
    error::{ConnectionError, Place, Step, UdpCase},
    events::{Event, EventKind},
    manager::{routes::Routes, shared::Cut},
    metrics::DatagramMetrics,
    transport::{
        DatagramCloseHandle, Network,
        udp::{Inbox, Train},
    },
};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) network: Network,
    pub(super) config: UdpManagerConfig,
    pub(super) budget: Budget,
    pub(super) sessions: Sessions,
    pub(super) live: Arc<Live>,
    pub(super) datagrams: Arc<DatagramMetrics>,
    pub(super) inboxes: Inboxes,
    /// No new sessions, but those that stand go on.
    pub(super) stopping: CancellationToken,
    pub(super) cut: Cut,
    /// The tasks that receive for relays; they end after `cut`.
    pub(super) loops: TaskTracker,
    /// One for each session.
    pub(super) tasks: TaskTracker,
    /// Whoever adds to it looks at `stopping` under its lock; whoever stops takes it after `stopping`.
    pub(super) listening: Mutex<Listening>,
    pub(super) receive_pauses: AtomicU64,
    /// That the table is full was told, and no session was let in since.
    is_full_told: AtomicBool,
}

/// The sockets of a manager.
#[derive(Debug, Default)]
pub(super) struct Listening {
    /// Given away to the caller.
    pub(super) given: Vec<DatagramCloseHandle>,
    pub(super) routes: Routes,
}

impl Shared {
    pub(super) fn new(network: Network, config: UdpManagerConfig) -> Result<Self, ConnectionError> {
        let limit = u64::from(config.max_sessions);
        let sessions = Sessions::new(&config, network.metrics(), network.runtime())?;
        Ok(Self {
            datagrams: Arc::new(DatagramMetrics::new(network.metrics())),
            network,
            config,
            budget: Budget::new(limit),
            sessions,
            live: Arc::new(Live::new(limit)),
            inboxes: Inboxes::default(),
            stopping: CancellationToken::new(),
            cut: Cut::default(),
            loops: TaskTracker::new(),
            tasks: TaskTracker::new(),
            listening: Mutex::default(),
            receive_pauses: AtomicU64::new(0),
            is_full_told: AtomicBool::new(false),
        })
    }

    pub(super) fn check_open(&self, step: Step) -> Result<(), ConnectionError> {
        if self.stopping.is_cancelled() {
            return Err(ConnectionError::closed(step));
        }
        Ok(())
    }

    /// Makes a session with a task of its own, which makes its upstream. The caller puts it among the sessions.
    pub(super) fn begin(self: &Arc<Self>, plan: Plan) -> Result<Arc<Session>, ConnectionError> {
        self.sessions.make_room_among_unverified();
        let permit = match self.budget.try_acquire() {
            None if self.sessions.make_room() => self.budget.try_acquire(),
            permit => permit,
        };
        let Some(permit) = permit else { return Err(self.table_full(&plan)) };
        self.is_full_told.store(false, Ordering::Relaxed);
        let session = Session::new(self, plan, permit);
        if !self.live.admit(&session) {
            session.close(CloseReason::Drained);
            return Err(ConnectionError::closed(Step::Accept));
        }
        let span = tracing::debug_span!("session", id = session.id().get(), to = %session.to);
        let task = upstream::serve(Arc::clone(self), Arc::clone(&session)).instrument(span);
        self.tasks.spawn_on(task, self.network.runtime());
        Ok(session)
    }

    fn table_full(&self, plan: &Plan) -> ConnectionError {
        let source = Address::Udp(plan.key.source);
        if !self.is_full_told.swap(true, Ordering::Relaxed) {
            let limit = self.budget.limit();
            self.record(EventKind::LimitReached { limit }, Some(&Address::Udp(plan.key.local)));
            tracing::warn!(limit, "every place for a session is taken by a verified one");
        }
        let at = Place::at(Step::Accept).from(Some(source)).to(Some(plan.to.clone()));
        ConnectionError::Udp { case: UdpCase::SessionTableFull, at }
    }

    /// Passes datagrams on to their session; says whether it took them.
    pub(super) fn forward(&self, session: &Arc<Session>, train: Train<'_>) -> bool {
        let Some(verified) = session.forward(train) else {
            self.sessions.forget(session);
            return false;
        };
        self.datagrams.add_received(train.len());
        if verified && self.sessions.promote(session) {
            self.live.on_verified(session.id());
        }
        true
    }

    /// Ends a session for a reason of this process's.
    pub(super) fn end(&self, session: &Arc<Session>, reason: CloseReason) {
        session.close(reason);
        self.sessions.forget(session);
    }

    pub(super) fn end_all(&self, reason: CloseReason) {
        for session in self.live.all() {
            self.end(&session, reason);
        }
    }

    pub(super) fn record(&self, kind: EventKind, address: Option<&Address>) {
        let event = Event::of_listener(kind, address.cloned(), now());
        self.network.events().record(event);
    }
}

/// Rooms for batches of answers, lent for one round of receiving: a session that waits holds none.
#[derive(Debug, Default)]
pub(super) struct Inboxes(Mutex<Vec<Inbox>>);

impl Inboxes {
    /// Datagrams or trains per batch of answers.
    const PLACES: usize = 8;
    /// Rooms that are kept for the next round.
    const KEPT: usize = 8;

    pub(super) fn take(&self) -> Inbox {
        let kept = self.0.lock().pop();
        kept.unwrap_or_else(|| Inbox::new(Self::PLACES))
    }

    pub(super) fn give_back(&self, inbox: Inbox) {
        let mut kept = self.0.lock();
        if kept.len() < Self::KEPT {
            kept.push(inbox);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "events and deadlines are told by this clock")]
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
