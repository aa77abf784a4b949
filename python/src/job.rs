//! What a pool, a manager or a channel asks of Python: taken once, answered once.

use crate::{
    buffer::{self, channel, check, checkout, plain, proxy, route},
    failure::Doing,
};
use pyo3::prelude::*;
use trunkline::*;

/// One job. Dropped without an answer, it has failed.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct Job {
    handle: trunkline_job_t,
    what: u32,
    reason: u32,
    about: u64,
}

impl Job {
    /// The job of an event with this `value`.
    pub(crate) fn of(handle: trunkline_job_t, value: u64, about: u64) -> Self {
        Self { handle, what: value as u32, reason: (value >> 32) as u32, about }
    }
}

#[pymethods]
impl Job {
    /// What is to be done: connect 1, check 2, reset 3, close 4, make 5, route 6,
    /// resolve 7, check of an endpoint 8; of a proxy route 9, process 10, certificate 11.
    #[getter]
    fn what(&self) -> u32 {
        self.what
    }

    /// Why a connection is to be closed.
    #[getter]
    fn reason(&self) -> u32 {
        self.reason
    }

    /// The number of the connection.
    #[getter]
    fn about(&self) -> u64 {
        self.about
    }

    /// It is done; `number` is that of a new connection. False if nobody wants it any more: a new
    /// connection then stays the caller's.
    fn done(&self, number: u64) -> bool {
        plain(trunkline_job_done(self.handle, number, None)).is_ok()
    }

    /// It failed, and why.
    fn fail(&self, status: i32, message: &str) {
        // Refused if nobody wants it any more.
        let _ = checkout::job_failed(self.handle, status, message);
    }

    /// Answers the making of a value with a number, and says which one is under the key.
    fn fill(&self, py: Python<'_>, number: u64) -> PyResult<u64> {
        let doing = Doing { step: TRUNKLINE_STEP_ACQUIRE, address: None };
        buffer::pool_fill(self.handle, number).map_err(|failed| failed.raise_while(py, doing))
    }

    /// What is known of the connection that is to be routed, as JSON; `None` if nobody waits for that any more.
    fn question(&self) -> Option<String> {
        route::question(self.handle).ok()
    }

    /// What is known of the endpoint that is to be checked, as JSON; `None` if nobody waits for that any more.
    fn check_question(&self) -> Option<String> {
        check::question(self.handle).ok()
    }

    /// Answers where a connection goes. Raises for what cannot be the answer; one that is too late is none.
    fn decide(&self, py: Python<'_>, decision: i32, to: &str) -> PyResult<()> {
        match route::decide(self.handle, decision, to) {
            Err(failed) if failed.is(TRUNKLINE_E_INVALID_ARGUMENT) => {
                Err(failed.raise_while(py, Doing { step: TRUNKLINE_STEP_ACCEPT, address: None }))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// What is asked about a channel's target, as JSON; `None` if nobody waits for that any more.
    fn resolve_question(&self) -> Option<String> {
        channel::resolve_question(self.handle).ok()
    }

    /// Answers where a channel's target is. Raises for what is no address; an answer that is too late is none.
    fn resolved(&self, py: Python<'_>, addresses: &str) -> PyResult<()> {
        match channel::resolve_answer(self.handle, addresses) {
            Err(failed) if failed.is(TRUNKLINE_E_INVALID_ARGUMENT) => {
                Err(failed.raise_while(py, Doing { step: TRUNKLINE_STEP_RESOLVE, address: None }))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// What is known of what a memory proxy asks about, as JSON; `None` if nobody waits for that any more.
    fn proxy_question(&self) -> Option<String> {
        proxy::question(self.handle).ok()
    }

    /// Answers a memory proxy with JSON. Raises for what cannot be the answer; one that is too late is none.
    fn proxy_answer(&self, py: Python<'_>, json: &str) -> PyResult<()> {
        match proxy::answer(self.handle, json) {
            Err(failed) if failed.is(TRUNKLINE_E_INVALID_ARGUMENT) => {
                Err(failed.raise_while(py, Doing { step: TRUNKLINE_STEP_ACCEPT, address: None }))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// It failed, for reasons of the caller's own.
    fn give_up(&self) {
        buffer::give_up_job(self.handle);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // Refused if it was answered, and in a forked child, where it is the parent's.
        buffer::give_up_job(self.handle);
    }
}
