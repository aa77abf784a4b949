//! What a pool's handle names, and how a lease goes to its caller.

use super::{connector::Maker, trunkline_lease_t, trunkline_leased_t};
use crate::{
    call::Call,
    error::Failure,
    handle::{Handle, trunkline_pool_t},
    input::Deadline,
    runtime::Runtime,
    status::*,
};
use std::sync::{Arc, OnceLock};
use trunkline_core::{
    CheckoutPool, Lease,
    pool::{Entrusted, LeaseId, Patience},
};

/// `INT64_MIN`: the pool's own `acquire_timeout`, counted from the call.
pub const TRUNKLINE_DEADLINE_DEFAULT: i64 = i64::MIN;

/// What a pool's handle names.
pub(crate) struct PoolObject {
    pub(super) pool: CheckoutPool<Maker>,
    pub(super) runtime: Arc<Runtime>,
    handle: OnceLock<u64>,
}

impl PoolObject {
    pub(super) fn new(pool: CheckoutPool<Maker>, runtime: Arc<Runtime>) -> Self {
        Self { pool, runtime, handle: OnceLock::new() }
    }

    /// Remembers its own handle, which its events carry.
    pub(super) fn is_named(&self, handle: trunkline_pool_t) -> trunkline_pool_t {
        let _ = self.handle.set(handle.raw());
        handle
    }

    pub(super) fn handle(&self) -> trunkline_pool_t {
        trunkline_pool_t { h: self.handle.get().copied().unwrap_or(0) }
    }

    /// Closes the pool if it was made on `runtime`.
    pub(crate) fn close_if_on(&self, runtime: &Runtime) {
        if std::ptr::eq(Arc::as_ptr(&self.runtime), runtime) {
            self.pool.close_now();
        }
    }

    /// Puts back a lease that nobody took out of its event.
    pub(crate) fn put_back_unseen(&self, lease: u64) {
        let _ = self.pool.put_back(LeaseId::from_raw(lease), false);
    }

    pub(super) fn put_back(&self, lease: trunkline_lease_t, flags: u32) -> Result<(), Failure> {
        let discard = match flags {
            0 => false,
            super::TRUNKLINE_POOL_DISCARD => true,
            _ => return Err(Failure::argument("flags: unknown")),
        };
        self.pool.put_back(LeaseId::from_raw(lease.h), discard).map_err(|_| stale())
    }

    pub(super) fn detach(&self, lease: trunkline_lease_t) -> Result<u64, Failure> {
        let lease = self.pool.reclaim(LeaseId::from_raw(lease.h)).ok_or_else(stale)?;
        Ok(lease.detach().detach())
    }

    /// Waits for `work` on the pool, until the deadline.
    pub(super) fn wait<T>(
        &self,
        call: &Call,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        call.block_on(&self.runtime, Deadline::Never, work, Failure::would_block)
    }
}

/// For how long an acquire waits: as the pool says, or until its deadline.
pub(super) fn patience(deadline_ns: i64) -> Patience {
    match deadline_ns {
        TRUNKLINE_DEADLINE_DEFAULT => Patience::Configured,
        _ => Patience::Until(Deadline::from_ns(deadline_ns).instant()),
    }
}

/// What a caller gets of a connection that is lent.
pub(super) fn hand_out(lent: Entrusted) -> trunkline_leased_t {
    trunkline_leased_t { lease: trunkline_lease_t { h: lent.lease.get() }, value: lent.mark }
}

/// Leaves the connection with the pool and gives its numbers away.
pub(super) fn entrust(lease: Lease<Maker>) -> trunkline_leased_t {
    let mark = lease.value();
    hand_out(Entrusted { lease: lease.entrust(), mark })
}

fn stale() -> Failure {
    Failure::new(TRUNKLINE_E_INVALID_HANDLE, "the lease was released before, or is of another pool")
}
