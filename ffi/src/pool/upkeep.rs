//! What the owner of a pool does with it: size, generations, checks, and its end.
#![allow(unsafe_code, reason = "exported names are the ABI")]

use super::{endpoints, object::PoolObject};
use crate::{
    buf::trunkline_buf_t,
    call::{enter, enter_plain, enter_unit},
    completion::{Done, submit, trunkline_completion_t},
    error::{Failure, trunkline_error_t},
    handle::{trunkline_op_t, trunkline_pool_t},
    input::{self, Deadline, trunkline_str_t},
    process::Process,
    queue::{TRUNKLINE_EV_DONE, TRUNKLINE_EV_DRAINED},
    status::*,
};
use serde_json::json;
use std::{mem::MaybeUninit, sync::Arc, time::Instant};
use trunkline_core::{ConnectionError, Place, Step, duration::Text, pool::SizeChange};

/// Changes how many connections there may be, and how many stand ready besides those that are lent. Smaller, idle ones
/// are closed at once and the others when they come back; larger, as many callers are served as now fit.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (names the field), INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_pool_resize(
    pool: trunkline_pool_t,
    max_size: u32,
    min_idle: u32,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| Ok(call.object(pool)?.pool.resize(max_size, min_idle)?))
}

/// Connects a pool of streams to these addresses and no others from now on, as when the peers are found anew. Idle
/// connections to others are closed now, those that are lent when they come back, and none of them is lent after this
/// returns; what is known of the addresses that stay is kept. One that is named twice counts once.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (none is named, one is malformed, or the pool's
/// connections are made by its host), INVALID_HANDLE, FORKED. Since 0.1.
///
/// # Safety
///
/// `addresses` is good for `addresses_len` texts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_pool_set_endpoints(
    pool: trunkline_pool_t,
    addresses: *const trunkline_str_t,
    addresses_len: usize,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| {
        // SAFETY: the caller's promise is the same.
        let addresses = unsafe { endpoints(addresses, addresses_len)? };
        Ok(call.object(pool)?.pool.set_endpoints(addresses)?)
    })
}

/// Retires every connection made so far, as after a failover: none of them is lent after this returns. Those that are
/// lent are closed when they come back.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_pool_clear(pool: trunkline_pool_t) -> trunkline_status_t {
    enter_plain(|| {
        Process::current().table().get(pool)?.pool.clear();
        Ok(())
    })
}

/// Checks every idle connection in the background, and closes those that fail.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_pool_check(pool: trunkline_pool_t) -> trunkline_status_t {
    enter_plain(|| {
        Process::current().table().get(pool)?.pool.check();
        Ok(())
    })
}

/// Writes who holds what, longest first, as JSON: [{"lease": 7, "held": "1.5s", "holder": "app.c:12"}].
///
/// Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any. Errors:
/// INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_pool_leases(
    pool: trunkline_pool_t,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_buf_t>>>>,
) -> trunkline_status_t {
    enter(out, None, |call| {
        let leases = call.object(pool)?.pool.leases();
        let rows = leases.iter().map(|lease| {
            let held = Text(lease.held).to_string();
            json!({"lease": lease.id.get(), "held": held, "holder": lease.holder.to_string()})
        });
        Ok(Some(Box::new(json_buf(rows))))
    })
}

/// Writes what the pool's tuner advised lately, oldest first, as JSON: [{"change": "grow", "to": 11, "applied": false, "ago":
/// "3s", "text": "grow from 10 to 11: ..."}]. `text` has the reason and the figures that it follows from.
///
/// Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any. Errors:
/// INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_pool_advice(
    pool: trunkline_pool_t,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_buf_t>>>>,
) -> trunkline_status_t {
    enter(out, None, |call| {
        let (advice, now) = (call.object(pool)?.pool.advice(), input::now());
        let rows = advice.iter().map(|advised| {
            let (change, to) = match advised.advice.change {
                SizeChange::Grow { to } => ("grow", to),
                SizeChange::Shrink { to } => ("shrink", to),
            };
            let ago = Text(now.saturating_duration_since(advised.at)).to_string();
            let (text, applied) = (advised.advice.to_string(), advised.advice.new_size().is_some());
            json!({"change": change, "to": to, "applied": applied, "ago": ago, "text": text})
        });
        Ok(Some(Box::new(json_buf(rows))))
    })
}

/// A list as a buffer of JSON text.
fn json_buf(rows: impl Iterator<Item = serde_json::Value>) -> trunkline_buf_t {
    trunkline_buf_t::owned(serde_json::Value::from_iter(rows).to_string().into_bytes())
}

/// Waits until as many connections stand ready as `min_idle` says.
///
/// Ownership: none. Blocks: until the deadline. Threads: any but the library's. Errors: INVALID_HANDLE, WOULD_BLOCK,
/// TIMEOUT, CLOSED, WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_pool_wait_ready(
    pool: trunkline_pool_t,
    deadline_ns: i64,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| {
        let object = call.object(pool)?;
        let deadline = deadline(&object, deadline_ns)?;
        object.wait(call, wait_ready(Arc::clone(&object), deadline)).map(drop)
    })
}

/// As trunkline_pool_wait_ready; the result is an event of kind TRUNKLINE_EV_DONE.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED,
/// CLOSED, FORKED; the others come with the event, also CANCELLED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_pool_wait_ready_async(
    pool: trunkline_pool_t,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        let object = call.object(pool)?;
        let deadline = deadline(&object, deadline_ns)?;
        let ready = wait_ready(Arc::clone(&object), deadline);
        submit(call, &object.runtime, completion, TRUNKLINE_EV_DONE, ready)
    })
}

/// Lends to nobody who is not in line yet, and waits until every connection is closed. At the deadline the pool is closed
/// as it is; `*left` says how many connections were left, which end when they are released.
///
/// Ownership: none; the handle is still to be freed. Blocks: until the deadline. Threads: any but the library's. Errors:
/// INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (the runtime), WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_pool_drain(
    pool: trunkline_pool_t,
    deadline_ns: i64,
    left: Option<&mut MaybeUninit<u64>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(left, err, |call| {
        let object = call.object(pool)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        object.wait(call, drain(Arc::clone(&object), deadline)).map(|done| done.value)
    })
}

/// As trunkline_pool_drain; the result is an event of kind TRUNKLINE_EV_DRAINED with the connections left in `value`.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED,
/// CLOSED, FORKED; with the event CANCELLED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_pool_drain_async(
    pool: trunkline_pool_t,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        let object = call.object(pool)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let drained = drain(Arc::clone(&object), deadline);
        submit(call, &object.runtime, completion, TRUNKLINE_EV_DRAINED, drained)
    })
}

/// Closes a pool: those who wait are refused, and what is idle is closed. Then waits until every connection is closed;
/// `*left` says how many were left at the deadline, which end when they are released. Again, it only waits.
///
/// Ownership: none; the handle is still to be freed. Blocks: until the deadline; one of 0 does not. Threads: any but the
/// library's, those too with a past deadline. Errors: INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (the runtime),
/// WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_pool_close(
    pool: trunkline_pool_t,
    deadline_ns: i64,
    left: Option<&mut MaybeUninit<u64>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(left, err, |call| {
        let object = call.object(pool)?;
        object.pool.close_now();
        if Deadline::from_ns(deadline_ns).is_over() {
            return Ok(u64::from(object.pool.stats().total()));
        }
        let deadline = Deadline::from_ns(deadline_ns).instant();
        object.wait(call, close(Arc::clone(&object), deadline)).map(|done| done.value)
    })
}

/// As trunkline_pool_close, closed when this returns; the result is an event of kind TRUNKLINE_EV_DRAINED with the
/// connections left in `value`.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED,
/// CLOSED, FORKED; with the event CANCELLED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_pool_close_async(
    pool: trunkline_pool_t,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        let object = call.object(pool)?;
        object.pool.close_now();
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let closed = close(Arc::clone(&object), deadline);
        submit(call, &object.runtime, completion, TRUNKLINE_EV_DRAINED, closed)
    })
}

async fn wait_ready(object: Arc<PoolObject>, deadline: Option<Instant>) -> Result<Done, Failure> {
    if object.pool.wait_ready(deadline).await {
        return Ok(Done::new(TRUNKLINE_EV_DONE));
    }
    match object.pool.is_closed() {
        true => Err(ConnectionError::closed(Step::Wait).into()),
        false => Err(ConnectionError::timeout(None, Place::at(Step::Wait)).into()),
    }
}

async fn drain(object: Arc<PoolObject>, deadline: Option<Instant>) -> Result<Done, Failure> {
    Ok(left(object.pool.drain(deadline).await))
}

async fn close(object: Arc<PoolObject>, deadline: Option<Instant>) -> Result<Done, Failure> {
    Ok(left(object.pool.close(deadline).await))
}

fn left(connections: u32) -> Done {
    Done { value: u64::from(connections), ..Done::new(TRUNKLINE_EV_DRAINED) }
}

/// The deadline of a wait; one of 0 asks only whether there is reason to wait.
fn deadline(object: &PoolObject, deadline_ns: i64) -> Result<Option<Instant>, Failure> {
    let deadline = Deadline::from_ns(deadline_ns);
    if deadline == Deadline::Now && !object.pool.is_ready() {
        return Err(Failure::would_block());
    }
    Ok(match deadline {
        Deadline::Now | Deadline::Past => Some(input::now()),
        Deadline::At(_) | Deadline::Never => deadline.instant(),
    })
}
