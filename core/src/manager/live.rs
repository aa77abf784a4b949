//! The connections of a manager: which stand, what the ended ones add up to, and who waits for the last.

use super::{
    relayed::Relayed,
    shared::clock,
    stats::{LiveState, LiveTcpConnection, TcpManagerStats, place},
};
use crate::{
    context::{CloseReason, ConnectionId, Direction},
    endpoint::EndpointId,
    error::{ConnectionError, Step},
    metrics::ConnectionMetrics,
    transport::{Admission, CloseHandle, CloseWatcher, Stream},
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Every connection enters once, by [`Admission`], and leaves once, by [`CloseWatcher`].
pub(crate) struct Live {
    /// Held for a few numbers and one entry; nothing is closed, dropped or woken under it.
    table: Mutex<Table>,
    emptied: Notify,
    this: Weak<Self>,
}

#[derive(Default)]
struct Table {
    standing: HashMap<ConnectionId, Standing>,
    sealed: bool,
    /// All but `active`, `waiting`, `limit`, and the bytes of what stands.
    totals: TcpManagerStats,
}

struct Standing {
    metrics: Arc<ConnectionMetrics>,
    stream: CloseHandle,
    keeper: Keeper,
}

/// Who closes a connection when the manager cuts it.
#[derive(Clone)]
enum Keeper {
    /// Whoever cuts: the stream is somebody else's.
    Cutter,
    /// Whoever cuts, with the one that it is relayed to.
    CutterOfBoth(CloseHandle, Arc<Relayed>),
    /// The manager's own task, which knows what each side is owed.
    Task(Arc<Relayed>),
}

/// A connection that stands, found under the lock, to be told after it.
struct Seen {
    id: ConnectionId,
    metrics: Arc<ConnectionMetrics>,
    stream: CloseHandle,
    keeper: Keeper,
}

/// What became of a connection that a drain would end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// It had ended before.
    Gone,
    /// It is not what it was taken for, and stays.
    Kept,
    /// It is told to end.
    Ended,
}

impl Keeper {
    fn relayed(&self) -> Option<&Relayed> {
        match self {
            Self::Cutter => None,
            Self::CutterOfBoth(_, relayed) | Self::Task(relayed) => Some(relayed),
        }
    }

    fn state(&self) -> LiveState {
        match self {
            Self::CutterOfBoth(_, relayed) | Self::Task(relayed) if relayed.is_relaying() => {
                LiveState::Relaying
            }
            Self::Task(relayed) if relayed.is_waiting() => LiveState::Waiting,
            Self::Task(_) => LiveState::Reaching,
            Self::Cutter | Self::CutterOfBoth(..) => LiveState::Held,
        }
    }
}

impl Standing {
    fn seen(&self, id: ConnectionId) -> Seen {
        Seen {
            id,
            metrics: Arc::clone(&self.metrics),
            stream: self.stream.clone(),
            keeper: self.keeper.clone(),
        }
    }
}

impl Seen {
    /// `None` if it has gone since it was seen.
    fn described(self, now: Instant) -> Option<LiveTcpConnection> {
        let context = self.stream.context()?;
        let relayed = self.keeper.relayed();
        let destination = match context.direction {
            Direction::Dialled => context.destination.clone(),
            Direction::Accepted => {
                relayed.and_then(Relayed::server).and_then(|server| server.destination)
            }
        };
        Some(LiveTcpConnection {
            id: self.id,
            local: context.local().cloned(),
            source: context.source,
            destination,
            backend: relayed.and_then(Relayed::backend),
            protocol: relayed.and_then(Relayed::protocol),
            state: self.keeper.state(),
            age: now.saturating_duration_since(context.created),
            idle: relayed.and_then(|relayed| relayed.idle(now)),
            bytes_received: self.metrics.bytes_received(),
            bytes_sent: self.metrics.bytes_sent(),
        })
    }

    /// How long no byte has moved, as far as the manager sees that.
    fn idle(&self, now: Instant) -> Option<Duration> {
        self.keeper.relayed().and_then(|relayed| relayed.idle(now))
    }

    /// Closes what no task of the manager closes.
    fn close(&self, reason: CloseReason) {
        match &self.keeper {
            Keeper::Cutter => self.stream.close(reason),
            Keeper::CutterOfBoth(server, _) => {
                self.stream.close(reason);
                server.close(reason);
            }
            Keeper::Task(_) => {}
        }
    }

    /// Closes it, or has the task of the manager do so that knows what each side is owed.
    fn end(&self, reason: CloseReason) {
        match &self.keeper {
            Keeper::Task(relayed) => relayed.end(reason),
            Keeper::Cutter | Keeper::CutterOfBoth(..) => self.close(reason),
        }
    }
}

impl Live {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            table: Mutex::default(),
            emptied: Notify::new(),
            this: Weak::clone(this),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.table.lock().standing.len()
    }

    pub(crate) fn holds(&self, id: ConnectionId) -> bool {
        self.table.lock().standing.contains_key(&id)
    }

    /// Nothing enters any more.
    pub(crate) fn seal(&self) {
        self.table.lock().sealed = true;
    }

    /// A task of the manager closes this connection when it is told to, and tells of it meanwhile.
    pub(crate) fn keep_by_task(&self, id: ConnectionId) -> Arc<Relayed> {
        let relayed = Relayed::new(clock());
        self.replace_keeper(id, Keeper::Task(Arc::clone(&relayed)));
        relayed
    }

    /// Whoever cuts the connection closes `server` with it.
    pub(crate) fn keep_with(&self, id: ConnectionId, server: CloseHandle) -> Arc<Relayed> {
        let relayed = Relayed::new(clock());
        relayed.on_reached(server.clone());
        self.replace_keeper(id, Keeper::CutterOfBoth(server, Arc::clone(&relayed)));
        relayed
    }

    fn replace_keeper(&self, id: ConnectionId, keeper: Keeper) {
        let before = {
            let mut table = self.table.lock();
            let standing = table.standing.get_mut(&id);
            standing.map(|standing| std::mem::replace(&mut standing.keeper, keeper))
        };
        drop(before);
    }

    /// Up to `max` connections with a number above `after`, in the order of their numbers. One that is shorter is the
    /// last page.
    pub(super) fn list(&self, after: u64, max: usize, now: Instant) -> Vec<LiveTcpConnection> {
        let (mut page, mut after) = (Vec::new(), after);
        while page.len() < max {
            let seen = self.seen_after(after, max - page.len());
            let Some(last) = seen.last() else { break };
            after = last.id.get();
            page.extend(seen.into_iter().filter_map(|seen| seen.described(now)));
        }
        page
    }

    fn seen_after(&self, after: u64, max: usize) -> Vec<Seen> {
        let table = self.table.lock();
        let mut ids: Vec<_> =
            table.standing.keys().copied().filter(|id| id.get() > after).collect();
        if ids.len() > max {
            ids.select_nth_unstable(max);
            ids.truncate(max);
        }
        ids.sort_unstable();
        ids.into_iter().filter_map(|id| Some(table.standing.get(&id)?.seen(id))).collect()
    }

    fn seen(&self, id: u64) -> Option<Seen> {
        let id = ConnectionId::of(id)?;
        self.table.lock().standing.get(&id).map(|standing| standing.seen(id))
    }

    /// The connection with this number.
    pub(super) fn inspect(&self, id: u64, now: Instant) -> Option<LiveTcpConnection> {
        self.seen(id)?.described(now)
    }

    /// Ends the connection with this number; says whether it stood.
    pub(super) fn kill(&self, id: u64) -> bool {
        let Some(seen) = self.seen(id) else { return false };
        seen.end(CloseReason::Killed);
        true
    }

    /// Ends the connections to these endpoints of a backend.
    pub(super) fn end_of(&self, backend: &Arc<str>, endpoints: &[EndpointId]) {
        let goes_there = |standing: &Standing| {
            standing.keeper.relayed().is_some_and(|relayed| relayed.goes_to(backend, endpoints))
        };
        let all: Vec<_> = {
            let table = self.table.lock();
            let standing = table.standing.iter().filter(|(_, standing)| goes_there(standing));
            standing.map(|(id, standing)| standing.seen(*id)).collect()
        };
        for seen in all {
            seen.end(CloseReason::Drained);
        }
    }

    /// Each that stands, with how long no byte has moved, where that is known.
    pub(super) fn silences(&self, now: Instant) -> Vec<(ConnectionId, Option<Duration>)> {
        let table = self.table.lock();
        let idle = |standing: &Standing| standing.keeper.relayed().and_then(|r| r.idle(now));
        table.standing.iter().map(|(id, standing)| (*id, idle(standing))).collect()
    }

    /// Forgets those of `ending` that have ended; how many others stand.
    pub(super) fn standing_besides(&self, ending: &mut Vec<ConnectionId>) -> usize {
        let table = self.table.lock();
        ending.retain(|id| table.standing.contains_key(id));
        table.standing.len() - ending.len()
    }

    /// Ends this connection if it stands and `may_end`, which is told how long no byte has moved; says what became of it.
    pub(super) fn drain_one(
        &self,
        id: ConnectionId,
        now: Instant,
        may_end: impl FnOnce(Option<Duration>) -> bool,
    ) -> Drained {
        let seen = self.table.lock().standing.get(&id).map(|standing| standing.seen(id));
        match seen {
            None => Drained::Gone,
            Some(seen) if may_end(seen.idle(now)) => {
                seen.end(CloseReason::Drained);
                Drained::Ended
            }
            Some(_) => Drained::Kept,
        }
    }

    pub(crate) fn on_accept_paused(&self) {
        self.table.lock().totals.accept_pauses += 1;
    }

    /// Closes what no task of the manager closes.
    pub(crate) fn cut(&self, reason: CloseReason) {
        let all: Vec<_> = {
            let table = self.table.lock();
            table.standing.iter().map(|(id, standing)| standing.seen(*id)).collect()
        };
        for seen in all {
            seen.close(reason);
        }
    }

    /// Waits until no connection stands.
    pub(crate) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// All counts at one moment, `limit` and `bytes_spliced` aside.
    pub(crate) fn stats(&self) -> TcpManagerStats {
        let table = self.table.lock();
        let mut stats = table.totals;
        stats.active = table.standing.len() as u64;
        for standing in table.standing.values() {
            stats.bytes_received += standing.metrics.bytes_received();
            stats.bytes_sent += standing.metrics.bytes_sent();
            stats.waiting += u64::from(standing.keeper.state() == LiveState::Waiting);
        }
        stats
    }
}

impl Admission for Live {
    fn admit(&self, stream: Stream) -> Result<Stream, ConnectionError> {
        let direction = stream.context().direction;
        let standing = Standing {
            metrics: stream.shared_metrics(),
            stream: stream.close_handle(),
            keeper: Keeper::Cutter,
        };
        // Watched before it is listed: an entry that nobody takes out would stand for ever.
        let stream = match self.this.upgrade() {
            Some(this) => stream.watched_by(this),
            None => stream,
        };
        {
            let mut table = self.table.lock();
            if !table.sealed {
                table.totals.opened += 1;
                match direction {
                    Direction::Accepted => table.totals.accepted += 1,
                    Direction::Dialled => table.totals.dialled += 1,
                }
                table.standing.insert(stream.context().id, standing);
                return Ok(stream);
            }
        }
        stream.close_because(CloseReason::Drained);
        Err(ConnectionError::closed(match direction {
            Direction::Accepted => Step::Accept,
            Direction::Dialled => Step::Connect,
        }))
    }
}

impl CloseWatcher for Live {
    fn on_close(&self, connection: ConnectionId, reason: CloseReason) {
        let (left, is_empty);
        {
            let mut table = self.table.lock();
            left = table.standing.remove(&connection);
            is_empty = table.standing.is_empty();
            if let Some(standing) = &left {
                table.totals.closed_by_reason[place(reason)] += 1;
                table.totals.bytes_received += standing.metrics.bytes_received();
                table.totals.bytes_sent += standing.metrics.bytes_sent();
            }
        }
        drop(left);
        if is_empty {
            self.emptied.notify_waiters();
        }
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("standing", &self.len()).finish_non_exhaustive()
    }
}
