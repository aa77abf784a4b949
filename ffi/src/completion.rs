//! Where an asynchronous result goes, and the promise that there is exactly one.
#![allow(unsafe_code, reason = "a callback of the host is called through its pointer")]

use crate::{
    call::{Call, in_callback, panicked},
    channel::trunkline_reply_t,
    error::Failure,
    handing,
    handle::{Handle, trunkline_cq_t, trunkline_op_t},
    op::Operation,
    process::Process,
    queue::{Event, trunkline_event_t},
    runtime::Runtime,
    status::*,
};
use std::{
    ffi::c_void,
    future::Future,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio_util::sync::CancellationToken;
use trunkline_core::completion::Slot;

/// A callback that takes one completion. It runs once, on a worker thread of the runtime.
///
/// It owns what is in the event. It must not block, throw, longjmp or unwind.
pub type trunkline_complete_fn =
    Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, event: *mut trunkline_event_t)>;

/// Where the result of an operation goes: to a queue, or to a callback. Exactly one of `queue` and `fn` is set.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_completion_t {
    /// {0} when `fn` is set.
    pub queue: trunkline_cq_t,
    /// Comes back in the event, as it is.
    pub tag: u64,
    /// NULL when `queue` is set.
    pub r#fn: trunkline_complete_fn,
    /// Passed to `fn`.
    pub user_data: *mut c_void,
}

/// What an operation produced, before it is an event.
pub(crate) struct Done {
    pub(crate) kind: u32,
    pub(crate) handle: u64,
    pub(crate) value: u64,
    pub(crate) about: u64,
    pub(crate) object: Option<Box<trunkline_reply_t>>,
}

impl Done {
    pub(crate) fn new(kind: u32) -> Self {
        Self { kind, handle: 0, value: 0, about: 0, object: None }
    }
}

enum Target {
    Queue {
        slot: Slot<Event>,
        queue: trunkline_cq_t,
    },
    Callback {
        function: unsafe extern "C-unwind" fn(*mut c_void, *mut trunkline_event_t),
        user_data: UserData,
    },
}

/// The host's pointer: only carried, never followed.
pub(crate) struct UserData(pub(crate) *mut c_void);

// SAFETY: the host gave it to be passed to its callback on whatever thread; nothing here follows it.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

/// Owes exactly one completion: dropped without one, it says that the operation was cancelled.
pub(crate) struct Delivery {
    tag: u64,
    kind: u32,
    op: trunkline_op_t,
    target: Option<Target>,
}

impl Delivery {
    /// The operation that it ends.
    pub(crate) fn op(&self) -> trunkline_op_t {
        self.op
    }

    pub(crate) fn deliver(mut self, answer: Result<Done, Failure>) {
        self.send(answer);
    }

    /// The caller has its answer already: there will be no completion.
    pub(crate) fn forget(mut self) {
        self.target = None;
        let _ = Process::current().table().remove(self.op);
    }

    fn send(&mut self, answer: Result<Done, Failure>) {
        let Some(target) = self.target.take() else { return };
        let _ = Process::current().table().remove(self.op);
        let (done, failure) = match answer {
            Ok(done) => (done, None),
            Err(failure) => (Done::new(self.kind), Some(failure)),
        };
        let event = Event {
            tag: self.tag,
            op: self.op.raw(),
            kind: done.kind,
            value: done.value,
            handle: done.handle,
            about: done.about,
            object: done.object,
            failure,
        };
        match target {
            Target::Queue { slot, queue } => handing::complete(queue, slot, event),
            Target::Callback { function, user_data } => {
                let mut event = event.into_c();
                in_callback(|| {
                    // SAFETY: the host promised a function that may be called once with its pointer;
                    // an exception out of it stops at the next frame of ours and aborts.
                    unsafe { function(user_data.0, &raw mut event) }
                });
            }
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.send(Err(cancelled()));
    }
}

/// What an operation ends with that was cancelled.
pub(crate) fn cancelled() -> Failure {
    Failure::new(TRUNKLINE_E_CANCELLED, "the operation was cancelled")
}

/// Starts an operation whose result goes where `completion` says.
///
/// An error here means that there will be no completion; success means that there will be exactly
/// one, also after a cancel, a panic, or the end of the runtime.
pub(crate) fn submit(
    call: &Call,
    runtime: &Runtime,
    completion: Option<&trunkline_completion_t>,
    kind: u32,
    operation: impl Future<Output = Result<Done, Failure>> + Send + 'static,
) -> Result<trunkline_op_t, Failure> {
    runtime.check_running()?;
    let threads = runtime.threads()?;
    let cancel = CancellationToken::new();
    let delivery = register(call, runtime, completion, kind, Arc::new(cancel.clone()))?;
    let handle = delivery.op;
    let stopping = runtime.stopping().clone();
    threads.spawn(async move {
        let answer = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(cancelled()),
            () = stopping.cancelled() => Err(cancelled()),
            answer = caught(operation) => answer,
        };
        delivery.deliver(answer);
    });
    Ok(handle)
}

/// Takes all that a completion needs, for an operation that whoever has the delivery ends.
///
/// An error here means that there will be no completion.
pub(crate) fn register(
    call: &Call,
    runtime: &Runtime,
    completion: Option<&trunkline_completion_t>,
    kind: u32,
    op: Arc<dyn Operation>,
) -> Result<Delivery, Failure> {
    let completion = completion.ok_or_else(|| Failure::null("completion"))?;
    let target = target(call, completion)?;
    let place = call.place(runtime)?;
    let op = call.register(op, place);
    Ok(Delivery { tag: completion.tag, kind, op, target: Some(target) })
}

fn target(call: &Call, completion: &trunkline_completion_t) -> Result<Target, Failure> {
    match (completion.queue.h, completion.r#fn) {
        (0, Some(function)) => {
            Ok(Target::Callback { function, user_data: UserData(completion.user_data) })
        }
        (0, None) => Err(Failure::argument("completion: neither a queue nor a callback is set")),
        (_, Some(_)) => Err(Failure::argument("completion: both a queue and a callback are set")),
        (_, None) => {
            let queue = completion.queue;
            Ok(Target::Queue { slot: call.object(queue)?.reserve()?, queue })
        }
    }
}

/// The future with a panic turned into a failure.
async fn caught<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx: &mut Context<'_>| {
        std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)))
            .unwrap_or_else(|panic| Poll::Ready(Err(panicked(panic.as_ref()))))
    })
    .await
}
