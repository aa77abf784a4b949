//! The connections of a manager: which stand, what the ended ones add up to, and who waits for the last.

use super::stats::{TcpManagerStats, place};
use crate::{
    context::{CloseReason, ConnectionId, Direction},
    error::{ConnectionError, Step},
    metrics::ConnectionMetrics,
    transport::{Admission, CloseHandle, CloseWatcher, Stream},
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
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
    /// All but `active`, `limit`, and the bytes of what stands.
    totals: TcpManagerStats,
}

struct Standing {
    metrics: Arc<ConnectionMetrics>,
    keeper: Keeper,
}

/// Who closes a connection when the manager cuts it.
enum Keeper {
    /// Whoever cuts: the stream is somebody else's, with the one it is relayed to where there is one.
    Cutter(Vec<CloseHandle>),
    /// The manager's own task, which knows what each side is owed.
    Task,
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

    /// A task of the manager closes this connection when it is told to.
    pub(crate) fn keep_by_task(&self, id: ConnectionId) {
        let before = self.replace_keeper(id, |_| Keeper::Task);
        drop(before);
    }

    /// Whoever cuts the connection closes `partner` with it.
    pub(crate) fn keep_with(&self, id: ConnectionId, partner: CloseHandle) {
        let before = self.replace_keeper(id, |keeper| match keeper {
            Keeper::Cutter(handles) => {
                Keeper::Cutter(handles.iter().cloned().chain([partner]).collect())
            }
            Keeper::Task => Keeper::Task,
        });
        drop(before);
    }

    fn replace_keeper(
        &self,
        id: ConnectionId,
        make: impl FnOnce(&Keeper) -> Keeper,
    ) -> Option<Keeper> {
        let mut table = self.table.lock();
        let standing = table.standing.get_mut(&id)?;
        let fresh = make(&standing.keeper);
        Some(std::mem::replace(&mut standing.keeper, fresh))
    }

    pub(crate) fn on_accept_paused(&self) {
        self.table.lock().totals.accept_pauses += 1;
    }

    /// Closes what no task of the manager closes.
    pub(crate) fn cut(&self, reason: CloseReason) {
        let handles: Vec<_> = {
            let table = self.table.lock();
            let of = |standing: &Standing| match &standing.keeper {
                Keeper::Cutter(handles) => handles.clone(),
                Keeper::Task => Vec::new(),
            };
            table.standing.values().flat_map(of).collect()
        };
        for handle in handles {
            handle.close(reason);
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
        }
        stats
    }
}

impl Admission for Live {
    fn admit(&self, stream: Stream) -> Result<Stream, ConnectionError> {
        let direction = stream.context().direction;
        let standing = Standing {
            metrics: stream.shared_metrics(),
            keeper: Keeper::Cutter(vec![stream.close_handle()]),
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
