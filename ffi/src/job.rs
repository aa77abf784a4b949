//! Jobs: what a pool, a manager, a channel or a proxy asks of its host, answered exactly once.
#![allow(unsafe_code, reason = "exported names are the ABI")]

use crate::{
    call::enter_plain,
    error::{Failure, trunkline_error_t},
    handle::trunkline_job_t,
    job_host::ProxyHook,
    process::Process,
    status::*,
};
use parking_lot::Mutex;
use std::{fmt, sync::Arc};
use trunkline_core::{Address, CertificateChoice, Permit, Processed, RouteDecision, Routed};

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
/// A job: say where the target of a channel is, with trunkline_resolve_answer. `about` counts the questions from 1.
pub const TRUNKLINE_JOB_RESOLVE: u32 = 7;
/// A job: say how the endpoint is that trunkline_check_question names. The value is not looked at.
pub const TRUNKLINE_JOB_CHECK_ENDPOINT: u32 = 8;
/// A job of a memory proxy: say where a request over the connection `about` goes, with trunkline_memory_proxy_answer.
pub const TRUNKLINE_JOB_PROXY_ROUTE: u32 = 9;
/// A job of a memory proxy: say whether a request over the connection `about` may go where it leads, and with which fields.
pub const TRUNKLINE_JOB_PROXY_PROCESS: u32 = 10;
/// A job of a memory proxy: say which certificate the client of the connection `about` is shown.
pub const TRUNKLINE_JOB_PROXY_CERTIFICATE: u32 = 11;

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

    /// What is asked, where it takes more than a number to answer.
    fn question(&self) -> Option<Question> {
        None
    }

    /// Takes a verdict of the kind that was asked for. Nobody else is given one.
    fn take(self: Box<Self>, verdict: Verdict) {
        drop(verdict);
    }
}

/// What is asked, where it takes more than a number to answer: what is known, as JSON.
pub(crate) enum Question {
    Route(Arc<str>),
    Resolve(Arc<str>),
    /// Doing the job answers it, or failing at it.
    Check(Arc<str>),
    /// What a memory proxy does.
    Proxy(ProxyHook, Arc<str>),
}

/// An answer that is more than a number.
pub(crate) enum Verdict {
    Route(RouteDecision),
    Resolve(Vec<Address>),
    ProxyRoute(Routed),
    ProxyProcess(Processed),
    ProxyCertificate(CertificateChoice),
}

impl Verdict {
    /// Whether it is one that the question asks for.
    fn answers(&self, question: &Question) -> bool {
        match question {
            Question::Route(_) => matches!(self, Self::Route(_)),
            Question::Resolve(_) => matches!(self, Self::Resolve(_)),
            Question::Check(_) => false,
            Question::Proxy(ProxyHook::Route, _) => matches!(self, Self::ProxyRoute(_)),
            Question::Proxy(ProxyHook::Process, _) => matches!(self, Self::ProxyProcess(_)),
            Question::Proxy(ProxyHook::Certificate, _) => {
                matches!(self, Self::ProxyCertificate(_))
            }
        }
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

/// What a job asks.
pub(crate) fn question(job: trunkline_job_t) -> Result<Question, Failure> {
    let job = Process::current().table().get(job)?;
    let asker = job.0.lock();
    let asker = asker.as_ref().ok_or_else(|| Failure::closed("the job"))?;
    asker.question().ok_or_else(of_another_kind)
}

/// What is wrong with an answer that another kind of job would take.
pub(crate) fn of_another_kind() -> Failure {
    Failure::argument("job: is of another kind")
}

/// Answers a job with what it asks for.
pub(crate) fn give(job: trunkline_job_t, verdict: Verdict) -> Result<(), Failure> {
    if !verdict.answers(&question(job)?) {
        return Err(of_another_kind());
    }
    let job = Process::current().table().remove(job)?;
    let asker = job.0.lock().take().ok_or_else(|| Failure::closed("the job"))?;
    asker.take(verdict);
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
