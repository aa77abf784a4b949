//! The changes of a channel's state, none of which is missed unseen.

use crate::{
    buf::trunkline_buf_t,
    call::enter,
    completion::{Done, submit, trunkline_completion_t},
    error::{Failure, trunkline_error_t},
    handle::{trunkline_channel_t, trunkline_op_t},
    input::{self, Deadline},
    queue::TRUNKLINE_EV_DONE,
    status::trunkline_status_t,
};
use serde_json::{Value, json};
use std::{mem::MaybeUninit, sync::Arc};
use trunkline_core::channel::{History, StateChange};

/// Changes in one answer.
const MOST_CHANGES: usize = 10_000;

/// The changes of a channel's state that have a number above `after`, `max` of them at most, 1 to 10000, as a JSON object
/// {"changes", "lost"}. Each change is {"number", "age_ns", "from", "to", "why"}: the first of a channel has number 1, "from" and
/// "to" are "idle", "connecting", "ready", "transient_failure" or "shutdown", and "why" is what failed, or null.
///
/// As many changes as "state_history" in the configuration says are kept, the latest. "lost" counts those that were asked for
/// and came before all that are kept. The number of the last change, for `after`, begins the next; 0 is before the first.
///
/// Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any. Errors:
/// INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_channel_history(
    channel: trunkline_channel_t,
    after: u64,
    max: usize,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_buf_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        let object = call.object(channel)?;
        if !(1..=MOST_CHANGES).contains(&max) {
            return Err(Failure::argument(format!("max: must be within 1 and {MOST_CHANGES}")));
        }
        let json = described(&object.channel.history(after, max)).to_string();
        Ok(Some(Box::new(trunkline_buf_t::owned(json.into_bytes()))))
    })
}

fn described(history: &History) -> Value {
    let now = input::now();
    let change = |change: &StateChange| {
        let age = now.saturating_duration_since(change.at).as_nanos();
        json!({
            "number": change.number,
            "age_ns": u64::try_from(age).unwrap_or(u64::MAX),
            "from": change.from.name(),
            "to": change.to.name(),
            "why": change.why.as_ref().map(|why| why.with_causes().to_string()),
        })
    };
    let changes: Vec<Value> = history.changes.iter().map(change).collect();
    json!({ "changes": changes, "lost": history.lost })
}

/// Waits until there is a change of the channel's state with a number above `after`; `*last` is the number of the latest.
/// trunkline_channel_history has them.
///
/// Ownership: none. Blocks: until the deadline. Threads: any but the library's. Errors: INVALID_ARGUMENT, INVALID_HANDLE,
/// TIMEOUT, CLOSED (the channel is closed, and no change has such a number; or the runtime), WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_channel_wait_history(
    channel: trunkline_channel_t,
    after: u64,
    deadline_ns: i64,
    last: Option<&mut MaybeUninit<u64>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(last, err, |call| {
        let object = call.object(channel)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        object.wait(call, async { Ok(object.channel.wait_history(after, deadline).await?) })
    })
}

/// As trunkline_channel_wait_history; the result is an event of kind TRUNKLINE_EV_DONE with the number of the latest change in
/// `value`.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
/// LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; the others come with the event, also CANCELLED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_channel_wait_history_async(
    channel: trunkline_channel_t,
    after: u64,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        let object = call.object(channel)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let runtime = Arc::clone(&object.runtime);
        submit(call, &runtime, completion, TRUNKLINE_EV_DONE, async move {
            let value = object.channel.wait_history(after, deadline).await?;
            Ok(Done { value, ..Done::new(TRUNKLINE_EV_DONE) })
        })
    })
}
