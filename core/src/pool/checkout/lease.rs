//! A connection that is lent to one caller.

use super::{
    connector::Connector,
    shared::{Pace, Shared, clock},
    slots::{SlotId, TURN_BITS},
    state::Fate,
};
use crate::pool::reason::PoolCloseReason;
use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
};

/// A connection that is lent to one caller, who uses it as if it were its own.
///
/// Dropping it gives the connection back: to the oldest caller in line, else to the idle ones. If the thread
/// panics, or the connector finds it broken, it is closed instead.
pub struct Lease<C: Connector> {
    shared: Arc<Shared<C>>,
    id: SlotId,
    /// Empty only once the connection is on its way elsewhere.
    connection: Option<C::Connection>,
}

/// The number of a lease, for those who cannot hold the lease itself. No other lease of its pool, or of the
/// 254 pools made next, has the same until its place in the pool was used 2³⁵ times more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseId(u64);

const INDEX_BITS: u32 = 20;

impl LeaseId {
    pub(super) fn new(salt: u8, id: SlotId) -> Self {
        Self(u64::from(salt) << 56 | u64::from(id.index) << TURN_BITS | id.turn)
    }

    /// The number as it was given out by [`get`](Self::get).
    pub fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The plain number; never 0.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The place it means in the pool of this salt.
    pub(super) fn slot(self, salt: u8) -> Option<SlotId> {
        let index = (self.0 >> TURN_BITS) as u32 & ((1 << INDEX_BITS) - 1);
        let turn = self.0 & ((1 << TURN_BITS) - 1);
        (self.0 >> 56 == u64::from(salt)).then_some(SlotId { index, turn })
    }
}

impl<C: Connector> Lease<C> {
    pub(super) fn new(
        shared: Arc<Shared<C>>,
        id: SlotId,
        connection: Option<C::Connection>,
    ) -> Self {
        debug_assert!(connection.is_some(), "whoever holds a lease holds its connection");
        Self { shared, id, connection }
    }

    /// The number of this lease.
    pub fn id(&self) -> LeaseId {
        LeaseId::new(self.shared.salt, self.id)
    }

    /// Ends the connection instead of giving it back, as after an error that leaves it in doubt.
    pub fn discard(mut self) {
        self.give_back(Fate::Close(PoolCloseReason::Discarded));
    }

    /// Takes the connection out of the pool for good. The pool may open another in its place.
    pub fn detach(mut self) -> C::Connection {
        let connection = self.take();
        let id = self.id;
        self.shared.update(|state, actions| state.on_detach(id, clock(), actions));
        connection
    }

    /// Leaves the connection with the pool, still lent, until its number is given to
    /// [`put_back`](super::CheckoutPool::put_back) or [`reclaim`](super::CheckoutPool::reclaim).
    pub fn entrust(mut self) -> LeaseId {
        let (id, connection) = (self.id, self.take());
        if let Err(connection) = self.shared.write(|state| state.entrust(id, connection)) {
            debug_assert!(self.shared.is_inherited(), "a lease is lent for as long as it lives");
            self.leave_alone(connection);
        }
        self.id()
    }

    /// Ends the connection for `reason`.
    pub(super) fn give_up(mut self, reason: PoolCloseReason) {
        self.give_back(Fate::Close(reason));
    }

    fn take(&mut self) -> C::Connection {
        self.connection.take().expect("a lease holds its connection until it ends")
    }

    /// Keeps what is another process's from being dropped in this one.
    fn leave_alone(&self, connection: C::Connection) {
        self.shared.leave_alone();
        #[expect(
            clippy::mem_forget,
            reason = "it is the parent's, as is what it is registered with"
        )]
        std::mem::forget(connection);
    }

    fn give_back(&mut self, fate: Fate) {
        let Some(connection) = self.connection.take() else { return };
        if self.shared.is_inherited() {
            return self.leave_alone(connection);
        }
        let (id, now) = (self.id, self.shared.now());
        let result = self.shared.exchange(now, |state, actions| {
            (state.on_put_back(id, Some(connection), fate, now, actions), Pace::AtOnce)
        });
        match result {
            Ok(put_back) => self.shared.note_use(put_back),
            Err(_) => debug_assert!(false, "a lease is put back once"),
        }
    }
}

impl<C: Connector> Drop for Lease<C> {
    fn drop(&mut self) {
        let Some(connection) = &self.connection else { return };
        let fate = if std::thread::panicking() || self.shared.is_inherited() {
            Fate::Close(PoolCloseReason::Discarded)
        } else if self.shared.is_broken(connection) {
            Fate::Close(PoolCloseReason::Broken)
        } else {
            Fate::Reuse
        };
        self.give_back(fate);
    }
}

impl<C: Connector> Deref for Lease<C> {
    type Target = C::Connection;

    fn deref(&self) -> &C::Connection {
        self.connection.as_ref().expect("a lease holds its connection until it ends")
    }
}

impl<C: Connector> DerefMut for Lease<C> {
    fn deref_mut(&mut self) -> &mut C::Connection {
        self.connection.as_mut().expect("a lease holds its connection until it ends")
    }
}

impl<C: Connector> fmt::Debug for Lease<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("id", &self.id()).finish_non_exhaustive()
    }
}
