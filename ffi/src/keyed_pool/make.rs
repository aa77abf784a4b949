//! Values that the caller makes: one maker for each key at a time, whatever language it is written in.
#![allow(unsafe_code, reason = "keys come by pointer")]

use super::{Key, KeyedPoolObject, Value, wait::until};
use crate::{
    call::enter,
    completion::{Done, submit, trunkline_completion_t},
    error::{Failure, trunkline_error_t},
    handle::{Handle, trunkline_job_t, trunkline_keyed_pool_t, trunkline_op_t},
    input::{Deadline, bytes},
    job::{Answer, Asker, Job, TRUNKLINE_JOB_MAKE, Taken, answer},
    queue::{Event, TRUNKLINE_EV_JOB, TRUNKLINE_EV_POOL_VALUE},
    status::*,
};
use parking_lot::Mutex;
use std::{
    mem::MaybeUninit,
    sync::{Arc, Weak},
    time::Instant,
};
use tokio::task::AbortHandle;
use trunkline_core::{Got, Turn, completion::Slot};

type MakersTurn = Turn<Key, Arc<Value>>;

/// What there is under a key: a value, or the job to make one.
enum Found {
    Value(u64),
    Make(trunkline_job_t),
}

impl KeyedPoolObject {
    /// The value under `key` or the job to make it, waited for without limit. The job's own limit is `end`.
    fn ask(
        self: &Arc<Self>,
        key: &[u8],
        end: Option<Instant>,
    ) -> impl Future<Output = Result<Found, Failure>> + Send + use<> {
        let key: Key = key.into();
        let object = Arc::clone(self);
        async move {
            match object.pool.get_or_turn(key).await? {
                Got::Value(value) => Ok(Found::Value(value.number)),
                Got::Turn(turn) => Ok(Found::Make(object.give_job(turn, end)?)),
            }
        }
    }

    /// Where there is no place for the job or for what it brings, the turn goes to the next.
    fn give_job(&self, turn: MakersTurn, end: Option<Instant>) -> Result<trunkline_job_t, Failure> {
        let (place, slot) = (self.runtime.reserve_handle()?, self.reserve()?);
        let turn = Arc::new(Mutex::new(Some(turn)));
        let alarm = end.map(|end| {
            let turn = Arc::downgrade(&turn);
            self.runtime.handle().spawn(give_up_at(end, turn)).abort_handle()
        });
        Ok(Job::register(Box::new(Maker { turn, slot, alarm }), place))
    }
}

fn make_end(make_deadline_ns: i64) -> Option<Instant> {
    match Deadline::from_ns(make_deadline_ns) {
        Deadline::Now => None,
        end @ (Deadline::Past | Deadline::At(_) | Deadline::Never) => end.instant(),
    }
}

/// Whoever makes a value until then is waited for; then it is the next one's turn.
async fn give_up_at(end: Instant, turn: Weak<Mutex<Option<MakersTurn>>>) {
    tokio::time::sleep_until(end.into()).await;
    let Some(turn) = turn.upgrade() else { return };
    let right = turn.lock().as_mut().map(Turn::give_up);
    drop(right);
}

/// Puts the answer to a job into the pool.
struct Maker {
    turn: Arc<Mutex<Option<MakersTurn>>>,
    slot: Option<Slot<Event>>,
    alarm: Option<AbortHandle>,
}

impl Asker for Maker {
    fn answer(mut self: Box<Self>, answer: Answer) -> Result<Taken, Failure> {
        let turn = self.turn.lock().take();
        let turn = turn.ok_or_else(|| Failure::closed("the job"))?;
        // A failure is that of the host who made it: the next one has the turn.
        let Ok(number) = answer else { return Ok(Taken::Kept(0)) };
        let filled = turn.fill(Value::new(number, self.slot.take()));
        Ok(match filled {
            Ok(kept) => Taken::Kept(kept.number),
            Err(error) => Taken::GivenUp(Failure::Core(error)),
        })
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        if let Some(alarm) = &self.alarm {
            alarm.abort();
        }
    }
}

/// Finds the value under the key, or says that the caller is the one to make it.
///
/// On OK either `*job` is {0} and `*value` is the value, or `*job` is a job of kind TRUNKLINE_JOB_MAKE: the caller makes
/// a value, in whatever way and on whatever thread, and answers with trunkline_keyed_pool_fill, or with
/// trunkline_job_done and an error where it could not. Until then nobody else makes one for the key, and all who ask
/// for it wait, in the order in which they came; after a failure the next of them has the job. A place in the pool is
/// taken before the job is given.
///
/// The value is to be made by `make_deadline_ns`, where 0 and TRUNKLINE_DEADLINE_NONE set no limit: what comes later is
/// given up as UNWANTED, and the next one has the job.
///
/// Ownership: the value stays the pool's, as with trunkline_keyed_pool_get; the job is the caller's to answer once.
/// Blocks: until the deadline. Threads: any but the library's, unless the deadline is past. Errors: INVALID_ARGUMENT,
/// INVALID_HANDLE, WOULD_BLOCK (deadline 0, and somebody makes it or there is no place), TIMEOUT, LIMIT_EXCEEDED (the
/// pool, its closer's queue or the runtime is full), CLOSED, WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// `key` is good for `key_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_keyed_pool_get_or_create(
    pool: trunkline_keyed_pool_t,
    key: *const u8,
    key_len: usize,
    deadline_ns: i64,
    make_deadline_ns: i64,
    value: Option<&mut MaybeUninit<u64>>,
    job: Option<&mut MaybeUninit<trunkline_job_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    let mut found_job = trunkline_job_t { h: 0 };
    let has_room = job.is_some();
    let status = enter(value, err, |call| {
        if !has_room {
            return Err(Failure::null("job"));
        }
        // SAFETY: the caller's promise is the same.
        let key = unsafe { bytes(key, key_len, "key")? };
        let object = call.object(pool)?;
        let deadline = Deadline::from_ns(deadline_ns);
        let asking = object.ask(key, make_end(make_deadline_ns));
        match object.wait(call, deadline, asking)? {
            Found::Value(value) => Ok(value),
            Found::Make(job) => {
                found_job = job;
                Ok(0)
            }
        }
    });
    if let Some(job) = job {
        job.write(found_job);
    }
    status
}

/// As trunkline_keyed_pool_get_or_create, as an operation. It ends with an event of kind TRUNKLINE_EV_POOL_VALUE whose
/// `value` is the value, or of kind TRUNKLINE_EV_JOB whose `handle` is the job to make it.
///
/// Ownership: the value stays the pool's; the job is the receiver's to answer once, or to dispose of with its event. Blocks:
/// no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED; in the event TIMEOUT,
/// LIMIT_EXCEEDED, CLOSED, CANCELLED. Since 0.1.
///
/// # Safety
///
/// `key` is good for `key_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_keyed_pool_get_or_create_async(
    pool: trunkline_keyed_pool_t,
    key: *const u8,
    key_len: usize,
    deadline_ns: i64,
    make_deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        // SAFETY: the caller's promise is the same.
        let key = unsafe { bytes(key, key_len, "key")? };
        let object = call.object(pool)?;
        let deadline = Deadline::from_ns(deadline_ns);
        let asking = object.ask(key, make_end(make_deadline_ns));
        let operation = async move {
            Ok(match until(deadline, asking).await? {
                Found::Value(value) => Done { value, ..Done::new(TRUNKLINE_EV_POOL_VALUE) },
                Found::Make(job) => Done {
                    handle: job.raw(),
                    value: u64::from(TRUNKLINE_JOB_MAKE),
                    ..Done::new(TRUNKLINE_EV_JOB)
                },
            })
        };
        submit(call, &object.runtime, completion, TRUNKLINE_EV_POOL_VALUE, operation)
    })
}

/// Answers a job of kind TRUNKLINE_JOB_MAKE with a value, and says in `*kept` which one is under the key: one that was
/// inserted meanwhile stays, and `value` is given up as DUPLICATE. All who wait for the key get the same.
///
/// Ownership: the value is the pool's, also when it comes too late (TIMEOUT) or the pool was closed (CLOSED): then it is
/// given up at once. With INVALID_ARGUMENT, INVALID_HANDLE and FORKED it stays the caller's. Blocks: no. Threads: any.
/// Errors: INVALID_ARGUMENT, INVALID_HANDLE (answered already), TIMEOUT, CLOSED, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_keyed_pool_fill(
    job: trunkline_job_t,
    value: u64,
    kept: Option<&mut MaybeUninit<u64>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(kept, err, |_| match answer(job, Ok(value))? {
        Taken::Kept(kept) => Ok(kept),
        Taken::GivenUp(failure) => Err(failure),
    })
}
