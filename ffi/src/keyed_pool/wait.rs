//! Calls of a keyed pool that may wait: one try, and then on the calling thread or as an operation.
#![allow(unsafe_code, reason = "keys come by pointer")]

use super::{Key, KeyedPoolObject, Value};
use crate::{
    call::{Call, enter, enter_unit},
    completion::{Done, submit, trunkline_completion_t},
    error::{Failure, trunkline_error_t},
    handle::{trunkline_keyed_pool_t, trunkline_op_t},
    input::{Deadline, TRUNKLINE_NEVER, bytes, now},
    queue::TRUNKLINE_EV_DONE,
    status::*,
};
use std::{
    mem::MaybeUninit,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use trunkline_core::{ConnectionError, Place, Step, config::TimeLimit};

/// What is said at the deadline.
pub(super) fn timed_out() -> Failure {
    Failure::Core(ConnectionError::timeout(None, Place::at(Step::Acquire)))
}

impl KeyedPoolObject {
    /// Tries `waiting` once, and then waits for it until the deadline.
    pub(super) fn wait<T>(
        &self,
        call: &Call,
        deadline: Deadline,
        waiting: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut waiting = pin!(waiting);
        let tried = {
            let _clock = self.runtime.handle().enter();
            waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        match tried {
            Poll::Ready(answer) => answer,
            Poll::Pending => call.block_on(&self.runtime, deadline, waiting, timed_out),
        }
    }

    /// An insert that waits without limit. The place in the closer's queue is taken now.
    fn insert_waiting(
        self: &Arc<Self>,
        key: &[u8],
        number: u64,
        lifetime_ns: i64,
    ) -> Result<impl Future<Output = Result<(), Failure>> + Send + use<>, Failure> {
        let lifetime = lifetime(lifetime_ns)?;
        let (key, value): (Key, _) = (key.into(), Value::new(number, self.reserve()?));
        let object = Arc::clone(self);
        Ok(async move {
            let inserted = object.pool.insert_wait(key, value, lifetime, None).await;
            inserted.map_err(|refused| Failure::Core(refused.error))
        })
    }
}

fn lifetime(ns: i64) -> Result<Option<TimeLimit>, Failure> {
    match u64::try_from(ns) {
        Ok(0) => Ok(None),
        _ if ns == TRUNKLINE_NEVER => Ok(Some(TimeLimit::Never)),
        Ok(ns) => Ok(Some(TimeLimit::After(Duration::from_nanos(ns)))),
        Err(_) => Err(Failure::argument("lifetime_ns: must not be negative")),
    }
}

/// The future until the deadline, for an operation.
pub(super) async fn until<T>(
    deadline: Deadline,
    waiting: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(end) = deadline.instant() else { return waiting.await };
    // One that is past is tried once all the same.
    let end = end.max(now());
    tokio::time::timeout_at(end.into(), waiting).await.unwrap_or_else(|_| Err(timed_out()))
}

/// Puts `value` under the key, as trunkline_keyed_pool_insert; where the pool is full and made with "when_full":
/// "wait", as soon as a place is free. Those who wait are served in the order in which they came.
///
/// `lifetime_ns` is one of its own, without jitter, instead of the pool's; 0 means the pool's, TRUNKLINE_NEVER none.
///
/// Ownership: the value is the pool's on OK, else it stays the caller's. Blocks: until the deadline. Threads: any but the
/// library's, unless the deadline is past. Errors: INVALID_ARGUMENT, INVALID_HANDLE, WOULD_BLOCK (deadline 0 and no
/// place), TIMEOUT, LIMIT_EXCEEDED (the pool is full and does not wait, or the closer's queue is full), CLOSED,
/// WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// `key` is good for `key_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_keyed_pool_insert_wait(
    pool: trunkline_keyed_pool_t,
    key: *const u8,
    key_len: usize,
    value: u64,
    lifetime_ns: i64,
    deadline_ns: i64,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| {
        // SAFETY: the caller's promise is the same.
        let key = unsafe { bytes(key, key_len, "key")? };
        let object = call.object(pool)?;
        let inserting = object.insert_waiting(key, value, lifetime_ns)?;
        object.wait(call, Deadline::from_ns(deadline_ns), inserting)
    })
}

/// As trunkline_keyed_pool_insert_wait, as an operation that ends with an event of kind TRUNKLINE_EV_DONE.
///
/// Ownership: the value is the pool's if the event says OK, else it stays the caller's. Blocks: no. Threads: any. Errors:
/// INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED; in the event TIMEOUT, LIMIT_EXCEEDED, CLOSED,
/// CANCELLED. Since 0.1.
///
/// # Safety
///
/// `key` is good for `key_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_keyed_pool_insert_async(
    pool: trunkline_keyed_pool_t,
    key: *const u8,
    key_len: usize,
    value: u64,
    lifetime_ns: i64,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        // SAFETY: the caller's promise is the same.
        let key = unsafe { bytes(key, key_len, "key")? };
        let object = call.object(pool)?;
        let inserting = object.insert_waiting(key, value, lifetime_ns)?;
        let deadline = Deadline::from_ns(deadline_ns);
        let operation = async move {
            until(deadline, inserting).await?;
            Ok(Done::new(TRUNKLINE_EV_DONE))
        };
        submit(call, &object.runtime, completion, TRUNKLINE_EV_DONE, operation)
    })
}
