//! Callers who stand in a pool's line and hold no thread: what their operations name, and what the pool tells.

use super::object::PoolObject;
use crate::{
    call::Call,
    completion::{Delivery, Done, cancelled, register, trunkline_completion_t},
    error::Failure,
    handle::{trunkline_op_t, trunkline_pool_t},
    op::Operation,
    process::Process,
    queue::TRUNKLINE_EV_LEASE,
};
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use trunkline_core::{
    ConnectionError,
    pool::{Entrusted, Teller, WaitTicket},
};

/// One caller in line. It owes one completion, like every operation.
pub(super) struct Waiter {
    pool: trunkline_pool_t,
    /// Its place. Nobody but its caller knows the operation before it has one.
    ticket: OnceLock<WaitTicket>,
    /// Taken by whoever ends the wait.
    delivery: Mutex<Option<Delivery>>,
}

impl Waiter {
    /// Takes all that the wait needs, before it begins.
    pub(super) fn register(
        call: &Call,
        object: &PoolObject,
        completion: Option<&trunkline_completion_t>,
    ) -> Result<(Arc<Self>, trunkline_op_t), Failure> {
        let (ticket, delivery) = (OnceLock::new(), Mutex::new(None));
        let waiter = Arc::new(Self { pool: object.handle(), ticket, delivery });
        let operation = Arc::clone(&waiter);
        let delivery = register(call, &object.runtime, completion, TRUNKLINE_EV_LEASE, operation)?;
        let op = delivery.op();
        *waiter.delivery.lock() = Some(delivery);
        Ok((waiter, op))
    }

    /// It stands in line, or has its answer already.
    pub(super) fn has(&self, ticket: WaitTicket) {
        _ = self.ticket.set(ticket);
    }

    /// There was no reason to wait: there will be no completion.
    pub(super) fn forget(&self) {
        let delivery = self.delivery.lock().take();
        if let Some(delivery) = delivery {
            delivery.forget();
        }
    }

    fn end(&self, answer: Result<Done, Failure>) {
        let delivery = self.delivery.lock().take();
        if let Some(delivery) = delivery {
            delivery.deliver(answer);
        }
    }
}

impl Teller for Waiter {
    fn tell(self: Arc<Self>, answer: Result<Entrusted, ConnectionError>) {
        let done = answer.map(|lent| Done {
            kind: TRUNKLINE_EV_LEASE,
            handle: lent.lease.get(),
            value: lent.mark,
            about: self.pool.h,
        });
        self.end(done.map_err(Failure::from));
    }
}

impl Operation for Waiter {
    fn cancel(&self) {
        // A pool that is freed was closed before, and has told everybody.
        let Some(ticket) = self.ticket.get() else { return };
        let Ok(object) = Process::current().table().get(self.pool) else { return };
        if object.pool.cancel(*ticket) {
            self.end(Err(cancelled()));
        }
    }
}
