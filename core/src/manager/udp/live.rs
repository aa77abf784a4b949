//! The sessions of a manager: which stand, what the ended ones add up to, and who waits for the last.

use super::{
    session::Session,
    stats::{LiveUdpConnection, UdpManagerStats},
};
use crate::{
    context::{CloseReason, ConnectionId},
    manager::stats::place,
};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Instant};
use tokio::sync::Notify;

/// Every session enters once and leaves once, when it closes.
#[derive(Debug)]
pub(super) struct Live {
    /// Held for a few numbers and one entry; nothing is closed, dropped or woken under it.
    table: Mutex<Table>,
    emptied: Notify,
    limit: u64,
}

#[derive(Debug, Default)]
struct Table {
    standing: HashMap<ConnectionId, Standing>,
    sealed: bool,
    verified: u64,
    /// Sessions and bytes, all but those of what stands.
    totals: UdpManagerStats,
}

#[derive(Debug)]
struct Standing {
    session: Arc<Session>,
    verified: bool,
}

impl Live {
    pub(super) fn new(limit: u64) -> Self {
        Self { table: Mutex::default(), emptied: Notify::new(), limit }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn len(&self) -> usize {
        self.table.lock().standing.len()
    }

    /// Nothing enters any more.
    pub(super) fn seal(&self) {
        self.table.lock().sealed = true;
    }

    /// Lists a session, unless nothing enters any more.
    pub(super) fn admit(&self, session: &Arc<Session>) -> bool {
        let mut table = self.table.lock();
        // Counted in any case: it closes like any other.
        table.totals.opened += 1;
        let standing = Standing { session: Arc::clone(session), verified: false };
        table.standing.insert(session.id(), standing);
        !table.sealed
    }

    pub(super) fn on_verified(&self, id: ConnectionId) {
        let mut table = self.table.lock();
        let Some(standing) = table.standing.get_mut(&id) else { return };
        if !std::mem::replace(&mut standing.verified, true) {
            table.verified += 1;
        }
    }

    pub(super) fn on_close(&self, session: &Session, reason: CloseReason) {
        let (left, is_empty);
        {
            let mut table = self.table.lock();
            left = table.standing.remove(&session.id());
            is_empty = table.standing.is_empty();
            if let Some(standing) = &left {
                table.verified -= u64::from(standing.verified);
                table.totals.closed_by_reason[place(reason)] += 1;
                table.totals.bytes_received += session.metrics.bytes_received();
                table.totals.bytes_sent += session.metrics.bytes_sent();
            }
        }
        drop(left);
        if is_empty {
            self.emptied.notify_waiters();
        }
    }

    /// The session with this number.
    pub(super) fn find(&self, id: u64) -> Option<Arc<Session>> {
        let id = ConnectionId::of(id)?;
        self.table.lock().standing.get(&id).map(|standing| Arc::clone(&standing.session))
    }

    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        let table = self.table.lock();
        table.standing.values().map(|standing| Arc::clone(&standing.session)).collect()
    }

    /// In the order in which they began.
    pub(super) fn list(&self, now: Instant) -> Vec<LiveUdpConnection> {
        let mut list: Vec<_> = self.all().iter().map(|session| session.snapshot(now)).collect();
        list.sort_unstable_by_key(|connection| connection.id);
        list
    }

    /// Waits until no session stands.
    pub(super) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Sessions and bytes of one moment.
    pub(super) fn stats(&self) -> UdpManagerStats {
        let table = self.table.lock();
        let mut stats = table.totals;
        stats.limit = self.limit;
        stats.active = table.standing.len() as u64;
        stats.verified = table.verified;
        stats.unverified = stats.active - stats.verified;
        for standing in table.standing.values() {
            stats.bytes_received += standing.session.metrics.bytes_received();
            stats.bytes_sent += standing.session.metrics.bytes_sent();
        }
        stats
    }
}
