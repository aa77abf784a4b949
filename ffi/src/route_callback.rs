//! The route callback of a TCP manager: a job of the host for each connection, answered with a decision.
#![allow(unsafe_code, reason = "texts and structs come by pointer")]

use crate::{
    buf::trunkline_buf_t,
    call::{enter, enter_plain, enter_unit},
    error::{Failure, trunkline_error_t},
    handle::{trunkline_job_t, trunkline_tcp_manager_t},
    input::text,
    job::{Question, Verdict, give, of_another_kind, question},
    job_host::{JobHost, Registration, trunkline_job_host_t},
    output::{document, ns},
    status::*,
};
use serde_json::json;
use std::{ffi::c_char, fmt, mem::MaybeUninit, sync::Arc};
use trunkline_core::{
    Address, AddressError, Arrival, RouteCallback, RouteDecision, manager::Routing,
};

/// A decision: where the routes say.
pub const TRUNKLINE_ROUTE_DEFAULT: i32 = 0;
/// A decision: to the backend that is named.
pub const TRUNKLINE_ROUTE_BACKEND: i32 = 1;
/// A decision: to the address that is named, past the backends and their limits.
pub const TRUNKLINE_ROUTE_ADDRESS: i32 = 2;
/// A decision: nowhere, the connection is reset as TRUNKLINE_CLOSE_REFUSED.
pub const TRUNKLINE_ROUTE_REFUSE: i32 = 3;

struct HostCallback(JobHost);

impl RouteCallback for HostCallback {
    fn route(self: Arc<Self>, arrival: Arc<Arrival>) -> Routing {
        Box::pin(async move { self.0.route(arrival.id.get(), described(&arrival)).await })
    }
}

impl fmt::Debug for HostCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostCallback").finish_non_exhaustive()
    }
}

fn described(arrival: &Arrival) -> Arc<str> {
    let text = |address: &Option<Address>| address.as_ref().map(Address::to_string);
    let document = json!({
        "id": arrival.id.get(),
        "listener": &*arrival.listener,
        "source": text(&arrival.source),
        "local": text(&arrival.local),
        "protocol": arrival.protocol.as_ref().map(|protocol| protocol.name()),
        "host": arrival.host(),
        "alpn": arrival.alpn(),
        "timeout_ns": ns(arrival.timeout),
    });
    document.to_string().into()
}

/// Has the host say where each connection goes that the manager accepts for its listeners, from now on: before the
/// routes, by a job of kind TRUNKLINE_JOB_ROUTE whose `about` is the number of the connection. `host` of NULL ends that.
///
/// trunkline_route_question says what is known of the connection, trunkline_route_decide answers. A job that fails, or is
/// not answered within the document's `route_callback.timeout`, leaves the connection to the routes, as does one above
/// `route_callback.max_pending`. The metric trunkline_route_callback_total counts what came of each.
///
/// Ownership: copies the struct; `user_data` is released once, also after an error. Blocks: no. Threads: any. Errors:
/// INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (also once it drains), FORKED. Since 0.1.
///
/// # Safety
///
/// `host` is NULL or points to a struct whose function may be called with its pointer until the release.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_tcp_manager_on_route(
    manager: trunkline_tcp_manager_t,
    host: Option<&trunkline_job_host_t>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    let registration = host.map(Registration::of);
    enter_unit(err, |call| {
        let object = call.object(manager)?;
        let host = registration.map(|given| given.on(call, object.runtime())).transpose()?;
        let callback = host.map(|host| Arc::new(HostCallback(host)) as Arc<dyn RouteCallback>);
        Ok(object.manager().on_route(callback)?)
    })
}

/// What is known of the connection that a job of kind TRUNKLINE_JOB_ROUTE is about, as a JSON object: {"id", "listener",
/// "source", "local", "protocol", "host", "alpn", "timeout_ns"}. `protocol` is what its first bytes speak, `host` the server
/// name of TLS or the host of HTTP/1, `alpn` an array, `timeout_ns` the time for the answer from when it was asked for. What
/// is not known is null.
///
/// Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any, also inside
/// callbacks. Errors: INVALID_ARGUMENT (a job of another kind), INVALID_HANDLE (also when nobody waits for it any more),
/// FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_route_question(
    job: trunkline_job_t,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_buf_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |_| match question(job)? {
        Question::Route(known) => Ok(document(&known)),
        Question::Resolve(_) | Question::Check(_) | Question::Proxy(..) => Err(of_another_kind()),
    })
}

/// Answers a job of kind TRUNKLINE_JOB_ROUTE with one of TRUNKLINE_ROUTE_*. `to` is the name of a backend for
/// TRUNKLINE_ROUTE_BACKEND, an address for TRUNKLINE_ROUTE_ADDRESS, and empty otherwise. Where there is no such backend, and
/// where the address leads back to a listener, the routes decide.
///
/// A job has one answer: a second one, and one that comes too late, are INVALID_HANDLE and harmless.
/// trunkline_job_done answers as well: without an error as TRUNKLINE_ROUTE_DEFAULT, with one that it failed.
///
/// Ownership: none. Blocks: no. Threads: any, also inside callbacks. Errors: INVALID_ARGUMENT (also a job of another
/// kind, which then still wants its answer), INVALID_HANDLE, CLOSED, FORKED. Since 0.1.
///
/// # Safety
///
/// `to` is good for `to_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_route_decide(
    job: trunkline_job_t,
    decision: i32,
    to: *const c_char,
    to_len: usize,
) -> trunkline_status_t {
    enter_plain(|| {
        // SAFETY: the caller's promise is the same.
        let to = unsafe { text(to, to_len, "to")? };
        give(job, Verdict::Route(decided(decision, to)?))
    })
}

fn address_of(text: &str) -> Result<Address, Failure> {
    text.parse().map_err(|error: AddressError| Failure::Core(error.into()))
}

fn decided(decision: i32, to: &str) -> Result<RouteDecision, Failure> {
    match (decision, to) {
        (TRUNKLINE_ROUTE_DEFAULT, "") => Ok(RouteDecision::Default),
        (TRUNKLINE_ROUTE_REFUSE, "") => Ok(RouteDecision::Refuse),
        (TRUNKLINE_ROUTE_BACKEND, "") => {
            Err(Failure::argument("to: must be the name of a backend"))
        }
        (TRUNKLINE_ROUTE_BACKEND, name) => Ok(RouteDecision::Backend(name.into())),
        (TRUNKLINE_ROUTE_ADDRESS, address) => Ok(RouteDecision::Address(address_of(address)?)),
        (TRUNKLINE_ROUTE_DEFAULT | TRUNKLINE_ROUTE_REFUSE, _) => {
            Err(Failure::argument("to: must be empty for this decision"))
        }
        _ => Err(Failure::argument("decision: must be one of TRUNKLINE_ROUTE_*")),
    }
}
