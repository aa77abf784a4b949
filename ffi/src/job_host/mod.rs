//! Who does the jobs of a pool or a manager: they go to its queue or its callback, and the answers come back to those who ask.
#![allow(unsafe_code, reason = "a callback of the host is called through its pointer")]

mod check;
mod kind;
mod proxy;
mod resolve;
pub(crate) mod resource;
mod route;

pub(crate) use kind::{JobKind, ProxyHook};

use crate::{
    buf::trunkline_release_fn,
    call::{Call, in_callback},
    completion::UserData,
    error::{Failure, trunkline_error_t},
    handle::{Handle, trunkline_cq_t, trunkline_job_t},
    job::*,
    process::Process,
    queue::{Event, Queue, TRUNKLINE_EV_JOB},
    runtime::Runtime,
    status::*,
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    ffi::c_void,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::oneshot;
use trunkline_core::{
    ConnectionError, Permit, Place, Step,
    completion::{Refused, Slot},
};

/// Takes a job. `what` is one of TRUNKLINE_JOB_*, `reason` that of a TRUNKLINE_JOB_CLOSE, `about` the resource.
///
/// It runs once per job, on a worker thread of the runtime; once that is shut down, on the thread that asks. It must not
/// block, throw, longjmp or unwind. The answer may come from inside it, or later from any thread.
pub type trunkline_job_fn = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        job: trunkline_job_t,
        what: u32,
        reason: u32,
        about: u64,
    ),
>;

/// Who does the jobs of a pool, a manager or a channel: a queue, where they are events of kind TRUNKLINE_EV_JOB, or a callback. Exactly one of
/// `queue` and `fn` is set.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_job_host_t {
    /// {0} when `fn` is set. Each connection keeps a place in it, for the job that closes it; each job takes another.
    pub queue: trunkline_cq_t,
    /// Comes back in the events, as it is.
    pub tag: u64,
    /// NULL when `queue` is set.
    pub r#fn: trunkline_job_fn,
    /// Passed to `fn` and `release`.
    pub user_data: *mut c_void,
    /// Runs exactly once after the last `fn`, also when the call that registers it fails; may be NULL.
    pub release: trunkline_release_fn,
}

/// What the host gave, until it can be used. Dropped before that, it releases the host's pointer too.
pub(crate) struct Registration {
    queue: trunkline_cq_t,
    tag: u64,
    callback: Callback,
}

/// The host's function. Its pointer is released with it.
struct Callback {
    function: trunkline_job_fn,
    user_data: UserData,
    release: trunkline_release_fn,
}

impl Callback {
    fn run(&self, job: trunkline_job_t, kind: JobKind, about: u64) {
        let Some(function) = self.function else { return };
        in_callback(|| {
            // SAFETY: the host promised a function that may be called with its pointer until the
            // release; an exception out of it stops at the next frame of ours and aborts.
            unsafe { function(self.user_data.0, job, kind.code(), kind.reason(), about) }
        });
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the host promised a function that may be called once with its pointer.
            in_callback(|| unsafe { release(self.user_data.0) });
        }
    }
}

impl Registration {
    /// To be called before anything can fail.
    pub(crate) fn of(given: &trunkline_job_host_t) -> Self {
        let user_data = UserData(given.user_data);
        let callback = Callback { function: given.r#fn, user_data, release: given.release };
        Self { queue: given.queue, tag: given.tag, callback }
    }

    /// The host, for a pool on `runtime`.
    pub(crate) fn on(self, call: &Call, runtime: &Arc<Runtime>) -> Result<JobHost, Failure> {
        let queue = match (self.queue.h, self.callback.function) {
            (0, Some(_)) => None,
            (0, None) => {
                return Err(Failure::argument("host: neither a queue nor a callback is set"));
            }
            (_, Some(_)) => {
                return Err(Failure::argument("host: both a queue and a callback are set"));
            }
            (_, None) => Some(Arc::downgrade(&call.object(self.queue)?)),
        };
        Ok(JobHost(Arc::new(Inner {
            runtime: Arc::clone(runtime),
            queue,
            tag: self.tag,
            callback: self.callback,
            last: AtomicU64::new(0),
            outstanding: Mutex::default(),
        })))
    }
}

/// Who does the jobs of one pool. Clones are handles to the same.
///
/// With the last of them, and with the last [`Resource`], every job that is still outstanding is stale: its answer is
/// refused, and what it made stays the host's.
#[derive(Clone)]
pub(crate) struct JobHost(Arc<Inner>);

struct Inner {
    runtime: Arc<Runtime>,
    /// Freed by the host alone: the jobs that are in it fail then.
    queue: Option<Weak<Queue>>,
    tag: u64,
    callback: Callback,
    last: AtomicU64,
    /// Jobs without an answer, each by a number of its own.
    outstanding: Mutex<HashMap<u64, trunkline_job_t>>,
}

/// All that one job needs, taken before the work that leads to it starts: it is never refused then.
struct JobPlace {
    handle: Permit,
    slot: Option<Slot<Event>>,
}

impl JobHost {
    /// Asks for a job and waits for the answer.
    ///
    /// # Errors
    ///
    /// The host's, with its text as the cause; `LimitExceeded` at once if the queue or the runtime has no place for
    /// another job, `Closed` if either was shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the job stale: its answer is refused.
    pub(crate) async fn ask(&self, what: JobKind, about: u64) -> Result<u64, ConnectionError> {
        let place = self.0.reserve(what.step())?;
        let (sender, receiver) = oneshot::channel();
        let reply = |listed| Box::new(Reply { sender, what, _listed: listed }) as _;
        let job = self.0.post(place, what, about, reply);
        let _withdraw = Withdraw(job);
        receiver.await.unwrap_or_else(|_| Err(unanswered(what)))
    }
}

impl Inner {
    fn reserve(&self, step: Step) -> Result<JobPlace, ConnectionError> {
        if self.runtime.check_running().is_err() {
            return Err(ConnectionError::closed(step));
        }
        let full = |what, limit| ConnectionError::limit_exceeded(what, limit, Place::at(step));
        let handle = self.runtime.try_reserve_handle().map_err(|limit| full("handles", limit))?;
        let reserve = |queue: &Weak<Queue>| queue.upgrade().ok_or(Refused::Closed)?.try_reserve();
        let slot = self.queue.as_ref().map(reserve).transpose();
        let slot = slot.map_err(|refused| match refused {
            Refused::Full { limit } => full("places in the queue of jobs", u64::from(limit)),
            Refused::Closed => ConnectionError::closed(step),
        })?;
        Ok(JobPlace { handle, slot })
    }

    /// Hands a job to the host.
    fn post(
        self: &Arc<Self>,
        place: JobPlace,
        what: JobKind,
        about: u64,
        asker: impl FnOnce(Listed) -> Box<dyn Asker>,
    ) -> trunkline_job_t {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let asker = asker(Listed { host: Arc::downgrade(self), number });
        let job = Job::register(asker, place.handle);
        self.outstanding.lock().insert(number, job);
        match place.slot {
            Some(slot) => {
                let mut event = Event::ready(self.tag, TRUNKLINE_EV_JOB);
                event.handle = job.raw();
                event.value = what.event_value();
                event.about = about;
                slot.complete(event);
            }
            None => {
                let call = Owed { host: Arc::clone(self), job, what, about };
                self.runtime.handle().spawn(async move { drop(call) });
            }
        }
        job
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let table = Process::current().table();
        for (_, job) in self.outstanding.get_mut().drain() {
            // Answered at this moment, perhaps.
            let _ = table.remove(job);
        }
    }
}

/// A call of the host's function: made when this is dropped, so also by a runtime that runs no task any more.
struct Owed {
    host: Arc<Inner>,
    job: trunkline_job_t,
    what: JobKind,
    about: u64,
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.host.callback.run(self.job, self.what, self.about);
    }
}

/// A job's line in the list of its host, struck out with it.
struct Listed {
    host: Weak<Inner>,
    number: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        if let Some(host) = self.host.upgrade() {
            host.outstanding.lock().remove(&self.number);
        }
    }
}

/// Makes a job stale when nobody waits for it any more.
struct Withdraw(trunkline_job_t);

impl Drop for Withdraw {
    fn drop(&mut self) {
        // Answered already, mostly.
        let _ = Process::current().table().remove(self.0);
    }
}

struct Reply {
    sender: oneshot::Sender<Result<u64, ConnectionError>>,
    what: JobKind,
    _listed: Listed,
}

impl Asker for Reply {
    fn answer(self: Box<Self>, answer: Answer) -> Result<Taken, Failure> {
        let value = *answer.as_ref().unwrap_or(&0);
        let what = self.what;
        // Whoever asked may be gone by now: then nobody minds.
        let _ = self.sender.send(answer.map_err(|error| what.failed(*error)));
        Ok(Taken::Kept(value))
    }
}

/// The job was thrown away, or its queue was freed.
fn unanswered(what: JobKind) -> ConnectionError {
    what.failed(trunkline_error_t::plain(TRUNKLINE_E_CALLBACK, "the job was dropped unanswered"))
}

#[cfg(test)]
mod tests;
