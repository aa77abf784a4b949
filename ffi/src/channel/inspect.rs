//! What a channel looks like, as JSON.

use crate::{
    buf::trunkline_buf_t, call::enter, error::trunkline_error_t, handle::trunkline_channel_t,
    output::ns, status::trunkline_status_t,
};
use serde_json::{Map, Value, json};
use std::mem::MaybeUninit;
use trunkline_core::{
    Address, ConnectionError,
    channel::{ChannelPoolStats, LiveAddress, LiveChannel, LiveConnection, RetireReason},
};

/// What a channel looks like at one moment, as one JSON object: {"target", "state", "state_age_ns", "calls_started",
/// "calls_succeeded", "calls_failed", "calls_queued", "last_call_age_ns", "lookup_error", "next_lookup_ns", "addresses",
/// "pool"}.
///
/// For each address, those that are left and still carry calls at the end, {"address", "state", "ejected", "calls_started",
/// "calls_succeeded", "calls_failed", "last_call_age_ns", "last_error", "next_attempt_ns", "connections"}; for each of its
/// connections {"id", "local", "remote", "security", "age_ns", "last_call_age_ns", "calls_started", "calls_succeeded",
/// "calls_failed", "calls_active", "calls_limit", "keepalives_sent", "bytes_received", "bytes_sent", "retired"}. "security" is
/// null or {"version", "server_name", "peer_uri"}; "retired" says why a connection takes no new calls, and is null while it does.
///
/// Calls of an address and of a connection are attempts, each a stream of HTTP/2; those that did not end with OK have failed.
/// "pool" is {"hits", "misses", "created", "closed"}: attempts that found a place on a connection at once and those that waited
/// for one, connections that stood, and those that ended by reason: "idle", "closed", "unlisted", "surplus", "goaway",
/// "unanswered", "lost". "next_attempt_ns" and "next_lookup_ns" are from now. What is not known, or does not apply, is null.
///
/// Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any. Errors:
/// INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_channel_inspect(
    channel: trunkline_channel_t,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_buf_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        let json = described(&call.object(channel)?.channel.inspect()).to_string();
        Ok(Some(Box::new(trunkline_buf_t::owned(json.into_bytes()))))
    })
}

fn text(address: &Option<Address>) -> Option<String> {
    address.as_ref().map(Address::to_string)
}

fn words(error: &Option<ConnectionError>) -> Option<String> {
    error.as_ref().map(|error| error.with_causes().to_string())
}

fn described(live: &LiveChannel) -> Value {
    json!({
        "target": live.target,
        "state": live.state.name(),
        "state_age_ns": ns(live.state_age),
        "calls_started": live.calls_started,
        "calls_succeeded": live.calls_succeeded,
        "calls_failed": live.calls_failed,
        "calls_queued": live.calls_queued,
        "last_call_age_ns": live.last_call.map(ns),
        "lookup_error": words(&live.lookup_error),
        "next_lookup_ns": live.next_lookup.map(ns),
        "addresses": live.addresses.iter().map(address).collect::<Vec<_>>(),
        "pool": pool(&live.pool),
    })
}

fn address(live: &LiveAddress) -> Value {
    json!({
        "address": live.address.to_string(),
        "state": live.state.name(),
        "ejected": live.is_ejected,
        "calls_started": live.calls_started,
        "calls_succeeded": live.calls_succeeded,
        "calls_failed": live.calls_failed,
        "last_call_age_ns": live.last_call.map(ns),
        "last_error": words(&live.last_error),
        "next_attempt_ns": live.next_attempt.map(ns),
        "connections": live.connections.iter().map(connection).collect::<Vec<_>>(),
    })
}

fn connection(live: &LiveConnection) -> Value {
    let security = live.security.as_ref().map(|security| {
        json!({
            "version": security.version,
            "server_name": security.server_name,
            "peer_uri": security.peer_uri,
        })
    });
    json!({
        "id": live.id.get(),
        "local": text(&live.local),
        "remote": text(&live.remote),
        "security": security,
        "age_ns": ns(live.age),
        "last_call_age_ns": live.last_call.map(ns),
        "calls_started": live.calls_started,
        "calls_succeeded": live.calls_succeeded,
        "calls_failed": live.calls_failed,
        "calls_active": live.calls_active(),
        "calls_limit": live.calls_limit,
        "keepalives_sent": live.keepalives_sent,
        "bytes_received": live.bytes_received,
        "bytes_sent": live.bytes_sent,
        "retired": live.retired.map(RetireReason::name),
    })
}

fn pool(stats: &ChannelPoolStats) -> Value {
    let closed =
        RetireReason::ALL.map(|reason| (reason.name().into(), stats.closed(reason).into()));
    json!({
        "hits": stats.hits,
        "misses": stats.misses,
        "created": stats.created,
        "closed": closed.into_iter().collect::<Map<String, Value>>(),
    })
}
