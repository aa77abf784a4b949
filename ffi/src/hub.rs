//! The hub of a tunnel: lets agents in, and opens connections through them.
#![allow(unsafe_code, reason = "texts and structs come by pointer")]

use crate::{
    call::{Call, enter, enter_plain, enter_unit},
    completion::{Done, submit, trunkline_completion_t},
    error::{Failure, trunkline_error_t},
    handle::{
        Handle, end_and_free, trunkline_hub_t, trunkline_op_t, trunkline_runtime_t,
        trunkline_stream_t,
    },
    input::{self, Deadline, Sized_, fill, text, write_text},
    process::Process,
    queue::{TRUNKLINE_EV_CONNECTED, TRUNKLINE_EV_DRAINED},
    runtime::Runtime,
    status::*,
    stream::StreamObject,
    tcp_manager::check_room_for_bound,
    tls::{secured_by, trunkline_connect_options_t},
};
use std::{ffi::c_char, mem::MaybeUninit, sync::Arc};
use trunkline_core::{Address, ConnectionError, Hub, HubConfig, config::Config};

/// The counts of a hub at one moment: opened - closed = active, in every answer. Start from
/// TRUNKLINE_HUB_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_hub_stats_t {
    /// In: sizeof(trunkline_hub_stats_t). Out: bytes filled.
    pub size: usize,
    /// Clusters that have an agent.
    pub clusters: u64,
    /// Links to agents that may get new connections.
    pub links: u64,
    /// Links that stood so far.
    pub links_opened: u64,
    /// Hellos that were turned away.
    pub links_refused: u64,
    /// Links whose place another agent of the cluster has taken.
    pub replaced: u64,
    /// Logical connections that stand.
    pub active: u64,
    /// The most that may stand at one time.
    pub limit: u64,
    /// Logical connections that stood.
    pub opened: u64,
    /// Logical connections that ended.
    pub closed: u64,
    /// Dials that led to none.
    pub refused: u64,
    /// Bytes that came from the agents on logical connections.
    pub bytes_received: u64,
    /// Bytes that went to the agents on logical connections.
    pub bytes_sent: u64,
}

// SAFETY: plain numbers, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_hub_stats_t {}

/// What a hub's handle names.
#[derive(Debug)]
pub(crate) struct HubObject {
    hub: Hub,
    runtime: Arc<Runtime>,
}

impl HubObject {
    /// Ends what the hub runs if it was made on `runtime`.
    pub(crate) fn stop_if_on(&self, runtime: &Runtime) {
        if std::ptr::eq(Arc::as_ptr(&self.runtime), runtime) {
            self.hub.stop();
        }
    }
}

/// Where a connection through a hub leads.
struct Wanted<'a> {
    cluster: &'a str,
    target: Option<Address>,
}

impl<'a> Wanted<'a> {
    /// # Safety
    ///
    /// Both texts are good for their lengths during `'a`.
    unsafe fn of(
        (cluster, cluster_len): (*const c_char, usize),
        (target, target_len): (*const c_char, usize),
    ) -> Result<Self, Failure> {
        // SAFETY: the caller's promises are the same.
        unsafe {
            let cluster = text(cluster, cluster_len, "cluster")?;
            let target = match target_len {
                0 => None,
                _ => Some(input::address(target, target_len)?),
            };
            Ok(Self { cluster, target })
        }
    }
}

/// As trunkline_hub_new_with, with the default options.
///
/// Ownership: the hub is the caller's, to be freed once with trunkline_hub_free. Blocks: no. Threads: any. Errors:
/// as trunkline_hub_new_with. Since 0.1.
///
/// # Safety
///
/// `json` is good for `json_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_hub_new(
    rt: trunkline_runtime_t,
    json: *const c_char,
    json_len: usize,
    out: Option<&mut MaybeUninit<trunkline_hub_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    // SAFETY: the caller's promise is the same; options may be NULL.
    unsafe { trunkline_hub_new_with(rt, json, json_len, std::ptr::null(), out, err) }
}

/// Makes a hub that lets in the agents whose tokens or certificates are in `json`, a document such as
/// {"agents": {"c1": ["token"]}, "agent_certificates": {"c2": ["spiffe://example.org/agents/c2"]}, "max_connections": 100};
/// empty means the defaults, by which nobody is let in. The TLS of the options holds for what it listens on at tls:// addresses.
///
/// Ownership: the hub is the caller's, to be freed once with trunkline_hub_free. Blocks: no. Threads: any. Errors:
/// INVALID_ARGUMENT (names the field), INVALID_HANDLE, VERSION, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
///
/// # Safety
///
/// `json` is good for `json_len` bytes; `opts` is NULL or points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_hub_new_with(
    rt: trunkline_runtime_t,
    json: *const c_char,
    json_len: usize,
    opts: *const trunkline_connect_options_t,
    out: Option<&mut MaybeUninit<trunkline_hub_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        // SAFETY: the caller's promise is the same.
        let json = unsafe { text(json, json_len, "json")? };
        let config = match json {
            "" => HubConfig::default(),
            _ => HubConfig::from_json(json)?,
        };
        let runtime = call.runtime(rt)?;
        let place = call.place(&runtime)?;
        // SAFETY: the caller's promise is the same.
        let network = unsafe { secured_by(call, runtime.network(), opts)? };
        let hub = Hub::new(network, config)?;
        Ok(call.register(Arc::new(HubObject { hub, runtime }), place))
    })
}

/// Lets agents in at `address`, in the background, until the hub is drained, closed or freed.
///
/// The address that is listened on is written to `bound` as text with a NUL; `*bound_len` is without it. With a
/// `cap` of 0 it is not told.
///
/// Ownership: none. Blocks: for the look-up of a host name. Threads: any but the library's. Errors:
/// INVALID_ARGUMENT (also an address at which tokens would cross a network in the clear, a tls:// address without a
/// server's side of TLS, and a `cap` of less than 128 bytes or than `address` with a NUL), INVALID_HANDLE, BIND_FAILED, CLOSED (also once it drains),
/// WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// `address` is good for `address_len` bytes, and `bound` for `cap`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_hub_listen(
    hub: trunkline_hub_t,
    address: *const c_char,
    address_len: usize,
    bound: *mut c_char,
    cap: usize,
    bound_len: Option<&mut MaybeUninit<usize>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(bound_len, err, |call| {
        let object = call.object(hub)?;
        // SAFETY: the caller's promise is the same.
        let address = unsafe { input::address(address, address_len)? };
        let listen = object.hub.listen(&address);
        // SAFETY: the caller's promise is the same.
        unsafe { listen_at(call, &object, &address, listen, (bound, cap)) }
    })
}

/// Forwards every connection to `listen` to `cluster`, and there to `target` (none with a length of 0: the agent
/// decides), in the background, until the hub is drained, closed or freed. Nobody who connects is asked who it is,
/// so a TCP address must be on loopback unless the hub's "allow_public_forwards" is set.
///
/// `bound`, `cap` and `bound_len` are as for trunkline_hub_listen.
///
/// Ownership: none. Blocks: for the look-up of a host name. Threads: any but the library's. Errors: as
/// trunkline_hub_listen. Since 0.1.
///
/// # Safety
///
/// Each text is good for its length, and `bound` for `cap` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_hub_forward(
    hub: trunkline_hub_t,
    listen: *const c_char,
    listen_len: usize,
    cluster: *const c_char,
    cluster_len: usize,
    target: *const c_char,
    target_len: usize,
    bound: *mut c_char,
    cap: usize,
    bound_len: Option<&mut MaybeUninit<usize>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(bound_len, err, |call| {
        let object = call.object(hub)?;
        // SAFETY: the caller's promises are the same.
        let (from, to) = unsafe {
            let to = Wanted::of((cluster, cluster_len), (target, target_len))?;
            (input::address(listen, listen_len)?, to)
        };
        let forward = object.hub.forward(&from, to.cluster, to.target.as_ref());
        // SAFETY: the caller's promise is the same.
        unsafe { listen_at(call, &object, &from, forward, (bound, cap)) }
    })
}

/// Serves users who speak HTTP/1 or HTTP/2 at `address`, in the background, until the hub is drained, closed or freed. Each
/// request goes to the cluster that the document's "http": {"routes": [{"path": "/lab", "cluster": "lab"}, ...]} say, if its
/// "users" or "anonymous" let it. docs/tunnel.md has all of it.
///
/// `bound`, `cap` and `bound_len` are as for trunkline_hub_listen.
///
/// Ownership: none. Blocks: for the look-up of a host name. Threads: any but the library's. Errors: as
/// trunkline_hub_listen; INVALID_ARGUMENT also without routes, and where others than this machine could use what is
/// anonymous. Since 0.1.
///
/// # Safety
///
/// `address` is good for `address_len` bytes, and `bound` for `cap`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_hub_listen_http(
    hub: trunkline_hub_t,
    address: *const c_char,
    address_len: usize,
    bound: *mut c_char,
    cap: usize,
    bound_len: Option<&mut MaybeUninit<usize>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(bound_len, err, |call| {
        let object = call.object(hub)?;
        // SAFETY: the caller's promise is the same.
        let address = unsafe { input::address(address, address_len)? };
        let listen = object.hub.listen_http(&address);
        // SAFETY: the caller's promise is the same.
        unsafe { listen_at(call, &object, &address, listen, (bound, cap)) }
    })
}

/// Serves users who speak SOCKS5 (CONNECT alone) at `address`, in the background, until the hub ends; inside TLS at a tls://
/// address. Who they are is told by a name of the document's "users" with a token as the password, or by a certificate; what
/// the host means that they ask for, by its "socks". `bound`, `cap` and
/// `bound_len` are as for trunkline_hub_listen.
///
/// Ownership: none. Blocks: for the look-up of a host name. Threads: any but the library's. Errors: as
/// trunkline_hub_listen; INVALID_ARGUMENT also where others than this machine could use what is anonymous. Since 0.1.
///
/// # Safety
///
/// `address` is good for `address_len` bytes, and `bound` for `cap`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_hub_listen_socks(
    hub: trunkline_hub_t,
    address: *const c_char,
    address_len: usize,
    bound: *mut c_char,
    cap: usize,
    bound_len: Option<&mut MaybeUninit<usize>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(bound_len, err, |call| {
        let object = call.object(hub)?;
        // SAFETY: the caller's promise is the same.
        let address = unsafe { input::address(address, address_len)? };
        let listen = object.hub.listen_socks(&address);
        // SAFETY: the caller's promise is the same.
        unsafe { listen_at(call, &object, &address, listen, (bound, cap)) }
    })
}

/// Has a hub listen at `address` in one of its ways, and tells where that is.
///
/// # Safety
///
/// `bound` is good for so many bytes.
unsafe fn listen_at(
    call: &Call,
    object: &HubObject,
    address: &Address,
    listen: impl Future<Output = Result<Address, ConnectionError>>,
    (bound, cap): (*mut c_char, usize),
) -> Result<usize, Failure> {
    check_room_for_bound(address, cap)?;
    let listen = async { Ok(listen.await?) };
    let listened = call.block_on(&object.runtime, Deadline::Never, listen, Failure::would_block)?;
    // SAFETY: the caller's promise is the same.
    unsafe { tell_bound(&listened, bound, cap) }
}

/// # Safety
///
/// `bound` is good for `cap` bytes.
unsafe fn tell_bound(address: &Address, bound: *mut c_char, cap: usize) -> Result<usize, Failure> {
    let address = address.to_string();
    if cap == 0 {
        return Ok(address.len());
    }
    // SAFETY: the caller's promise is the same.
    unsafe { write_text(&address, bound, cap) }
}

/// Opens a connection to `cluster`, and there to `target` (none with a length of 0: the agent decides). It stands once the
/// agent has accepted it.
///
/// With TRUNKLINE_DEADLINE_NONE the configured "dial_timeout" holds.
///
/// Ownership: the stream is the caller's, to be freed once with trunkline_stream_free. Blocks: until the
/// deadline. Threads: any but the library's. Errors: INVALID_ARGUMENT (also a target that the agent does not allow),
/// INVALID_HANDLE, LIMIT_EXCEEDED (at once), CONNECTION_FAILED (no agent, nobody listens, target not
/// reached), TIMEOUT, CLOSED (also once it drains), WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// Both texts are good for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_hub_dial(
    hub: trunkline_hub_t,
    cluster: *const c_char,
    cluster_len: usize,
    target: *const c_char,
    target_len: usize,
    deadline_ns: i64,
    out: Option<&mut MaybeUninit<trunkline_stream_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        let object = call.object(hub)?;
        // SAFETY: the caller's promises are the same.
        let to = unsafe { Wanted::of((cluster, cluster_len), (target, target_len))? };
        call.check_may_block()?;
        let place = call.place(&object.runtime)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let dial = async { Ok(object.hub.dial(to.cluster, to.target.as_ref(), deadline).await?) };
        let stream = call.block_on(&object.runtime, Deadline::Never, dial, Failure::would_block)?;
        Ok(StreamObject::register(&object.runtime, stream, place))
    })
}

/// As trunkline_hub_dial; the result is an event of kind TRUNKLINE_EV_CONNECTED with the stream in `handle`.
///
/// Ownership: the stream in the event is the receiver's. Blocks: no. Threads: any. Errors: of the submit
/// INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED (handles, the queue), CLOSED (the runtime), FORKED; the others
/// come with the event, also CANCELLED. Since 0.1.
///
/// # Safety
///
/// Both texts are good for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_hub_dial_async(
    hub: trunkline_hub_t,
    cluster: *const c_char,
    cluster_len: usize,
    target: *const c_char,
    target_len: usize,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        let object = call.object(hub)?;
        // SAFETY: the caller's promises are the same.
        let to = unsafe { Wanted::of((cluster, cluster_len), (target, target_len))? };
        let (cluster, target) = (to.cluster.to_owned(), to.target);
        let place = call.place(&object.runtime)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let hub = object.hub.clone();
        let owner = Arc::downgrade(&object.runtime);
        submit(call, &object.runtime, completion, TRUNKLINE_EV_CONNECTED, async move {
            let stream = hub.dial(&cluster, target.as_ref(), deadline).await?;
            let runtime = owner.upgrade().ok_or_else(|| Failure::closed("the runtime"))?;
            let handle = StreamObject::register(&runtime, stream, place).raw();
            Ok(Done { handle, ..Done::new(TRUNKLINE_EV_CONNECTED) })
        })
    })
}

/// Fills the counts of a hub.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
///
/// # Safety
///
/// `stats` points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_hub_stats(
    hub: trunkline_hub_t,
    stats: *mut trunkline_hub_stats_t,
) -> trunkline_status_t {
    enter_plain(|| {
        let counted = Process::current().table().get(hub)?.hub.stats();
        let value = trunkline_hub_stats_t {
            size: size_of::<trunkline_hub_stats_t>(),
            clusters: counted.clusters,
            links: counted.links,
            links_opened: counted.links_opened,
            links_refused: counted.links_refused,
            replaced: counted.replaced,
            active: counted.active,
            limit: counted.limit,
            opened: counted.opened,
            closed: counted.closed,
            refused: counted.refused,
            bytes_received: counted.bytes_received,
            bytes_sent: counted.bytes_sent,
        };
        // SAFETY: the caller's promise is the same.
        unsafe { fill(stats, &value) }
    })
}

/// Lets no agent and no connection in any more, waits until every connection has ended, and at the deadline cuts the
/// rest; `*cut` says how many. Then the tunnels end.
///
/// With TRUNKLINE_DEADLINE_NONE the configured drain timeout holds; 0 and the past cut at once.
///
/// Ownership: none. Blocks: until the last connection has ended, or the deadline. Threads: any but the library's.
/// Errors: INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (the runtime), WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_hub_drain(
    hub: trunkline_hub_t,
    deadline_ns: i64,
    cut: Option<&mut MaybeUninit<u64>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(cut, err, |call| {
        let object = call.object(hub)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let drain = async { Ok(object.hub.drain(deadline).await.cut) };
        call.block_on(&object.runtime, Deadline::Never, drain, Failure::would_block)
    })
}

/// As trunkline_hub_drain; the result is an event of kind TRUNKLINE_EV_DRAINED with the number of connections that
/// were cut in `value`.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
/// LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; CANCELLED comes with the event: then nobody is let in, and
/// what stands goes on. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_hub_drain_async(
    hub: trunkline_hub_t,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        let object = call.object(hub)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let hub = object.hub.clone();
        submit(call, &object.runtime, completion, TRUNKLINE_EV_DRAINED, async move {
            let value = hub.drain(deadline).await.cut;
            Ok(Done { value, ..Done::new(TRUNKLINE_EV_DRAINED) })
        })
    })
}

/// Ends every listener, tunnel and connection of a hub, those that it gave away included: every descriptor is gone on
/// return. Idempotent.
///
/// Ownership: the handle stays the caller's. Blocks: until its tasks have ended, which none makes wait. Threads:
/// any but the library's. Errors: INVALID_HANDLE, WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_hub_close(hub: trunkline_hub_t) -> trunkline_status_t {
    enter_unit(None, |call| {
        let object = call.object(hub)?;
        let close = async {
            object.hub.close().await;
            Ok(())
        };
        match call.block_on(&object.runtime, Deadline::Never, close, Failure::would_block) {
            // With the runtime everything of the hub has ended.
            Err(failure) if failure.status() == TRUNKLINE_E_CLOSED => Ok(()),
            answer => answer,
        }
    })
}

/// Frees a hub and ends its tunnels and forwards, without waiting; streams that it gave away are reset with them.
///
/// Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_hub_free(hub: trunkline_hub_t) -> trunkline_status_t {
    end_and_free(hub, |object| object.hub.stop())
}
