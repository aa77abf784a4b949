//! The calls of the check callback that take pointers.

use super::{Failed, call, route::jobs_to, whole_text};
use trunkline::*;

/// Has the questions how endpoints are come to a queue, as jobs with this tag; without one, no longer.
pub(crate) fn manager_on_check(
    manager: trunkline_tcp_manager_t,
    to: Option<(trunkline_cq_t, u64)>,
) -> Result<(), Failed> {
    let host = to.map(jobs_to);
    // SAFETY: the struct is alive, and has no function.
    call((), |_, err| unsafe { trunkline_tcp_manager_on_check(manager, host.as_ref(), err) })
}

/// What is known of the endpoint that a job is about, as JSON.
pub(crate) fn question(job: trunkline_job_t) -> Result<String, Failed> {
    let known = call(None, |out, err| trunkline_check_question(job, out, err))?;
    Ok(whole_text(known.as_deref()))
}

/// The endpoints of every backend, as JSON.
pub(crate) fn manager_endpoints(manager: trunkline_tcp_manager_t) -> Result<String, Failed> {
    let list = call(None, |out, err| trunkline_tcp_manager_endpoints(manager, out, err))?;
    Ok(whole_text(list.as_deref()))
}
