//! The memory proxy: serves HTTP on listeners, and passes each request on to a service.
#![allow(unsafe_code, reason = "texts and structs come by pointer")]

use crate::{
    call::{enter, enter_plain, enter_unit},
    completion::{Done, submit, trunkline_completion_t},
    error::{Failure, trunkline_error_t},
    handle::{
        end_and_free, trunkline_listener_t, trunkline_memory_proxy_t, trunkline_op_t,
        trunkline_runtime_t,
    },
    input::{Deadline, Sized_, fill, text},
    job_host::{Registration, trunkline_job_host_t},
    process::Process,
    proxy_hooks::hooks as proxy_hooks,
    queue::TRUNKLINE_EV_DRAINED,
    runtime::Runtime,
    status::*,
    tls::{secured_by, trunkline_connect_options_t},
};
use std::{ffi::c_char, mem::MaybeUninit, sync::Arc};
use trunkline_core::{MemoryProxy, MemoryProxyConfig, ProxyHooks, config::Config};

/// The counts of a memory proxy at one moment: opened - closed = active, in every answer. Start from
/// TRUNKLINE_MEMORY_PROXY_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_memory_proxy_stats_t {
    /// In: sizeof(trunkline_memory_proxy_stats_t). Out: bytes filled.
    pub size: usize,
    /// Connections that stand.
    pub active: u64,
    /// The most that may stand at one time.
    pub limit: u64,
    /// Connections that stood.
    pub opened: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Requests that were answered, by a service or by the proxy itself.
    pub requests: u64,
    /// Those of them that the proxy answered itself.
    pub denied: u64,
    /// Connections that were upgraded to another protocol.
    pub upgraded: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Questions to hooks that have no answer.
    pub hooks_failed: u64,
    /// Bytes that came from clients.
    pub bytes_received: u64,
    /// Bytes that went to clients.
    pub bytes_sent: u64,
}

// SAFETY: plain numbers, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_memory_proxy_stats_t {}

/// What a memory proxy's handle names.
#[derive(Debug)]
pub(crate) struct MemoryProxyObject {
    proxy: MemoryProxy,
    runtime: Arc<Runtime>,
}

impl MemoryProxyObject {
    /// Ends what the proxy runs if it was made on `runtime`.
    pub(crate) fn stop_if_on(&self, runtime: &Runtime) {
        if std::ptr::eq(Arc::as_ptr(&self.runtime), runtime) {
            self.proxy.stop();
        }
    }
}

/// Makes a memory proxy. `json` is a document such as {"routes": [{"path": "/api", "target": "tls://api.internal:443"}]}, or
/// {"routing": "kubernetes"}; empty means the defaults, by which nothing is passed on that a hook does not route. The TLS of
/// the options says who the proxy is to clients of TLS, by its server's side, and whom it trusts at tls:// addresses.
///
/// `host` does the jobs of the hooks that are in `hooks`, TRUNKLINE_HOOK_* added up; NULL and 0 mean none. What a hook answers
/// comes before the document. One that fails, or does not answer within the document's `hook_timeout`, lets nothing through.
///
/// Ownership: the proxy is the caller's, to be freed once with trunkline_memory_proxy_free; copies the struct, whose
/// `user_data` is released once, also after an error. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (names the field),
/// INVALID_HANDLE, VERSION, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
///
/// # Safety
///
/// `json` is good for `json_len` bytes; `opts` is NULL or points to a struct made by its INIT macro; `host` is NULL or points
/// to a struct whose function may be called with its pointer until the release.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_memory_proxy_new(
    rt: trunkline_runtime_t,
    json: *const c_char,
    json_len: usize,
    opts: *const trunkline_connect_options_t,
    host: Option<&trunkline_job_host_t>,
    hooks: u32,
    out: Option<&mut MaybeUninit<trunkline_memory_proxy_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    let registration = host.map(Registration::of);
    enter(out, err, |call| {
        // SAFETY: the caller's promise is the same.
        let json = unsafe { text(json, json_len, "json")? };
        let config = match json {
            "" => MemoryProxyConfig::default(),
            json => MemoryProxyConfig::from_json(json)?,
        };
        let runtime = call.runtime(rt)?;
        let place = call.place(&runtime)?;
        // SAFETY: the caller's promise is the same.
        let network = unsafe { secured_by(call, runtime.network(), opts)? };
        let hooks = match registration {
            Some(given) => proxy_hooks(&given.on(call, &runtime)?, hooks)?,
            None if hooks == 0 => ProxyHooks::default(),
            None => return Err(Failure::argument("host: must be given where hooks are")),
        };
        let proxy = MemoryProxy::with_hooks(network, config, hooks)?;
        Ok(call.register(Arc::new(MemoryProxyObject { proxy, runtime }), place))
    })
}

/// Serves what comes to `listener`, in the background, until that is closed or freed; it is closed when the proxy ends. Any
/// listener will do: that of an agent makes a service of what is behind the agent. Nobody else should accept from it meanwhile.
///
/// Ownership: the listener stays the caller's, to be freed. Blocks: no. Threads: any. Errors: INVALID_HANDLE, CLOSED (once the proxy drains or
/// is closed), FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_memory_proxy_serve(
    proxy: trunkline_memory_proxy_t,
    listener: trunkline_listener_t,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| {
        let object = call.object(proxy)?;
        Ok(object.proxy.serve(call.object(listener)?.listener())?)
    })
}

/// Fills the counts of a memory proxy.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
///
/// # Safety
///
/// `stats` points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_memory_proxy_stats(
    proxy: trunkline_memory_proxy_t,
    stats: *mut trunkline_memory_proxy_stats_t,
) -> trunkline_status_t {
    enter_plain(|| {
        let counted = Process::current().table().get(proxy)?.proxy.stats();
        let value = trunkline_memory_proxy_stats_t {
            size: size_of::<trunkline_memory_proxy_stats_t>(),
            active: counted.active,
            limit: counted.limit,
            opened: counted.opened,
            closed: counted.closed,
            requests: counted.requests,
            denied: counted.denied,
            upgraded: counted.upgraded,
            handshakes_failed: counted.handshakes_failed,
            hooks_failed: counted.hooks_failed,
            bytes_received: counted.bytes_received,
            bytes_sent: counted.bytes_sent,
        };
        // SAFETY: the caller's promise is the same.
        unsafe { fill(stats, &value) }
    })
}

/// Closes the listeners, answers what was asked, and at the deadline cuts the rest; `*cut` says how many.
///
/// With TRUNKLINE_DEADLINE_NONE the configured drain timeout holds; 0 and the past cut at once.
///
/// Ownership: none. Blocks: until the last connection has ended, or the deadline. Threads: any but the library's.
/// Errors: INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (the runtime), WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_memory_proxy_drain(
    proxy: trunkline_memory_proxy_t,
    deadline_ns: i64,
    cut: Option<&mut MaybeUninit<u64>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(cut, err, |call| {
        let object = call.object(proxy)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let drain = async { Ok(object.proxy.drain(deadline).await.cut) };
        call.block_on(&object.runtime, Deadline::Never, drain, Failure::would_block)
    })
}

/// As trunkline_memory_proxy_drain; the result is an event of kind TRUNKLINE_EV_DRAINED with the number of
/// connections that were cut in `value`.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
/// LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; CANCELLED comes with the event: then nothing new is taken, and
/// what stands goes on. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_memory_proxy_drain_async(
    proxy: trunkline_memory_proxy_t,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        let object = call.object(proxy)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let proxy = object.proxy.clone();
        submit(call, &object.runtime, completion, TRUNKLINE_EV_DRAINED, async move {
            let value = proxy.drain(deadline).await.cut;
            Ok(Done { value, ..Done::new(TRUNKLINE_EV_DRAINED) })
        })
    })
}

/// Closes the listeners of a memory proxy and ends its connections: every descriptor is gone on return. Idempotent.
///
/// Ownership: the handle stays the caller's. Blocks: until its tasks have ended, which none makes wait. Threads:
/// any but the library's. Errors: INVALID_HANDLE, WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_memory_proxy_close(
    proxy: trunkline_memory_proxy_t,
) -> trunkline_status_t {
    enter_unit(None, |call| {
        let object = call.object(proxy)?;
        let close = async {
            object.proxy.close().await;
            Ok(())
        };
        match call.block_on(&object.runtime, Deadline::Never, close, Failure::would_block) {
            // With the runtime everything of the proxy has ended.
            Err(failure) if failure.status() == TRUNKLINE_E_CLOSED => Ok(()),
            answer => answer,
        }
    })
}

/// Frees a memory proxy and ends its connections, without waiting.
///
/// Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_memory_proxy_free(
    proxy: trunkline_memory_proxy_t,
) -> trunkline_status_t {
    end_and_free(proxy, |object| object.proxy.stop())
}
