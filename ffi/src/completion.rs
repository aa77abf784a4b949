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
    any::Any,
    ffi::c_void,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
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
    // Boxed first, because each step from here to its task would move it, and hold it twice.
    let operation = Box::pin(operation);
    submit_made(call, runtime, completion, kind, || operation)
}

/// As [`submit`] for an operation that is made on a worker: what a worker frees is best taken there, too.
pub(crate) fn submit_made<B, F>(
    call: &Call,
    runtime: &Runtime,
    completion: Option<&trunkline_completion_t>,
    kind: u32,
    begin: B,
) -> Result<trunkline_op_t, Failure>
where
    B: FnOnce() -> F + Send + 'static,
    F: Future<Output = Result<Done, Failure>> + Send + Unpin + 'static,
{
    runtime.check_running()?;
    let threads = runtime.threads()?;
    let prepared = prepare(call, runtime, completion, kind, begin)?;
    let op = prepared.delivery.op;
    threads.spawn(prepared.run());
    Ok(op)
}

/// As [`submit_made`] for as many as there are, with one wake of a worker: each could interrupt the caller for its own
/// operation before the next is there. Either all start, in order, or none.
pub(crate) fn submit_all<B, F>(
    call: &Call,
    runtime: &Runtime,
    kind: u32,
    all: impl Iterator<Item = Result<(trunkline_completion_t, B), Failure>>,
) -> Result<Vec<trunkline_op_t>, Failure>
where
    B: FnOnce() -> F + Send + 'static,
    F: Future<Output = Result<Done, Failure>> + Send + Unpin + 'static,
{
    runtime.check_running()?;
    let threads = runtime.threads()?;
    let mut prepared = Together(Vec::new());
    for next in all {
        let (completion, begin) = next?;
        prepared.0.push(prepare(call, runtime, Some(&completion), kind, begin)?);
    }
    let ops = prepared.0.iter().map(|one| one.delivery.op).collect();
    let (all, workers) = (prepared.begin(), runtime.handle().clone());
    threads.spawn(async move {
        for one in all {
            workers.spawn(one.run());
        }
    });
    Ok(ops)
}

/// An operation that has all it needs and did not begin.
struct Prepared<B> {
    cancel: CancellationToken,
    stopping: CancellationToken,
    delivery: Delivery,
    begin: B,
}

fn prepare<B>(
    call: &Call,
    runtime: &Runtime,
    completion: Option<&trunkline_completion_t>,
    kind: u32,
    begin: B,
) -> Result<Prepared<B>, Failure> {
    let cancel = CancellationToken::new();
    let delivery = register(call, runtime, completion, kind, Arc::new(cancel.clone()))?;
    Ok(Prepared { cancel, stopping: runtime.stopping().clone(), delivery, begin })
}

impl<B, F> Prepared<B>
where
    B: FnOnce() -> F,
    F: Future<Output = Result<Done, Failure>> + Unpin,
{
    async fn run(self) {
        let Self { cancel, stopping, delivery, begin } = self;
        let answer = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(cancelled()),
            () = stopping.cancelled() => Err(cancelled()),
            answer = caught(begin) => answer,
        };
        delivery.deliver(answer);
    }
}

/// Operations that begin together; dropped before that, there are no completions of them.
struct Together<B>(Vec<Prepared<B>>);

impl<B> Together<B> {
    fn begin(mut self) -> Vec<Prepared<B>> {
        std::mem::take(&mut self.0)
    }
}

impl<B> Drop for Together<B> {
    fn drop(&mut self) {
        for one in self.0.drain(..) {
            one.delivery.forget();
        }
    }
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

/// What the future says that `begin` makes; a panic in either is a failure.
async fn caught<T, F>(begin: impl FnOnce() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>> + Unpin,
{
    let guarded = |panic: Box<dyn Any + Send>| Err(panicked(panic.as_ref()));
    let mut future = match catch_unwind(AssertUnwindSafe(begin)) {
        Ok(future) => future,
        Err(panic) => return guarded(panic),
    };
    std::future::poll_fn(|cx: &mut Context<'_>| {
        catch_unwind(AssertUnwindSafe(|| Pin::new(&mut future).poll(cx)))
            .unwrap_or_else(|panic| Poll::Ready(guarded(panic)))
    })
    .await
}
