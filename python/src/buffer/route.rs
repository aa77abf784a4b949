//! The calls of the route callback that take pointers.

use super::{Failed, call, plain, whole_text};
use std::ptr;
use trunkline::*;

/// Has the questions where connections go come to `queue`, as jobs with `tag`; without one, no longer.
pub(crate) fn manager_on_route(
    manager: trunkline_tcp_manager_t,
    to: Option<(trunkline_cq_t, u64)>,
) -> Result<(), Failed> {
    let host = to.map(jobs_to);
    // SAFETY: the struct is alive, and has no function.
    call((), |_, err| unsafe { trunkline_tcp_manager_on_route(manager, host.as_ref(), err) })
}

/// A host that takes its jobs from a queue, where they have this tag.
pub(super) fn jobs_to((queue, tag): (trunkline_cq_t, u64)) -> trunkline_job_host_t {
    trunkline_job_host_t { queue, tag, r#fn: None, user_data: ptr::null_mut(), release: None }
}

/// What is known of the connection that a job is about, as JSON.
pub(crate) fn question(job: trunkline_job_t) -> Result<String, Failed> {
    let known = call(None, |out, err| trunkline_route_question(job, out, err))?;
    Ok(whole_text(known.as_deref()))
}

/// Answers where a connection goes.
pub(crate) fn decide(job: trunkline_job_t, decision: i32, to: &str) -> Result<(), Failed> {
    let (text, length) = (to.as_ptr().cast(), to.len());
    // SAFETY: pointer and length are those of a live text.
    plain(unsafe { trunkline_route_decide(job, decision, text, length) })
}
