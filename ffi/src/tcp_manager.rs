//! The TCP manager: dials, listens and relays under one limit, counts, drains.
#![allow(unsafe_code, reason = "texts and structs come by pointer")]

use crate::{
    buf::trunkline_buf_t,
    call::{Call, enter, enter_plain, enter_unit},
    completion::{Done, submit, trunkline_completion_t},
    error::{Failure, trunkline_error_t},
    handle::{
        Handle, end_and_free, trunkline_listener_t, trunkline_op_t, trunkline_runtime_t,
        trunkline_stream_t, trunkline_tcp_manager_t,
    },
    input::{self, Deadline, Sized_, fill, text, write_text},
    listener::ListenerObject,
    output::ns,
    process::Process,
    queue::{TRUNKLINE_EV_CONNECTED, TRUNKLINE_EV_DRAINED},
    runtime::Runtime,
    status::*,
    stream::StreamObject,
    tls::{secured_by, trunkline_connect_options_t},
};
use serde_json::json;
use std::{ffi::c_char, mem::MaybeUninit, sync::Arc};
use trunkline_core::{
    Address, CloseReason, ConnectionError, LiveTcpConnection, TcpManagerConfig, config::Config,
    manager::TcpConnectionManager,
};

/// The counts of a TCP manager at one moment: opened - closed = active, in every answer. Start from
/// TRUNKLINE_TCP_MANAGER_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_tcp_manager_stats_t {
    /// In: sizeof(trunkline_tcp_manager_stats_t). Out: bytes filled.
    pub size: usize,
    /// Connections that stand.
    pub active: u64,
    /// The most that may stand at one time.
    pub limit: u64,
    /// Connections that stood: accepted + dialled.
    pub opened: u64,
    /// Connections that ended, for any of the reasons below.
    pub closed: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that were dialled; those to the destination of a relay are not counted.
    pub dialled: u64,
    /// Bytes that came from the peers of these connections.
    pub bytes_received: u64,
    /// Bytes that went to the peers of these connections.
    pub bytes_sent: u64,
    /// Times that accepting paused because there were no files or no memory left.
    pub accept_pauses: u64,
    /// Ended in order on both sides.
    pub closed_finished: u64,
    /// Closed by this program.
    pub closed_local: u64,
    /// Reset by a peer, or lost.
    pub closed_reset: u64,
    /// Silent for the idle timeout.
    pub closed_idle_timeout: u64,
    /// Silent for the half-close timeout after one side had ended.
    pub closed_half_close_timeout: u64,
    /// The destination of the relay was not reached.
    pub closed_connect_failed: u64,
    /// Cut by a drain, at its deadline or while they waited for a place of their backend.
    pub closed_drained: u64,
    /// Their owner or their task was gone.
    pub closed_cancelled: u64,
    /// Made room for another one.
    pub closed_evicted: u64,
    /// Turned away before they reached a backend: no route, or no good PROXY header.
    pub closed_refused: u64,
    /// Bytes that relays let the kernel move without copying, both ways together.
    pub bytes_spliced: u64,
    /// Ended by their number, by this program.
    pub closed_killed: u64,
    /// Cut at the maximum duration.
    pub closed_max_duration: u64,
    /// Connections that stand and wait in line for a place of their backend.
    pub waiting: u64,
    /// Their source had as many connections as it may have, or there was no room to count one more source.
    pub closed_source_limit: u64,
    /// Their backend had as many connections as it may have, and no room in its line.
    pub closed_backend_full: u64,
    /// They had waited for a place of their backend for as long as they may.
    pub closed_queue_timeout: u64,
}

// SAFETY: plain numbers, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_tcp_manager_stats_t {}

/// What a manager's handle names.
#[derive(Debug)]
pub(crate) struct TcpManagerObject {
    manager: TcpConnectionManager,
    runtime: Arc<Runtime>,
}

impl TcpManagerObject {
    pub(crate) fn manager(&self) -> &TcpConnectionManager {
        &self.manager
    }

    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// Ends what the manager runs if it was made on `runtime`.
    pub(crate) fn stop_if_on(&self, runtime: &Runtime) {
        if std::ptr::eq(Arc::as_ptr(&self.runtime), runtime) {
            self.manager.stop();
        }
    }

    /// Waits for `work` of the manager, as long as it takes.
    fn wait<T>(
        &self,
        call: &Call,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        call.block_on(&self.runtime, Deadline::Never, work, Failure::would_block)
    }
}

/// As trunkline_tcp_manager_new_with, with the default options.
///
/// It may also say where to listen and where connections go, for trunkline_tcp_manager_start: {"listeners": {"web":
/// {"address": "tcp://0.0.0.0:443"}}, "routes": [{"host": "*.a.example", "backend": "a"}], "default_backend": "b",
/// "backends": {"a": {"endpoints": [{"address": "tcp://10.0.0.1:443"}]}, "b": ...}}. docs/managers.md has all of it.
///
/// Ownership: the manager is the caller's, to be freed once with trunkline_tcp_manager_free. Blocks: no. Threads:
/// any. Errors: as trunkline_tcp_manager_new_with. Since 0.1.
///
/// # Safety
///
/// `json` is good for `json_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_tcp_manager_new(
    rt: trunkline_runtime_t,
    json: *const c_char,
    json_len: usize,
    out: Option<&mut MaybeUninit<trunkline_tcp_manager_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    // SAFETY: the caller's promise is the same; options may be NULL.
    unsafe { trunkline_tcp_manager_new_with(rt, json, json_len, std::ptr::null(), out, err) }
}

/// Makes a TCP manager. `json` is a document such as {"max_connections": 100, "idle_timeout": "10m",
/// "tcp": {"connect_timeout": "2s"}}; empty means the defaults: 1024 connections, 1 h idle, 60 s half-closed. The options
/// hold for all that it connects to, listens on and relays.
///
/// Ownership: the manager is the caller's, to be freed once with trunkline_tcp_manager_free. Blocks: no. Threads:
/// any. Errors: INVALID_ARGUMENT (names the field), INVALID_HANDLE, VERSION, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
///
/// # Safety
///
/// `json` is good for `json_len` bytes; `opts` is NULL or points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_tcp_manager_new_with(
    rt: trunkline_runtime_t,
    json: *const c_char,
    json_len: usize,
    opts: *const trunkline_connect_options_t,
    out: Option<&mut MaybeUninit<trunkline_tcp_manager_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        // SAFETY: the caller's promise is the same.
        let config = configured(unsafe { text(json, json_len, "json")? })?;
        let runtime = call.runtime(rt)?;
        let place = call.place(&runtime)?;
        // SAFETY: as above.
        let network = unsafe { secured_by(call, runtime.network(), opts)? };
        let manager = TcpConnectionManager::new(network, config)?;
        Ok(call.register(Arc::new(TcpManagerObject { manager, runtime }), place))
    })
}

/// Connects as trunkline_connect does, under the manager's limit: the stream is counted until it is closed.
///
/// With TRUNKLINE_DEADLINE_NONE the configured connect timeout holds.
///
/// Ownership: the stream is the caller's, to be freed once with trunkline_stream_free. Blocks: until the
/// deadline. Threads: any but the library's. Errors: INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED (at once),
/// CONNECTION_FAILED, TIMEOUT, CLOSED (also once it drains), WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// `address` is good for `address_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_tcp_manager_connect(
    manager: trunkline_tcp_manager_t,
    address: *const c_char,
    address_len: usize,
    deadline_ns: i64,
    out: Option<&mut MaybeUninit<trunkline_stream_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        let object = call.object(manager)?;
        // SAFETY: the caller's promise is the same.
        let address = unsafe { input::address(address, address_len)? };
        call.check_may_block()?;
        let place = call.place(&object.runtime)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let connect = async { Ok(object.manager.connect(&address, deadline).await?) };
        let stream = object.wait(call, connect)?;
        Ok(StreamObject::register(&object.runtime, stream, place))
    })
}

/// As trunkline_tcp_manager_connect; the result is an event of kind TRUNKLINE_EV_CONNECTED with the stream in
/// `handle`.
///
/// Ownership: the stream in the event is the receiver's. Blocks: no. Threads: any. Errors: of the submit
/// INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED (handles, the queue), CLOSED (the runtime), FORKED; the others
/// come with the event, also CANCELLED. Since 0.1.
///
/// # Safety
///
/// `address` is good for `address_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_tcp_manager_connect_async(
    manager: trunkline_tcp_manager_t,
    address: *const c_char,
    address_len: usize,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        let object = call.object(manager)?;
        // SAFETY: the caller's promise is the same.
        let address = unsafe { input::address(address, address_len)? };
        let place = call.place(&object.runtime)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let manager = object.manager.clone();
        let owner = Arc::downgrade(&object.runtime);
        submit(call, &object.runtime, completion, TRUNKLINE_EV_CONNECTED, async move {
            let stream = manager.connect(&address, deadline).await?;
            let runtime = owner.upgrade().ok_or_else(|| Failure::closed("the runtime"))?;
            let handle = StreamObject::register(&runtime, stream, place).raw();
            Ok(Done { handle, ..Done::new(TRUNKLINE_EV_CONNECTED) })
        })
    })
}

/// Listens as trunkline_listen does, under the manager's limit: what is accepted is counted until it is closed,
/// and while the limit is reached connections wait in the backlog.
///
/// Ownership: the listener is the caller's, to be freed once with trunkline_listener_free. Blocks: for the
/// look-up of a host name. Threads: any but the library's. Errors: INVALID_ARGUMENT, INVALID_HANDLE, BIND_FAILED,
/// LIMIT_EXCEEDED, CLOSED (also once it drains), WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// `address` is good for `address_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_tcp_manager_listen(
    manager: trunkline_tcp_manager_t,
    address: *const c_char,
    address_len: usize,
    out: Option<&mut MaybeUninit<trunkline_listener_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        let object = call.object(manager)?;
        // SAFETY: the caller's promise is the same.
        let address = unsafe { input::address(address, address_len)? };
        call.check_may_block()?;
        let place = call.place(&object.runtime)?;
        let listener = object.wait(call, async { Ok(object.manager.listen(&address).await?) })?;
        Ok(ListenerObject::register(&object.runtime, listener, place))
    })
}

/// Listens on `listen` and relays every connection to `destination`, in the background, until the manager is
/// drained, closed or freed. One relayed connection counts once against the limit.
///
/// The address that is listened on is written to `bound` as text with a NUL; `*bound_len` is without it. With a
/// `cap` of 0 it is not told.
///
/// Ownership: none. Blocks: for the look-up of a host name. Threads: any but the library's. Errors:
/// INVALID_ARGUMENT (also a destination that leads back, and a `cap` of less than 128 bytes or than
/// `listen` with a NUL), INVALID_HANDLE, BIND_FAILED, CLOSED (also once it drains), WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// `listen` is good for `listen_len` bytes, `destination` for `destination_len` and `bound` for `cap`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_tcp_manager_relay(
    manager: trunkline_tcp_manager_t,
    listen: *const c_char,
    listen_len: usize,
    destination: *const c_char,
    destination_len: usize,
    bound: *mut c_char,
    cap: usize,
    bound_len: Option<&mut MaybeUninit<usize>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(bound_len, err, |call| {
        let object = call.object(manager)?;
        // SAFETY: the caller's promises are the same.
        let (from, to) = unsafe {
            (input::address(listen, listen_len)?, input::address(destination, destination_len)?)
        };
        check_room_for_bound(&from, cap)?;
        call.check_may_block()?;
        let relay = async { Ok(object.manager.relay(&from, to).await?) };
        let address = object.wait(call, relay)?.to_string();
        if cap == 0 {
            return Ok(address.len());
        }
        // SAFETY: the caller's promise is the same.
        unsafe { write_text(&address, bound, cap) }
    })
}

/// Listens where the document says, and passes every connection on to the backend that its routes say, in the
/// background, until the manager is drained, closed or freed. Either all listeners start or none.
///
/// `*bound` is one JSON object with the address of each listener by its name, such as {"web": "tcp://0.0.0.0:443"}.
///
/// Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: for the look-up of host names.
/// Threads: any but the library's. Errors: INVALID_ARGUMENT (also when it was started before, and for an endpoint
/// that leads back), INVALID_HANDLE, BIND_FAILED, CLOSED (also once it drains), WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tcp_manager_start(
    manager: trunkline_tcp_manager_t,
    bound: Option<&mut MaybeUninit<Option<Box<trunkline_buf_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(bound, err, |call| {
        let object = call.object(manager)?;
        call.check_may_block()?;
        let bound = object.wait(call, async { Ok(object.manager.start().await?) })?;
        let json = serde_json::to_vec(&bound).expect("texts always serialise");
        Ok(Some(Box::new(trunkline_buf_t::owned(json))))
    })
}

/// Writes the address of a listener of the document as text with a NUL; `*len` is without it.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (also a `cap` that is too small),
/// INVALID_HANDLE, NOT_FOUND (also before it is started), FORKED. Since 0.1.
///
/// # Safety
///
/// `name` is good for `name_len` bytes and `out` for `cap`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_tcp_manager_listener_address(
    manager: trunkline_tcp_manager_t,
    name: *const c_char,
    name_len: usize,
    out: *mut c_char,
    cap: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> trunkline_status_t {
    enter(len, None, |call| {
        let object = call.object(manager)?;
        // SAFETY: the caller's promise is the same.
        let name = unsafe { text(name, name_len, "name")? };
        let address = object.manager.listener_address(name).ok_or_else(|| {
            Failure::new(TRUNKLINE_E_NOT_FOUND, format!("there is no started listener {name:?}"))
        })?;
        // SAFETY: the caller's promise is the same.
        unsafe { write_text(&address.to_string(), out, cap) }
    })
}

/// Said before anything listens: a relay that could not tell its address would go on unseen.
pub(crate) fn check_room_for_bound(listen: &Address, cap: usize) -> Result<(), Failure> {
    /// An IPv6 address with scope and port, and more; other kinds are told as they were given.
    const LONGEST_SOCKET: usize = 127;
    let longest = listen.to_string().len().max(LONGEST_SOCKET);
    if cap == 0 || cap > longest {
        return Ok(());
    }
    Err(Failure::argument(format!("cap: must be 0 or at least {}, is {cap}", longest + 1)))
}

/// Fills the counts of a manager.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
///
/// # Safety
///
/// `stats` points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_tcp_manager_stats(
    manager: trunkline_tcp_manager_t,
    stats: *mut trunkline_tcp_manager_stats_t,
) -> trunkline_status_t {
    enter_plain(|| {
        let value = counted(&Process::current().table().get(manager)?.manager);
        // SAFETY: the caller's promise is the same.
        unsafe { fill(stats, &value) }
    })
}

fn counted(manager: &TcpConnectionManager) -> trunkline_tcp_manager_stats_t {
    let counted = manager.stats();
    trunkline_tcp_manager_stats_t {
        size: size_of::<trunkline_tcp_manager_stats_t>(),
        active: counted.active,
        limit: counted.limit,
        opened: counted.opened,
        closed: counted.closed(),
        accepted: counted.accepted,
        dialled: counted.dialled,
        bytes_received: counted.bytes_received,
        bytes_sent: counted.bytes_sent,
        accept_pauses: counted.accept_pauses,
        closed_finished: counted.closed_because(CloseReason::Finished),
        closed_local: counted.closed_because(CloseReason::Local),
        closed_reset: counted.closed_because(CloseReason::Reset),
        closed_idle_timeout: counted.closed_because(CloseReason::IdleTimeout),
        closed_half_close_timeout: counted.closed_because(CloseReason::HalfCloseTimeout),
        closed_connect_failed: counted.closed_because(CloseReason::ConnectFailed),
        closed_drained: counted.closed_because(CloseReason::Drained),
        closed_cancelled: counted.closed_because(CloseReason::Cancelled),
        closed_evicted: counted.closed_because(CloseReason::Evicted),
        closed_refused: counted.closed_because(CloseReason::Refused),
        bytes_spliced: counted.bytes_spliced,
        closed_killed: counted.closed_because(CloseReason::Killed),
        closed_max_duration: counted.closed_because(CloseReason::MaxDuration),
        waiting: counted.waiting,
        closed_source_limit: counted.closed_because(CloseReason::SourceLimit),
        closed_backend_full: counted.closed_because(CloseReason::BackendFull),
        closed_queue_timeout: counted.closed_because(CloseReason::QueueTimeout),
    }
}

/// Goes by another document from now on, and drops no connection for it. What the document does not mention has its
/// default. Either all of it holds or nothing.
///
/// Connections that stand keep what they have: their server, their timeouts, their rates and what their sockets were told. A
/// lower limit ends nothing; no more are let in until enough have ended. Once it is started, the names and addresses of its
/// listeners cannot change.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (names the field that is wrong or cannot change),
/// INVALID_HANDLE, CLOSED (also once it drains), FORKED. Since 0.1.
///
/// # Safety
///
/// `json` is good for `json_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_tcp_manager_reconfigure(
    manager: trunkline_tcp_manager_t,
    json: *const c_char,
    json_len: usize,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| {
        let object = call.object(manager)?;
        // SAFETY: the caller's promise is the same.
        let config = configured(unsafe { text(json, json_len, "json")? })?;
        Ok(object.manager.reconfigure(config)?)
    })
}

/// The configuration that a document says; an empty one says nothing.
fn configured(json: &str) -> Result<TcpManagerConfig, ConnectionError> {
    match json {
        "" => Ok(TcpManagerConfig::default()),
        _ => TcpManagerConfig::from_json(json),
    }
}

/// Connections that stand and have a number above `after`, as a JSON array in the order of their numbers, which is that
/// in which they began: `max` of them at most, 1 to 10000. A shorter array is the last; the number of the last in it, for
/// `after`, begins the next. For each {"id", "source", "local", "destination", "backend", "protocol", "state", "age_ns",
/// "idle_ns", "bytes_received", "bytes_sent"}.
///
/// `state` is "held" of what the program accepted or dialled itself, "reaching" of what the manager takes to its
/// destination, "waiting" of what stands in line for a place of its backend, and "relaying". `protocol` is what its first bytes speak. What is not known, or does not apply, is null.
///
/// Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any. Errors:
/// INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tcp_manager_live(
    manager: trunkline_tcp_manager_t,
    after: u64,
    max: usize,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_buf_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        let object = call.object(manager)?;
        if !(1..=MOST_LIVE).contains(&max) {
            return Err(Failure::argument(format!("max: must be within 1 and {MOST_LIVE}")));
        }
        let live = object.manager.live(after, max);
        let list: serde_json::Value = live.iter().map(described).collect();
        Ok(Some(Box::new(trunkline_buf_t::owned(list.to_string().into_bytes()))))
    })
}

/// The connection with the number `id`, as one object of those of trunkline_tcp_manager_live.
///
/// Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any. Errors:
/// INVALID_ARGUMENT, INVALID_HANDLE, NOT_FOUND (no connection that stands has this number), FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tcp_manager_inspect(
    manager: trunkline_tcp_manager_t,
    id: u64,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_buf_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        let found = call.object(manager)?.manager.inspect(id).ok_or_else(|| not_standing(id))?;
        let json = described(&found).to_string();
        Ok(Some(Box::new(trunkline_buf_t::owned(json.into_bytes()))))
    })
}

/// Ends the connection with the number `id`, on both sides where it is relayed: then soon after the call. A side that is
/// owed bytes sees a reset, and so does a client that has no server yet.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, NOT_FOUND (no connection that stands has this
/// number), FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tcp_manager_kill(
    manager: trunkline_tcp_manager_t,
    id: u64,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| {
        let stood = call.object(manager)?.manager.kill(id);
        if stood { Ok(()) } else { Err(not_standing(id)) }
    })
}

/// Connections in one answer.
const MOST_LIVE: usize = 10_000;

fn described(connection: &LiveTcpConnection) -> serde_json::Value {
    let text = |address: &Option<Address>| address.as_ref().map(Address::to_string);
    json!({
        "id": connection.id.get(),
        "source": text(&connection.source),
        "local": text(&connection.local),
        "destination": text(&connection.destination),
        "backend": connection.backend.as_deref(),
        "protocol": connection.protocol,
        "state": connection.state.name(),
        "age_ns": ns(connection.age),
        "idle_ns": connection.idle.map(ns),
        "bytes_received": connection.bytes_received,
        "bytes_sent": connection.bytes_sent,
    })
}

fn not_standing(id: u64) -> Failure {
    Failure::new(TRUNKLINE_E_NOT_FOUND, format!("no connection that stands has the number {id}"))
}

/// Lets no new connection in, waits until those that stand have finished, and cuts the rest by the deadline: one after the
/// other, in the part of the time that drain_spread of the document says; `*cut` says how many. Then the manager is closed, but
/// for its handle.
///
/// With TRUNKLINE_DEADLINE_NONE the configured drain timeout holds; 0 and the past cut at once.
///
/// Ownership: none. Blocks: until the last connection has ended, or the deadline. Threads: any but the library's.
/// Errors: INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (the runtime), WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tcp_manager_drain(
    manager: trunkline_tcp_manager_t,
    deadline_ns: i64,
    cut: Option<&mut MaybeUninit<u64>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(cut, err, |call| {
        let object = call.object(manager)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        object.wait(call, async { Ok(object.manager.drain(deadline).await.cut) })
    })
}

/// As trunkline_tcp_manager_drain; the result is an event of kind TRUNKLINE_EV_DRAINED with the number of
/// connections that were cut in `value`.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
/// LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; CANCELLED comes with the event: then nobody is let in, and
/// those that stand go on. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tcp_manager_drain_async(
    manager: trunkline_tcp_manager_t,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        let object = call.object(manager)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let manager = object.manager.clone();
        submit(call, &object.runtime, completion, TRUNKLINE_EV_DRAINED, async move {
            let value = manager.drain(deadline).await.cut;
            Ok(Done { value, ..Done::new(TRUNKLINE_EV_DRAINED) })
        })
    })
}

/// Closes everything of a manager, the streams and listeners that it gave away included: every descriptor is
/// gone on return. Idempotent.
///
/// Ownership: the handle stays the caller's. Blocks: until its tasks have ended, which none makes wait. Threads:
/// any but the library's. Errors: INVALID_HANDLE, WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tcp_manager_close(
    manager: trunkline_tcp_manager_t,
) -> trunkline_status_t {
    enter_unit(None, |call| {
        let object = call.object(manager)?;
        let close = async {
            object.manager.close().await;
            Ok(())
        };
        match object.wait(call, close) {
            // With the runtime everything of the manager has ended.
            Err(failure) if failure.status() == TRUNKLINE_E_CLOSED => Ok(()),
            answer => answer,
        }
    })
}

/// Frees a manager and ends its relays, without waiting. Streams and listeners that it gave away stay as they are.
///
/// Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tcp_manager_free(
    manager: trunkline_tcp_manager_t,
) -> trunkline_status_t {
    end_and_free(manager, |object| object.manager.stop())
}
