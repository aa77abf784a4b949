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
use std::sync::Arc;
use trunkline_core::{
    ConnectionError,
    pool::{Entrusted, Teller, WaitTicket},
};

/// One caller in line. It owes one completion, like every operation.
pub(super) struct Waiter {
    pool: trunkline_pool_t,
    wait: Mutex<Wait>,
}

struct Wait {
    /// Its place. Nobody but its caller knows the operation before it has one.
    ticket: Option<WaitTicket>,
    /// Taken by whoever ends the wait.
    delivery: Option<Delivery>,
}

impl Waiter {
    /// Takes all that the wait needs, before it begins.
    pub(super) fn register(
        call: &Call,
        object: &PoolObject,
        completion: Option<&trunkline_completion_t>,
    ) -> Result<(Arc<Self>, trunkline_op_t), Failure> {
        let wait = Mutex::new(Wait { ticket: None, delivery: None });
        let waiter = Arc::new(Self { pool: object.handle(), wait });
        let operation = Arc::clone(&waiter);
        let delivery = register(call, &object.runtime, completion, TRUNKLINE_EV_LEASE, operation)?;
        let op = delivery.op();
        waiter.wait.lock().delivery = Some(delivery);
        Ok((waiter, op))
    }

    /// It stands in line, or has its answer already.
    pub(super) fn has(&self, ticket: WaitTicket) {
        self.wait.lock().ticket = Some(ticket);
    }

    /// There was no reason to wait: there will be no completion.
    pub(super) fn forget(&self) {
        let delivery = self.wait.lock().delivery.take();
        if let Some(delivery) = delivery {
            delivery.forget();
        }
    }

    fn end(&self, answer: Result<Done, Failure>) {
        let delivery = self.wait.lock().delivery.take();
        if let Some(delivery) = delivery {
            delivery.deliver(answer);
        }
    }
}

impl Teller for Waiter {
    fn tell(self: Arc<Self>, answer: Result<Entrusted, ConnectionError>) {
        let done = answer.map(|lent| Done {
            handle: lent.lease.get(),
            value: lent.mark,
            about: self.pool.h,
            ..Done::new(TRUNKLINE_EV_LEASE)
        });
        self.end(done.map_err(Failure::from));
    }
}

impl Operation for Waiter {
    fn cancel(&self) {
        // A pool that is freed was closed before, and has told everybody.
        let Some(ticket) = self.wait.lock().ticket else { return };
        let Ok(object) = Process::current().table().get(self.pool) else { return };
        if object.pool.cancel(ticket) {
            self.end(Err(cancelled()));
        }
    }
}
