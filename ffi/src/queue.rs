//! Completion queues as C sees them: a fixed 64-byte event, batch wait, one pollable descriptor.
#![allow(
    unsafe_code,
    reason = "events are written through a caller's pointer and carry owned objects"
)]

use crate::{
    call::{enter, enter_plain},
    channel::trunkline_reply_t,
    error::{Failure, trunkline_error_t},
    handle::{
        end_and_free, trunkline_cq_t, trunkline_job_t, trunkline_pool_t, trunkline_runtime_t,
        trunkline_stream_t,
    },
    input::Deadline,
    process::Process,
    status::*,
};
use std::{ffi::c_void, mem::MaybeUninit, os::fd::AsRawFd, ptr, slice, sync::Arc};
use trunkline_core::{
    Stream, StreamReady,
    completion::{CompletionQueue, Refused, Slot, WaitError},
};

/// Outstanding operations of a queue that says 0.
const DEFAULT_PENDING: u32 = 65_536;

/// The operation produced nothing but its status.
pub const TRUNKLINE_EV_DONE: u32 = 0;
/// trunkline_connect_async: `handle` is the stream, the receiver's to free.
pub const TRUNKLINE_EV_CONNECTED: u32 = 1;
/// trunkline_stream_arm: a read is worth a try.
pub const TRUNKLINE_EV_READABLE: u32 = 2;
/// trunkline_stream_arm: a write is worth a try.
pub const TRUNKLINE_EV_WRITABLE: u32 = 3;
/// trunkline_listener_arm: an accept is worth a try.
pub const TRUNKLINE_EV_ACCEPTABLE: u32 = 4;
/// A drain has ended; `value` is how many connections had to be cut.
pub const TRUNKLINE_EV_DRAINED: u32 = 5;
/// A keyed pool gave a value up; `handle` is the value, `value` the reason, one of TRUNKLINE_POOL_CLOSE_*.
pub const TRUNKLINE_EV_POOL_CLOSED: u32 = 6;
/// A pool asks for work: `handle` is the trunkline_job_t, to be answered once with trunkline_job_done. The low 32 bits of
/// `value` are one of TRUNKLINE_JOB_*, the high ones the reason of a TRUNKLINE_JOB_CLOSE; `about` is the resource.
pub const TRUNKLINE_EV_JOB: u32 = 7;
/// trunkline_keyed_pool_get_or_create_async: `value` is the value under the key, which stays the pool's.
pub const TRUNKLINE_EV_POOL_VALUE: u32 = 8;

/// trunkline_pool_acquire_async: `handle` is the lease, `value` what is lent, `about` the pool.
pub const TRUNKLINE_EV_LEASE: u32 = 9;
/// trunkline_channel_wait_for_state_change_async: `value` is the state.
pub const TRUNKLINE_EV_STATE: u32 = 10;
/// trunkline_channel_call_async, trunkline_call_receive_async: `object` is the trunkline_reply_t, the receiver's to
/// free; NULL at the end of a call with streams.
pub const TRUNKLINE_EV_REPLY: u32 = 11;
/// No event: what trunkline_pool_release_handing writes if nobody was served.
pub const TRUNKLINE_EV_NONE: u32 = u32::MAX;

/// One completion: 64 bytes whose layout never changes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_event_t {
    /// The caller's value, as it was given.
    pub tag: u64,
    /// The `h` of the operation's trunkline_op_t; 0 for readiness.
    pub op: u64,
    /// Outcome of the operation.
    pub status: trunkline_status_t,
    /// One of TRUNKLINE_EV_*: says what the fields below hold.
    pub kind: u32,
    /// The `h` of a new object, the receiver's to free; else 0.
    pub handle: u64,
    /// A number, by kind.
    pub value: u64,
    /// An owned trunkline_reply_t, by kind, or NULL.
    pub object: *mut c_void,
    /// Owned; NULL when status is OK.
    pub error: *mut trunkline_error_t,
    /// The resource that a job is about, by its number; else 0.
    pub about: u64,
}

const _: () = assert!(size_of::<trunkline_event_t>() == 64);

impl trunkline_event_t {
    /// What stands for no event.
    pub(crate) fn none() -> Self {
        Self {
            tag: 0,
            op: 0,
            status: TRUNKLINE_OK,
            kind: TRUNKLINE_EV_NONE,
            handle: 0,
            value: 0,
            object: ptr::null_mut(),
            error: ptr::null_mut(),
            about: 0,
        }
    }
}

/// A completion inside the library: it owns what it carries.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) tag: u64,
    pub(crate) op: u64,
    pub(crate) kind: u32,
    pub(crate) value: u64,
    pub(crate) handle: u64,
    pub(crate) about: u64,
    /// Only with [`TRUNKLINE_EV_REPLY`].
    pub(crate) object: Option<Box<trunkline_reply_t>>,
    pub(crate) failure: Option<Failure>,
}

impl Event {
    pub(crate) fn ready(tag: u64, kind: u32) -> Self {
        Self { tag, op: 0, kind, value: 0, handle: 0, about: 0, object: None, failure: None }
    }

    /// The form for C; what it owns goes to the receiver.
    pub(crate) fn into_c(mut self) -> trunkline_event_t {
        let error = self.failure.take().map(|failure| Box::new(trunkline_error_t::from(&failure)));
        trunkline_event_t {
            tag: self.tag,
            op: self.op,
            status: error.as_ref().map_or(TRUNKLINE_OK, |error| error.status()),
            kind: self.kind,
            handle: std::mem::take(&mut self.handle),
            value: self.value,
            object: self.object.take().map_or(ptr::null_mut(), |reply| Box::into_raw(reply).cast()),
            error: error.map_or(ptr::null_mut(), Box::into_raw),
            about: self.about,
        }
    }
}

impl Drop for Event {
    /// An event that nobody takes frees the object that it carries.
    fn drop(&mut self) {
        free_carried(self.kind, self.handle, self.about);
    }
}

fn free_carried(kind: u32, handle: u64, about: u64) {
    if handle == 0 {
        return;
    }
    let table = Process::current().table();
    match kind {
        TRUNKLINE_EV_CONNECTED => {
            let _ = table.remove(trunkline_stream_t { h: handle });
        }
        // Nobody will answer it: whoever asked is told so.
        TRUNKLINE_EV_JOB => {
            let _ = table.remove(trunkline_job_t { h: handle });
        }
        // Nobody uses it: the next in line does.
        TRUNKLINE_EV_LEASE => {
            if let Ok(pool) = table.get(trunkline_pool_t { h: about }) {
                pool.put_back_unseen(handle);
            }
        }
        _ => {}
    }
}

/// What a queue handle names.
#[derive(Debug)]
pub(crate) struct Queue {
    events: CompletionQueue<Event>,
}

impl Queue {
    /// Waits for a stream with no thread between, where that is possible.
    pub(crate) fn readable(&self, stream: &Stream) -> StreamReady {
        stream.readable_on(&self.events)
    }

    /// As [`readable`](Self::readable), for a write.
    pub(crate) fn writable(&self, stream: &Stream) -> StreamReady {
        stream.writable_on(&self.events)
    }

    pub(crate) fn try_reserve(&self) -> Result<Slot<Event>, Refused> {
        self.events.reserve()
    }

    pub(crate) fn reserve(&self) -> Result<Slot<Event>, Failure> {
        self.try_reserve().map_err(|refused| match refused {
            Refused::Full { limit } => Failure::new(
                TRUNKLINE_E_LIMIT_EXCEEDED,
                format!("limit of {limit} outstanding operations of the completion queue reached"),
            ),
            Refused::Closed => Failure::closed("the completion queue"),
        })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.events.shutdown();
    }
}

/// Makes a queue that holds at most `max_pending` outstanding operations and undrained events; 0 means
/// 65536. Past it a submit says LIMIT_EXCEEDED, so no event is ever lost.
///
/// Ownership: the queue is the caller's, to be freed once with trunkline_cq_free. Blocks: no. Threads: any.
/// Errors: INVALID_HANDLE, CLOSED, LIMIT_EXCEEDED (handles, or open files), FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_cq_new(
    rt: trunkline_runtime_t,
    max_pending: u32,
    out: Option<&mut MaybeUninit<trunkline_cq_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        let runtime = call.runtime(rt)?;
        let place = call.place(&runtime)?;
        let limit = if max_pending == 0 { DEFAULT_PENDING } else { max_pending };
        let events = CompletionQueue::new(limit).map_err(|error| {
            Failure::new(
                TRUNKLINE_E_LIMIT_EXCEEDED,
                format!("no descriptor for the queue: {error}"),
            )
        })?;
        Ok(call.register(Arc::new(Queue { events }), place))
    })
}

/// Waits for events and writes at most `cap` of them, oldest first; `*n` says how many.
///
/// OK with `*n` 0 means that trunkline_cq_wake was called. A deadline of 0 tries once.
///
/// Ownership: each event is the receiver's: free its error and handle, or call trunkline_event_dispose.
/// Blocks: until the deadline. Threads: one at a time per queue, and none of the library's unless the
/// deadline is past. Errors: INVALID_ARGUMENT, INVALID_HANDLE, WOULD_BLOCK (deadline 0 and nothing
/// there), TIMEOUT, CLOSED (shut down and drained), WOULD_DEADLOCK, LIMIT_EXCEEDED (another thread
/// waits), FORKED. Since 0.1.
///
/// # Safety
///
/// `events` is good for `cap` events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_cq_wait(
    cq: trunkline_cq_t,
    events: *mut trunkline_event_t,
    cap: usize,
    deadline_ns: i64,
    n: Option<&mut MaybeUninit<usize>>,
) -> trunkline_status_t {
    enter(n, None, |call| {
        let queue = call.object(cq)?;
        if events.is_null()
            || cap == 0
            || cap > isize::MAX as usize / size_of::<trunkline_event_t>()
        {
            return Err(Failure::argument("events: must have room for at least one event"));
        }
        let deadline = Deadline::from_ns(deadline_ns);
        if !deadline.is_over() {
            call.check_may_block()?;
        }
        let mut found = Vec::new();
        match queue.events.wait(cap, deadline.instant(), &mut found) {
            Ok(_) | Err(WaitError::Woken) => {}
            Err(error) => return Err(wait_failure(&error, deadline)),
        }
        // SAFETY: not NULL, and the caller promises room for `cap`, which `found` never exceeds.
        let room = unsafe {
            slice::from_raw_parts_mut(events.cast::<MaybeUninit<trunkline_event_t>>(), cap)
        };
        let count = found.len();
        for (place, event) in room.iter_mut().zip(found) {
            place.write(event.into_c());
        }
        Ok(count)
    })
}

fn wait_failure(error: &WaitError, deadline: Deadline) -> Failure {
    match error {
        WaitError::Timeout if deadline == Deadline::Now => Failure::would_block(),
        WaitError::Timeout => Failure::new(TRUNKLINE_E_TIMEOUT, "no event before the deadline"),
        WaitError::Closed => Failure::closed("the completion queue"),
        WaitError::Busy => {
            Failure::new(TRUNKLINE_E_LIMIT_EXCEEDED, "another thread waits on this queue")
        }
        other => Failure::new(TRUNKLINE_E_NO_MEMORY, format!("the wait failed: {other}")),
    }
}

/// The descriptor to poll for reading, in the host's own loop. It is level-triggered: readable while
/// trunkline_cq_wait has something to say, or, where a socket was armed that is closed or forgotten by now, for
/// nothing. Never read it; only trunkline_cq_wait clears it.
///
/// Ownership: borrowed until trunkline_cq_free; dup it to give it away. Blocks: no. Threads: any.
/// Errors: INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_cq_fd(
    cq: trunkline_cq_t,
    fd: Option<&mut MaybeUninit<i32>>,
) -> trunkline_status_t {
    enter(fd, None, |call| Ok(call.object(cq)?.events.fd().as_raw_fd()))
}

/// Makes a waiting trunkline_cq_wait, or the next one, return OK with no event.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_cq_wake(cq: trunkline_cq_t) -> trunkline_status_t {
    enter_plain(|| {
        Process::current().table().get(cq)?.events.wake();
        Ok(())
    })
}

/// Ends a queue: submits to it fail with CLOSED. Drain it until trunkline_cq_wait says CLOSED; operations
/// that are outstanding still complete, so cancel what would take long. Readiness that is still armed completes
/// with its stream or listener: close those, or free the queue. Idempotent.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_cq_shutdown(cq: trunkline_cq_t) -> trunkline_status_t {
    enter_plain(|| {
        Process::current().table().get(cq)?.events.shutdown();
        Ok(())
    })
}

/// Frees a queue; events that were not drained are disposed of, and a thread that waits returns.
///
/// Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_cq_free(cq: trunkline_cq_t) -> trunkline_status_t {
    end_and_free(cq, |queue| {
        queue.events.shutdown();
        queue.events.wake();
    })
}

/// Frees whatever an event owns: its object, its error and any handle left in it; then blanks it.
///
/// Ownership: takes what is in the event, not the event. Blocks: no. Threads: any. Errors: none. Since 0.1.
///
/// # Safety
///
/// `event` is NULL or an event from this library of which nothing was freed yet; what was taken out
/// was replaced by 0 or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_event_dispose(event: Option<&mut trunkline_event_t>) {
    let Some(event) = event else { return };
    if !event.error.is_null() {
        // SAFETY: made by `Box::into_raw` in `into_c`, and the caller has not freed it.
        drop(unsafe { Box::from_raw(event.error) });
        event.error = ptr::null_mut();
    }
    if !event.object.is_null() {
        // SAFETY: every object in an event is a reply, and the caller has not freed it.
        drop(unsafe { Box::from_raw(event.object.cast::<trunkline_reply_t>()) });
        event.object = ptr::null_mut();
    }
    free_carried(event.kind, std::mem::take(&mut event.handle), event.about);
}
