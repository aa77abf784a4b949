//! Jobs: what a pool or a manager asks of its host, answered exactly once.
#![allow(unsafe_code, reason = "exported names are the ABI")]

use crate::{
    call::enter_plain,
    error::{Failure, trunkline_error_t},
    handle::trunkline_job_t,
    process::Process,
    status::*,
};
use parking_lot::Mutex;
use std::{fmt, sync::Arc};
use trunkline_core::{Permit, RouteDecision};

/// A job: make a connection. The answer's value is its number. `about` says for which endpoint, where there are several.
pub const TRUNKLINE_JOB_CONNECT: u32 = 1;
/// A job: see whether the connection `about` can still be used. The value is not looked at.
pub const TRUNKLINE_JOB_CHECK: u32 = 2;
/// A job: make the connection `about`, which was given back, ready for its next user. The value is not looked at.
pub const TRUNKLINE_JOB_RESET: u32 = 3;
/// A job: close `about`, for the reason that goes with it. An answer is owed here too; its value is not looked at.
pub const TRUNKLINE_JOB_CLOSE: u32 = 4;
/// A job: make the value for a key. The answer's value is that value.
pub const TRUNKLINE_JOB_MAKE: u32 = 5;
/// A job: say where the connection `about` goes, with trunkline_route_decide.
pub const TRUNKLINE_JOB_ROUTE: u32 = 6;

/// The host's answer: a value, or why there is none.
pub(crate) type Answer = Result<u64, Box<trunkline_error_t>>;

/// Whoever waits for the answer to a job. Dropped without one, it knows that none will come.
pub(crate) trait Asker: Send {
    /// Takes the answer, and with it the value.
    ///
    /// # Errors
    ///
    /// The value stays the host's.
    fn answer(self: Box<Self>, answer: Answer) -> Result<Taken, Failure>;

    /// What is known of what a decision is asked about; `None` where none is.
    fn question(&self) -> Option<Arc<str>> {
        None
    }

    /// Takes the decision. Nobody else is given one.
    fn decide(self: Box<Self>, decision: RouteDecision) {
        drop(decision);
    }
}

/// What became of an answer that was taken.
pub(crate) enum Taken {
    /// The value that holds from now on.
    Kept(u64),
    /// The pool gives the value up at once, for this reason.
    GivenUp(Failure),
}

/// What a job's handle names; whoever takes it out of the table answers it.
pub(crate) struct Job(Mutex<Option<Box<dyn Asker>>>);

impl Job {
    /// Gives a job its handle, in a `place` that was taken beforehand.
    pub(crate) fn register(asker: Box<dyn Asker>, place: Permit) -> trunkline_job_t {
        let job = Arc::new(Self(Mutex::new(Some(asker))));
        Process::current().table().insert(job, Some(place))
    }

    fn answer(&self, answer: Answer) -> Result<Taken, Failure> {
        let asker = self.0.lock().take();
        asker.ok_or_else(|| Failure::closed("the job"))?.answer(answer)
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

/// Answers a job.
pub(crate) fn answer(job: trunkline_job_t, answer: Answer) -> Result<Taken, Failure> {
    Process::current().table().remove(job)?.answer(answer)
}

/// What a job asks a decision about.
pub(crate) fn question(job: trunkline_job_t) -> Result<Arc<str>, Failure> {
    let job = Process::current().table().get(job)?;
    let asker = job.0.lock();
    let asker = asker.as_ref().ok_or_else(|| Failure::closed("the job"))?;
    asker.question().ok_or_else(|| Failure::argument("job: asks for no decision"))
}

/// Answers a job with a decision.
pub(crate) fn decide(job: trunkline_job_t, decision: RouteDecision) -> Result<(), Failure> {
    question(job)?;
    let job = Process::current().table().remove(job)?;
    let asker = job.0.lock().take().ok_or_else(|| Failure::closed("the job"))?;
    asker.decide(decision);
    Ok(())
}

/// Answers a job: with `value`, or with why it failed.
///
/// On OK the value is the pool's, which has it closed if nobody wants it any more: so a job that makes something is
/// still to be answered when it took longer than whoever asked would wait. A job has one answer: a second one, one
/// about a connection that was given up meanwhile, and one that comes after the pool is gone, are INVALID_HANDLE and
/// harmless.
///
/// Ownership: takes `error`, also when it fails; the value is the pool's on OK, else it stays the caller's. Blocks:
/// no. Threads: any, also inside callbacks. Errors: INVALID_HANDLE, CLOSED, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_job_done(
    job: trunkline_job_t,
    value: u64,
    error: Option<Box<trunkline_error_t>>,
) -> trunkline_status_t {
    enter_plain(|| answer(job, error.map_or(Ok(value), Err)).map(drop))
}
