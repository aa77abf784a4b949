//! The check callback of a TCP manager: a job of the host for each check of an endpoint, done or failed.
#![allow(unsafe_code, reason = "structs come by pointer")]

use crate::{
    buf::trunkline_buf_t,
    call::{enter, enter_unit},
    error::trunkline_error_t,
    handle::{trunkline_job_t, trunkline_tcp_manager_t},
    job::{Question, of_another_kind, question},
    job_host::{JobHost, Registration, trunkline_job_host_t},
    output::{document, ns},
    status::trunkline_status_t,
};
use serde_json::json;
use std::{fmt, mem::MaybeUninit, sync::Arc};
use trunkline_core::{CheckCallback, CheckQuestion, manager::Checking};

struct HostCallback(JobHost);

impl CheckCallback for HostCallback {
    fn check(self: Arc<Self>, endpoint: Arc<CheckQuestion>) -> Checking {
        Box::pin(async move { self.0.check(described(&endpoint)).await })
    }
}

impl fmt::Debug for HostCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostCallback").finish_non_exhaustive()
    }
}

fn described(endpoint: &CheckQuestion) -> Arc<str> {
    let document = json!({
        "backend": &*endpoint.backend,
        "address": endpoint.address.to_string(),
        "host": endpoint.host.as_deref(),
        "timeout_ns": ns(endpoint.timeout),
    });
    document.to_string().into()
}

/// Has the host say how each endpoint is of the backends whose `health.check` is `callback`, from now on: by a job of kind
/// TRUNKLINE_JOB_CHECK_ENDPOINT for each check, once at a time for each endpoint. `host` of NULL ends that.
///
/// trunkline_check_question says which endpoint, trunkline_job_done answers: without an error the endpoint passes, with one
/// it fails for that reason. An error of CALLBACK, CANCELLED or LIMIT_EXCEEDED says that it could not be told; then, and where there is
/// no answer within the document's `health.timeout`, or nobody to be asked, `no_answer` says what that means. The metric
/// trunkline_check_callback_total counts what came of each.
///
/// Ownership: copies the struct; `user_data` is released once, also after an error. Blocks: no. Threads: any. Errors:
/// INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (also once it drains), FORKED. Since 0.1.
///
/// # Safety
///
/// `host` is NULL or points to a struct whose function may be called with its pointer until the release.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_tcp_manager_on_check(
    manager: trunkline_tcp_manager_t,
    host: Option<&trunkline_job_host_t>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    let registration = host.map(Registration::of);
    enter_unit(err, |call| {
        let object = call.object(manager)?;
        let host = registration.map(|given| given.on(call, object.runtime())).transpose()?;
        let callback = host.map(|host| Arc::new(HostCallback(host)) as Arc<dyn CheckCallback>);
        Ok(object.manager().on_check(callback)?)
    })
}

/// What is known of the endpoint that a job of kind TRUNKLINE_JOB_CHECK_ENDPOINT is about, as a JSON object: {"backend",
/// "address", "host", "timeout_ns"}. `host` is the name that led to the address, null where that was given; `timeout_ns` the
/// time for the answer from when it was asked for.
///
/// Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any, also inside
/// callbacks. Errors: INVALID_ARGUMENT (a job of another kind), INVALID_HANDLE (also when nobody waits for it any more),
/// FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_check_question(
    job: trunkline_job_t,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_buf_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |_| match question(job)? {
        Question::Check(known) => Ok(document(&known)),
        Question::Route(_) | Question::Resolve(_) | Question::Proxy(..) => Err(of_another_kind()),
    })
}
