//! Channels to gRPC servers: states, and calls of one message each way. Calls with streams are in `call`.
#![allow(unsafe_code, reason = "texts, bytes and options come by pointer")]

mod call;
mod history;
mod inspect;
mod interceptor;
mod many;
mod reply;
mod resolver;

pub use call::*;
pub use history::*;
pub use inspect::*;
pub use interceptor::*;
pub use many::*;
pub use reply::*;
pub use resolver::*;

use crate::{
    call::{Call, enter, enter_plain, enter_unit},
    completion::{Done, submit, submit_made, trunkline_completion_t},
    error::{Failure, trunkline_error_t},
    handle::{end_and_free, trunkline_channel_t, trunkline_op_t, trunkline_runtime_t},
    input::{self, Deadline, text},
    process::Process,
    queue::{TRUNKLINE_EV_DONE, TRUNKLINE_EV_REPLY, TRUNKLINE_EV_STATE},
    runtime::Runtime,
    status::*,
    tls::{tls_of, trunkline_connect_options_t},
};
use bytes::Bytes;
use std::{ffi::c_char, mem::MaybeUninit, pin::Pin, sync::Arc};
use trunkline_core::{CallOptions, Channel, ConnectionConfig, ConnectivityState, config::Config};

/// There is no connection, and nobody asked for one.
pub const TRUNKLINE_CHANNEL_IDLE: i32 = 0;
/// A connection is being made.
pub const TRUNKLINE_CHANNEL_CONNECTING: i32 = 1;
/// Calls can be sent.
pub const TRUNKLINE_CHANNEL_READY: i32 = 2;
/// The last attempt failed; the next one waits for its time.
pub const TRUNKLINE_CHANNEL_TRANSIENT_FAILURE: i32 = 3;
/// It was closed, for good.
pub const TRUNKLINE_CHANNEL_SHUTDOWN: i32 = 4;

const _: () = {
    assert!(TRUNKLINE_CHANNEL_IDLE == ConnectivityState::Idle as i32);
    assert!(TRUNKLINE_CHANNEL_CONNECTING == ConnectivityState::Connecting as i32);
    assert!(TRUNKLINE_CHANNEL_READY == ConnectivityState::Ready as i32);
    assert!(TRUNKLINE_CHANNEL_TRANSIENT_FAILURE == ConnectivityState::TransientFailure as i32);
    assert!(TRUNKLINE_CHANNEL_SHUTDOWN == ConnectivityState::Shutdown as i32);
};

/// What a channel's handle names.
#[derive(Debug)]
pub(crate) struct ChannelObject {
    channel: Channel,
    runtime: Arc<Runtime>,
}

impl ChannelObject {
    /// Ends everything if it was made on `runtime`.
    pub(crate) fn stop_if_on(&self, runtime: &Runtime) {
        if std::ptr::eq(Arc::as_ptr(&self.runtime), runtime) {
            self.channel.stop();
        }
    }

    /// Waits for `work`, which keeps its own deadline.
    fn wait<T>(
        &self,
        call: &Call,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        call.block_on(&self.runtime, Deadline::Never, work, Failure::would_block)
    }
}

/// As trunkline_channel_new_with, with the default options.
///
/// Ownership: the channel is the caller's, to be freed once with trunkline_channel_free. Blocks: no. Threads: any.
/// Errors: as trunkline_channel_new_with. Since 0.1.
///
/// # Safety
///
/// `target` is good for `target_len` bytes and `json` for `json_len`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_channel_new(
    rt: trunkline_runtime_t,
    target: *const c_char,
    target_len: usize,
    json: *const c_char,
    json_len: usize,
    out: Option<&mut MaybeUninit<trunkline_channel_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    let opts = std::ptr::null();
    // SAFETY: the caller's promises are the same; options may be NULL.
    unsafe { trunkline_channel_new_with(rt, target, target_len, json, json_len, opts, out, err) }
}

/// Makes a channel; nothing is connected yet. `target` is such as "dns:api.internal:443", "ipv4:10.0.0.1:80,10.0.0.2:80",
/// "unix:/run/app.sock", "mem:app", "file:/etc/app/servers" with an address in each line, or a list such as "tcp://a:1,mem:b". `json` is a document as for
/// trunkline_config_from_json, such as {"preset": "development"}; empty means the defaults.
///
/// With a TLS in the options every connection is secured by it: the server must agree to speak HTTP/2 (ALPN h2), and its
/// certificate must be for the configuration's server_name, else for the name that was looked up or the host that the
/// target names ("localhost" behind unix: and mem:). Without one, only a target of tls:// addresses, such as
/// "tls://a:443,tls://b:443", is secured, by whom the system trusts.
///
/// Ownership: the channel is the caller's, to be freed once with trunkline_channel_free. Blocks: no. Threads: any.
/// Errors: INVALID_ARGUMENT (names the field), INVALID_HANDLE, VERSION, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
///
/// # Safety
///
/// `target` is good for `target_len` bytes and `json` for `json_len`; `opts` is NULL or points to a struct made by its
/// INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_channel_new_with(
    rt: trunkline_runtime_t,
    target: *const c_char,
    target_len: usize,
    json: *const c_char,
    json_len: usize,
    opts: *const trunkline_connect_options_t,
    out: Option<&mut MaybeUninit<trunkline_channel_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        // SAFETY: the caller's promises are the same.
        let (target, json) =
            unsafe { (text(target, target_len, "target")?, text(json, json_len, "json")?) };
        let config = match json {
            "" => ConnectionConfig::default(),
            _ => ConnectionConfig::from_json(json)?,
        };
        let runtime = call.runtime(rt)?;
        let place = call.place(&runtime)?;
        // SAFETY: as above.
        let channel = match unsafe { tls_of(call, opts)? } {
            None => Channel::new(runtime.network(), target, config)?,
            Some(tls) => Channel::secured(runtime.network(), target, config, &tls)?,
        };
        Ok(call.register(Arc::new(ChannelObject { channel, runtime }), place))
    })
}

/// Begins to connect, if nothing stands or is under way. Calls do so by themselves.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_channel_connect(channel: trunkline_channel_t) -> trunkline_status_t {
    enter_plain(|| {
        Process::current().table().get(channel)?.channel.connect();
        Ok(())
    })
}

/// Forgets failures and tries at once what would have waited: the host knows that the network is back.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_channel_reset_connect_backoff(
    channel: trunkline_channel_t,
) -> trunkline_status_t {
    enter_plain(|| {
        Process::current().table().get(channel)?.channel.reset_connect_backoff();
        Ok(())
    })
}

/// The state now, one of TRUNKLINE_CHANNEL_*. With `try_to_connect` other than 0 an idle channel begins to connect.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_channel_state(
    channel: trunkline_channel_t,
    try_to_connect: i32,
    state: Option<&mut MaybeUninit<i32>>,
) -> trunkline_status_t {
    enter(state, None, |call| Ok(call.object(channel)?.channel.state(try_to_connect != 0).code()))
}

fn state_of(code: i32) -> Result<ConnectivityState, Failure> {
    ConnectivityState::from_code(code)
        .ok_or_else(|| Failure::argument("last_seen: is none of TRUNKLINE_CHANNEL_*"))
}

/// Waits until the state is another than `last_seen`, and says which. States that were left again meanwhile are not
/// seen.
///
/// Ownership: none. Blocks: until the deadline. Threads: any but the library's. Errors: INVALID_ARGUMENT,
/// INVALID_HANDLE, TIMEOUT, CLOSED (the runtime), WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_channel_wait_for_state_change(
    channel: trunkline_channel_t,
    last_seen: i32,
    deadline_ns: i64,
    state: Option<&mut MaybeUninit<i32>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(state, err, |call| {
        let object = call.object(channel)?;
        let (seen, deadline) = (state_of(last_seen)?, Deadline::from_ns(deadline_ns).instant());
        let wait = async { Ok(object.channel.wait_for_state_change(seen, deadline).await?.code()) };
        object.wait(call, wait)
    })
}

/// As trunkline_channel_wait_for_state_change; the result is an event of kind TRUNKLINE_EV_STATE with the state in
/// `value`.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
/// LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; the others come with the event, also CANCELLED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_channel_wait_for_state_change_async(
    channel: trunkline_channel_t,
    last_seen: i32,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        let object = call.object(channel)?;
        let (seen, deadline) = (state_of(last_seen)?, Deadline::from_ns(deadline_ns).instant());
        let runtime = Arc::clone(&object.runtime);
        submit(call, &runtime, completion, TRUNKLINE_EV_STATE, async move {
            let state = object.channel.wait_for_state_change(seen, deadline).await?;
            Ok(Done { value: state.code() as u64, ..Done::new(TRUNKLINE_EV_STATE) })
        })
    })
}

/// Connects, and waits until calls can be sent. At the deadline the error's cause says for each address why it does
/// not work and when it is tried again.
///
/// Ownership: none. Blocks: until the deadline. Threads: any but the library's. Errors: INVALID_HANDLE, TIMEOUT,
/// CLOSED, WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_channel_wait_ready(
    channel: trunkline_channel_t,
    deadline_ns: i64,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| {
        let object = call.object(channel)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        object.wait(call, async { Ok(object.channel.wait_ready(deadline).await?) })
    })
}

/// As trunkline_channel_wait_ready; the result is an event of kind TRUNKLINE_EV_DONE.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
/// LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; the others come with the event, also CANCELLED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_channel_wait_ready_async(
    channel: trunkline_channel_t,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        let object = call.object(channel)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let runtime = Arc::clone(&object.runtime);
        submit(call, &runtime, completion, TRUNKLINE_EV_DONE, async move {
            object.channel.wait_ready(deadline).await?;
            Ok(Done::new(TRUNKLINE_EV_DONE))
        })
    })
}

/// Calls `method`, such as "/package.Service/Method", with one message and waits for one. `options` may be NULL.
///
/// The deadline of the call, all its attempts included, is in the options. A status of gRPC that is not OK is the
/// status RPC here, with trunkline_error_rpc_code and trunkline_error_metadata.
///
/// Ownership: the reply is the caller's, to be freed with trunkline_reply_free; the request is copied. Blocks: until
/// the deadline of the call. Threads: any but the library's. Errors: RPC, INVALID_ARGUMENT, INVALID_HANDLE, CLOSED,
/// VERSION, WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// `method` is good for `method_len` bytes, `request` for `request_len`, and `options` as its fields say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_channel_call(
    channel: trunkline_channel_t,
    method: *const c_char,
    method_len: usize,
    request: *const u8,
    request_len: usize,
    options: *const trunkline_call_options_t,
    reply: Option<&mut MaybeUninit<Option<Box<trunkline_reply_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(reply, err, |call| {
        let object = call.object(channel)?;
        // SAFETY: the caller's promises are the same.
        let (method, request, options) = unsafe {
            (text(method, method_len, "method")?, message(request, request_len)?, terms(options)?)
        };
        object.wait(call, async {
            let reply = object.channel.unary(method, request, options).await?;
            Ok(Some(Box::new(reply.into())))
        })
    })
}

/// As trunkline_channel_call; the result is an event of kind TRUNKLINE_EV_REPLY with the trunkline_reply_t in
/// `object`.
///
/// Ownership: the reply in the event is the receiver's; the request is copied. Blocks: no. Threads: any. Errors: of
/// the submit INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED (the runtime), VERSION, FORKED; the others
/// come with the event, also CANCELLED. Since 0.1.
///
/// # Safety
///
/// `method` is good for `method_len` bytes, `request` for `request_len`, and `options` as its fields say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_channel_call_async(
    channel: trunkline_channel_t,
    method: *const c_char,
    method_len: usize,
    request: *const u8,
    request_len: usize,
    options: *const trunkline_call_options_t,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        let object = call.object(channel)?;
        // SAFETY: the caller's promises are the same.
        let (method, request, options) = unsafe {
            let method = text(method, method_len, "method")?.to_owned();
            (method, message(request, request_len)?, terms(options)?)
        };
        let runtime = Arc::clone(&object.runtime);
        let begin = move || unary(object, method, request, options);
        submit_made(call, &runtime, completion, TRUNKLINE_EV_REPLY, begin)
    })
}

/// Boxed where it is made, because each step between here and its task would move it, and hold it twice.
fn unary(
    object: Arc<ChannelObject>,
    method: String,
    request: Bytes,
    options: CallOptions,
) -> Pin<Box<dyn Future<Output = Result<Done, Failure>> + Send>> {
    Box::pin(async move {
        let reply = object.channel.unary(&method, request, options).await?;
        Ok(Done { object: Some(Box::new(reply.into())), ..Done::new(TRUNKLINE_EV_REPLY) })
    })
}

/// # Safety
///
/// As for [`input::bytes`].
unsafe fn message(ptr: *const u8, len: usize) -> Result<Bytes, Failure> {
    // SAFETY: the caller's promise is the same.
    Ok(Bytes::copy_from_slice(unsafe { input::bytes(ptr, len, "request")? }))
}

/// Takes no new calls, lets those under way finish until the deadline, ends the rest, and returns when every
/// descriptor is gone. A deadline of 0 and the past end them at once. Idempotent.
///
/// Ownership: the handle stays the caller's. Blocks: until the deadline. Threads: any but the library's. Errors:
/// INVALID_HANDLE, WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_channel_close(
    channel: trunkline_channel_t,
    deadline_ns: i64,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| {
        let object = call.object(channel)?;
        let close = async {
            object.channel.close(grace(deadline_ns)).await;
            Ok(())
        };
        match object.wait(call, close) {
            // With the runtime everything of the channel has ended.
            Err(failure) if failure.status() == TRUNKLINE_E_CLOSED => Ok(()),
            answer => answer,
        }
    })
}

/// As trunkline_channel_close; the result is an event of kind TRUNKLINE_EV_DONE.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
/// LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; CANCELLED comes with the event: then no new calls are taken, and
/// those under way go on. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_channel_close_async(
    channel: trunkline_channel_t,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        let object = call.object(channel)?;
        let runtime = Arc::clone(&object.runtime);
        submit(call, &runtime, completion, TRUNKLINE_EV_DONE, async move {
            object.channel.close(grace(deadline_ns)).await;
            Ok(Done::new(TRUNKLINE_EV_DONE))
        })
    })
}

/// Without a deadline, calls have as long as they take: a year.
fn grace(deadline_ns: i64) -> Option<std::time::Instant> {
    const LONG: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 3600);
    match Deadline::from_ns(deadline_ns) {
        Deadline::Never => Some(input::now() + LONG),
        Deadline::Now | Deadline::Past | Deadline::At(_) => {
            Deadline::from_ns(deadline_ns).instant()
        }
    }
}

/// Frees a channel. Calls under way finish, and then its connections close.
///
/// Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_channel_free(channel: trunkline_channel_t) -> trunkline_status_t {
    end_and_free(channel, |_| {})
}
