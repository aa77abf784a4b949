//! What the endpoints of a TCP manager's backends look like, as JSON.
#![allow(unsafe_code, reason = "exported names are the ABI")]

use crate::{
    buf::trunkline_buf_t, call::enter, error::trunkline_error_t, handle::trunkline_tcp_manager_t,
    output::ns, status::trunkline_status_t,
};
use serde_json::{Value, json};
use std::mem::MaybeUninit;
use trunkline_core::{EndpointReason, LiveEndpoint};

/// The endpoints of every backend at one moment, as a JSON array: by the names of the backends, and in the order in which
/// they are configured; those of a name are its addresses. For each {"backend", "address", "host", "state", "state_age_ns",
/// "reason", "remaining_ns", "active", "weight", "effective_weight"}.
///
/// `state` is the first of these that holds: "unhealthy" (it fails its checks), "ejected" (it failed more than the others),
/// "breaker_open" and "breaker_half_open" (it kept failing), "drained" (weight 0), "slow_start" (it has a part of its weight),
/// "healthy" (it passes its checks), "unchecked" (no check has said anything). `state_age_ns` is since when. `reason` of the
/// first four is {"kind", "step", "text"}: "check", "connect" or "ejection"; the step that failed, such as "tls" or "status",
/// or the rule; and words. `remaining_ns` is the time until it may be in use again, or has its whole weight. `active` are
/// connections and attempts to connect. `effective_weight` is what the policy goes by now, 0 where it gets nothing. `host` is
/// the name that led to the address. What is not known, or does not apply, is null.
///
/// Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any. Errors:
/// INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tcp_manager_endpoints(
    manager: trunkline_tcp_manager_t,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_buf_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        let list: Value =
            call.object(manager)?.manager().endpoints().iter().map(described).collect();
        Ok(Some(Box::new(trunkline_buf_t::owned(list.to_string().into_bytes()))))
    })
}

fn described(endpoint: &LiveEndpoint) -> Value {
    json!({
        "backend": &*endpoint.backend,
        "address": endpoint.address.to_string(),
        "host": endpoint.host.as_deref(),
        "state": endpoint.state.name(),
        "state_age_ns": ns(endpoint.state_age),
        "reason": endpoint.reason.as_ref().map(reason),
        "remaining_ns": endpoint.remaining.map(ns),
        "active": endpoint.active,
        "weight": endpoint.weight,
        "effective_weight": endpoint.effective_weight,
    })
}

fn reason(reason: &EndpointReason) -> Value {
    json!({"kind": reason.kind.name(), "step": reason.step, "text": &*reason.text})
}
