//! Channels whose addresses the host says: a job for each question, answered with addresses, and what it says unasked.
#![allow(unsafe_code, reason = "texts and structs come by pointer")]

use super::ChannelObject;
use crate::{
    buf::trunkline_buf_t,
    call::{enter, enter_plain, enter_unit},
    error::{Failure, trunkline_error_t},
    handle::{trunkline_channel_t, trunkline_job_t, trunkline_runtime_t},
    input::text,
    job::{Question, Verdict, give, of_another_kind, question},
    job_host::{JobHost, Registration, trunkline_job_host_t},
    output::{document, ns},
    status::*,
    tls::{tls_of, trunkline_connect_options_t},
};
use serde_json::json;
use std::{ffi::c_char, fmt, mem::MaybeUninit, sync::Arc};
use trunkline_core::{
    Address, AddressError, Channel, ConnectionConfig,
    channel::{ResolveQuestion, Resolver, Resolving},
    config::Config,
};

struct HostResolver(JobHost);

impl Resolver for HostResolver {
    fn resolve(self: Arc<Self>, question: ResolveQuestion) -> Resolving {
        Box::pin(async move { self.0.resolve(question.number, described(&question)).await })
    }
}

impl fmt::Debug for HostResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostResolver").finish_non_exhaustive()
    }
}

fn described(question: &ResolveQuestion) -> Arc<str> {
    let document = json!({
        "target": &*question.target,
        "number": question.number,
        "timeout_ns": ns(question.timeout),
    });
    document.to_string().into()
}

/// As trunkline_channel_new_with, with a channel whose addresses the host says: by a job of kind TRUNKLINE_JOB_RESOLVE when
/// the channel leaves idle, and again when addresses do not work or a connection is lost, one at a time and at most
/// every `resolver.min_interval` of the document. What it says in between goes by trunkline_channel_push_addresses.
///
/// `target` is for the host, and may be any text of 1 to 4096 bytes. Calls are for what stands behind "scheme:" and
/// "//.../" in it, such as "web:80" of "zone://ns/web:80", and for "localhost" if that is no host; with TLS that host is
/// also whom each server must prove to be, unless the configuration has a server_name.
///
/// trunkline_resolve_question says what is asked, trunkline_resolve_answer answers. A job that fails, or is not answered
/// within `resolver.timeout`, changes nothing: trunkline_channel_inspect, the log and UNAVAILABLE say why, and there is
/// another job after a while. A job is stale once the channel is closed or freed.
///
/// Ownership: copies the struct; `user_data` is released once, after the last job or after an error; the channel is
/// the caller's, to be freed once with trunkline_channel_free. Blocks: no. Threads: any. Errors: as
/// trunkline_channel_new_with. Since 0.1.
///
/// # Safety
///
/// As for trunkline_channel_new_with; `host` points to a struct whose function may be called with its pointer until the
/// release.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_channel_new_resolved(
    rt: trunkline_runtime_t,
    target: *const c_char,
    target_len: usize,
    json: *const c_char,
    json_len: usize,
    opts: *const trunkline_connect_options_t,
    host: Option<&trunkline_job_host_t>,
    out: Option<&mut MaybeUninit<trunkline_channel_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    let registration = host.map(Registration::of);
    enter(out, err, |call| {
        // SAFETY: the caller's promises are the same.
        let (target, json) =
            unsafe { (text(target, target_len, "target")?, text(json, json_len, "json")?) };
        let registration = registration.ok_or_else(|| Failure::argument("host: is NULL"))?;
        let config = match json {
            "" => ConnectionConfig::default(),
            _ => ConnectionConfig::from_json(json)?,
        };
        let runtime = call.runtime(rt)?;
        let place = call.place(&runtime)?;
        // SAFETY: as above.
        let tls = unsafe { tls_of(call, opts)? };
        let resolver = Arc::new(HostResolver(registration.on(call, &runtime)?));
        let network = runtime.network();
        let channel = Channel::resolved(network, target, config, tls.as_ref(), resolver)?;
        Ok(call.register(Arc::new(ChannelObject { channel, runtime }), place))
    })
}

/// Says where the target of a channel is that was made by trunkline_channel_new_resolved, without being asked: as if a
/// job had been answered. `addresses` are texts such as "tcp://10.0.0.1:443", with a comma between each two. Addresses that
/// stay keep their connections; calls on those that go finish. While the channel is idle it changes nothing: there is a
/// job when it is next called.
///
/// Ownership: none. Blocks: no. Threads: any, also inside callbacks. Errors: INVALID_ARGUMENT (no address, or a channel of
/// another kind), CONNECTION_FAILED (addresses that no job may be answered with: those before stay), INVALID_HANDLE,
/// CLOSED, FORKED. Since 0.1.
///
/// # Safety
///
/// `addresses` is good for `addresses_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_channel_push_addresses(
    channel: trunkline_channel_t,
    addresses: *const c_char,
    addresses_len: usize,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| {
        // SAFETY: the caller's promise is the same.
        let said = list_of(unsafe { text(addresses, addresses_len, "addresses")? })?;
        Ok(call.object(channel)?.channel.push_addresses(said)?)
    })
}

/// What a job of kind TRUNKLINE_JOB_RESOLVE asks, as a JSON object: {"target", "number", "timeout_ns"}. `number` counts the
/// questions of a channel from 1, `timeout_ns` is the time for the answer from when it was asked for.
///
/// Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any, also inside
/// callbacks. Errors: INVALID_ARGUMENT (a job of another kind), INVALID_HANDLE (also when nobody waits for it any more),
/// FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_resolve_question(
    job: trunkline_job_t,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_buf_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |_| match question(job)? {
        Question::Resolve(known) => Ok(document(&known)),
        Question::Route(_) | Question::Check(_) | Question::Proxy(..) => Err(of_another_kind()),
    })
}

/// Answers a job of kind TRUNKLINE_JOB_RESOLVE with `addresses`, as for trunkline_channel_push_addresses. Whether they can be
/// used is for the channel to see: if not, it says why where trunkline_channel_new_resolved says.
///
/// A job has one answer: a second one, and one that comes too late, are INVALID_HANDLE and harmless.
/// trunkline_job_done answers as well, with the error that it failed with.
///
/// Ownership: none. Blocks: no. Threads: any, also inside callbacks. Errors: INVALID_ARGUMENT (also a job of another
/// kind; an answer is then still owed), INVALID_HANDLE, CLOSED, FORKED. Since 0.1.
///
/// # Safety
///
/// `addresses` is good for `addresses_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_resolve_answer(
    job: trunkline_job_t,
    addresses: *const c_char,
    addresses_len: usize,
) -> trunkline_status_t {
    enter_plain(|| {
        // SAFETY: the caller's promise is the same.
        let said = list_of(unsafe { text(addresses, addresses_len, "addresses")? })?;
        give(job, Verdict::Resolve(said))
    })
}

fn list_of(text: &str) -> Result<Vec<Address>, Failure> {
    let address =
        |one: &str| one.trim().parse().map_err(|error: AddressError| Failure::Core(error.into()));
    match text {
        "" => Ok(Vec::new()),
        _ => text.split(',').map(address).collect(),
    }
}
